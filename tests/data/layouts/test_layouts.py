"""What every layout has in common."""

import inspect
import re
from pathlib import Path

import pytest

from soundsight.data import layouts
from soundsight.media.clip import ClipSpec

NAMES = [
    "audioset_drums", "classes", "fsdd_mnist", "fsdd_mnist_speakers", "grid", "grid_speakers",
    "hmmd", "inis", "sub_urmp", "sub_urmp_video", "urmp", "youtube_painting",
]  # fmt: skip
TWO = {"fsdd_mnist", "fsdd_mnist_speakers", "inis"}


def test_the_folder_is_the_registry():
    assert layouts.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_layout_tells_what_it_is(name):
    spec = layouts.spec(name)
    assert isinstance(spec, ClipSpec)
    assert spec.samples == spec.frames * spec.samples_per_frame
    text = layouts.document(name)
    assert re.search(r"^Sources?[: ,]", text, re.MULTILINE)
    assert "{" in layouts._layout(name).TREE or "<" in layouts._layout(name).TREE


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_find_shows_the_tree(name, tmp_path):
    roots = [tmp_path / letter for letter in "ab"[: 1 + (name in TWO)]]
    for root in roots:
        (root / "photos").mkdir(parents=True)
        (root / "photos" / "notes.txt").touch()
    with pytest.raises(ValueError, match="expected") as caught:
        layouts.read(name, roots)
    message = str(caught.value)
    assert message.startswith(str(tmp_path))
    assert "\n" not in message
    assert "/<" in message or "/{" in message


@pytest.mark.parametrize("name", NAMES)
def test_number_and_kind_of_roots_are_checked(name, tmp_path):
    with pytest.raises(ValueError, match=f"layout {name} takes .* not 0: none given"):
        layouts.read(name, [])
    with pytest.raises(ValueError, match=f"layout {name} takes .* not 3: "):
        layouts.read(name, [tmp_path] * 3)
    missing = [tmp_path / "gone"] * (1 + (name in TWO))
    with pytest.raises(ValueError, match=r"gone: no such folder; layout"):
        layouts.read(name, missing)


def test_unknown_layout_names_the_nearest():
    with pytest.raises(ValueError, match=r"'sub_urmpp' is unknown; did you mean 'sub_urmp'\?"):
        layouts.read("sub_urmpp", [Path()])
    with pytest.raises(ValueError, match="there are: audioset_drums, "):
        layouts.spec("zzz")


@pytest.mark.parametrize("name", NAMES)
def test_no_reader_unpickles(name):
    source = inspect.getsource(layouts._layout(name))
    assert "import pickle" not in source
    assert '.pickle"' not in source.replace("<number>.pickle", "")
