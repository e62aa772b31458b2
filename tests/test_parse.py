"""Mistakes on the command line, each told in one plain sentence."""

import pytest

from soundsight import recipes
from soundsight.cli.data import Check, prepare_options
from soundsight.cli.parse import parse, value_of


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--hop-s", "-1"], "hop_s=-1.0 must be positive"),
        (["--filters.cut", "-1"], "cut=-1.0 must be positive, or None"),
        (["--nosuch", "1"], "unknown option --nosuch"),
        (["--nosuch", "-1", "--other"], "unknown options --nosuch, --other"),
        (["--hop-z", "1"], "unknown option --hop-z; did you mean --hop-s?"),
        (["--hop-s"], "--hop-s needs a value"),
        (["--hop-s", "many"], "--hop-s needs None or FLOAT, not 'many'"),
        (["--workers", "many"], "--workers needs an integer, not 'many'"),
        (["--shard-mb", "many"], "--shard-mb needs a number, not 'many'"),
        (["--codec", "zip"], "--codec needs one of 'mp4', 'raw', not 'zip'"),
        (["--recipe"], "--recipe needs a value: --recipe VALUE"),
    ],
)
def test_one_plain_sentence(arguments, said):
    with pytest.raises(ValueError) as caught:
        prepare_options(["films", "out", *arguments])
    assert str(caught.value) == said


def test_missing_argument():
    with pytest.raises(ValueError, match=r"^soundsight check needs \S+ \(Prepared data set .*\)$"):
        parse(Check, [], verb="check")


def test_value_of():
    assert value_of("--out", ["a", "--out", "b"]) == "b"
    assert value_of("--out", ["--out=b=c"]) == "b=c"
    assert value_of("--out", ["--output", "b"]) is None
    with pytest.raises(ValueError, match="--out needs a value: --out FOLDER"):
        value_of("--out", ["--out"])


@pytest.mark.parametrize("name", recipes.names())
def test_prepare_makes_clips_as_any_recipe_takes_them(name):
    recipe = recipes.load(name)
    spec = prepare_options(["films", "out", "--recipe", name]).settings.spec
    assert spec == recipe.clip.with_frames(spec.frames)
    assert spec.frames == max(recipe.clip.frames, getattr(recipe.evaluate, "frames", 0))
