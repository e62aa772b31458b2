"""Sounds to pictures and back on the command line, with tiny models: trained, sampled, scored."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.test_cli import refused

from soundsight import recipes
from soundsight.cli import main
from soundsight.cli.data import prepare_options
from soundsight.cli.experiments import train_options
from soundsight.data.listing import list_sources
from soundsight.data.plan import Plan, Settings
from soundsight.data.prepare import prepare
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import encode

TINY = ("crossmodal_gan_tiny", "crossmodal_gan_tiny_i2s", "cmcgan_tiny", "sa_cmgan_tiny")
SPEC = ClipSpec(frames=1, fps=2, size=32, channels=3, sample_rate=8000)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A finished run of every tiny recipe."""
    folder = tmp_path_factory.mktemp("runs")
    for name in TINY:
        assert main(["train", name, "--out", str(folder / name), "--train.steps", "2"]) == 0
    return {name: folder / name for name in TINY}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """A sound at another rate, a picture of another size, and a film that has both."""
    folder = tmp_path_factory.mktemp("files")
    high, large = replace(SPEC, sample_rate=22_050), replace(SPEC, size=50)
    film = SPEC.with_frames(3)
    waves = {n: torch.sin(torch.arange(n) * 0.2)[None] / 2 for n in (22_050 // 4, film.samples)}
    pixels = torch.rand(1, 3, 3, 50, 50, generator=torch.Generator().manual_seed(0))
    return {
        "sound": encode(Clip(high, audio=waves[22_050 // 4]), folder / "note.wav"),
        "picture": encode(Clip(large, pixels), folder / "noise.png"),
        "film": encode(Clip(film, pixels[..., :32, :32], waves[film.samples]), folder / "film.mp4"),
    }


def sampled(capsys, *arguments) -> dict[str, list[str]]:
    """The names of the files of every input of a call that works."""
    capsys.readouterr()
    assert main(["sample", *map(str, arguments), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert all(Path(file).is_file() for paths in result["files"].values() for file in paths)
    return {name: [Path(p).name for p in paths] for name, paths in result["files"].items()}


PICTURES = ["sample_000.png", "sample_001.png", "given.wav", "samples.png"]
SOUNDS = [
    "sample_000.wav", "sample_000.mp4", "spectrogram_000.png",
    "sample_001.wav", "sample_001.mp4", "spectrogram_001.png", "given.png", "samples.png",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "file", "options", "expected"),
    [
        ("crossmodal_gan_tiny", "sound", (), PICTURES),
        ("crossmodal_gan_tiny", "film", ("--start", 1.0), PICTURES),
        ("crossmodal_gan_tiny_i2s", "picture", (), SOUNDS),
        ("cmcgan_tiny", "sound", (), PICTURES),
        ("cmcgan_tiny", "picture", (), SOUNDS),
        ("cmcgan_tiny", "film", ("--give", "image"), SOUNDS),
        ("sa_cmgan_tiny", "sound", (), PICTURES),
    ],
)
def test_a_file_is_translated(runs, files, tmp_path, capsys, name, file, options, expected):
    path = files[file]
    arguments = (runs[name], path, "--samples", 2, *options)
    found = sampled(capsys, *arguments, "--out", tmp_path / "a")
    assert found == {str(path): expected}
    sampled(capsys, *arguments, "--out", tmp_path / "b")
    for written in expected:
        first, again = (tmp_path / out / path.stem / written for out in ("a", "b"))
        assert first.read_bytes() == again.read_bytes()


@pytest.mark.parametrize(
    ("name", "count", "options", "folders"),
    [
        ("crossmodal_gan_tiny", 2, (), ["test_0006", "test_0019"]),
        ("cmcgan_tiny", 1, (), ["test_0013_from_audio", "test_0013_from_image"]),
        ("cmcgan_tiny", 1, ("--give", "image"), ["test_0013_from_image"]),
    ],
)
def test_the_runs_own_data_is_translated(runs, tmp_path, capsys, name, count, options, folders):
    found = sampled(capsys, runs[name], "--count", count, "--out", tmp_path, *options)
    assert all(name.startswith("grid") for name in found.pop("all clips"))
    assert list(found) == folders
    for folder, written in found.items():
        assert ("truth.wav" if folder.endswith("image") else "truth.png") in written


def test_how_many_there_are_by_default(runs, files, tmp_path, capsys):
    found = sampled(capsys, runs["crossmodal_gan_tiny"], files["sound"], "--out", tmp_path)
    assert found[str(files["sound"])][:4] == [f"sample_00{i}.png" for i in range(4)]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("crossmodal_gan_tiny", ["picture"], "noise.png: has picture but no sound; "),
        ("crossmodal_gan_tiny_i2s", ["sound"], "note.wav: has sound but no picture; "),
        ("cmcgan_tiny", ["film"], "film.mp4: has picture and sound, and "),
        ("crossmodal_gan_tiny", ["--give", "image"], "takes audio only"),
        ("crossmodal_gan_tiny", ["sound", "--frames", "2"], "--frames 2: is not for models of"),
        ("crossmodal_gan_tiny", ["--walk", "content"], "--walk content: is not for models of"),
        ("crossmodal_gan_tiny", ["sound", "--count", "2"], "--count 2: is for clips of the run's"),
        ("crossmodal_gan_tiny", ["--start", "1.0"], "--start 1.0: is for files"),
        ("crossmodal_gan_tiny", ["sound", "--start", "9.0"], "its sound lasts 0 ms from 9 s on"),
        ("crossmodal_gan_tiny", ["sound", "--samples", "0"], "samples=0 must be between"),
        ("crossmodal_gan_tiny", ["--count", "0"], "count=0 must be at least 1"),
    ],
)
def test_bad_requests_are_one_line(runs, files, tmp_path, capsys, name, arguments, message):
    named = [files.get(word, word) for word in arguments]
    line = refused(capsys, "sample", runs[name], *named, "--out", tmp_path / "out")
    assert message in line


@pytest.mark.parametrize(
    "name",
    [
        "crossmodal_gan_tiny",
        "cmcgan_tiny",
        pytest.param("crossmodal_gan_tiny_i2s", marks=pytest.mark.slow),
        pytest.param("sa_cmgan_tiny", marks=pytest.mark.slow),
    ],
)
def test_a_run_is_evaluated(runs, tmp_path, capsys, name):
    """Judges are trained into their folder first; one folder serves all runs of the same data."""
    judges = runs[name].parent / "judges"
    arguments = ["evaluate", str(runs[name]), "--judges", str(judges), "--clips", "13"]
    capsys.readouterr()
    assert main([*arguments, "--samples", "1", "--out", str(tmp_path), "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert {"real", recipes.load(name).model.kind} <= rows.keys()
    assert (tmp_path / "report" / "index.html").is_file()
    assert len(list(judges.iterdir())) == 2


# ---- Data ----------------------------------------------------------------------------------------


FOLDERS = [name for name in recipes.names() if getattr(recipes.load(name).data, "path", None) == ""]


@pytest.mark.parametrize("name", [n for n in FOLDERS if n.startswith(("cross", "cmcgan", "sa_"))])
def test_data_is_prepared_as_the_recipe_takes_it(name):
    """`--recipe` gives its clips; the layout's own ones are those of Sub-URMP's recipes."""
    recipe = recipes.load(name)
    layout = "sub_urmp" if "urmp" in name else "fsdd_mnist"
    options = prepare_options(["a", "b", "out", "--layout", layout, "--recipe", name])
    assert options.settings.spec == recipe.clip
    size = str(recipe.clip.size)
    options = prepare_options(["a", "b", "out", "--layout", layout, "--spec.size", size])
    assert options.settings.spec == recipe.clip


def test_a_recipe_for_prepared_data_says_so(tmp_path, capsys):
    line = refused(capsys, "train", "cmcgan_digits_laptop", "--out", tmp_path / "run")
    assert "cmcgan_digits_laptop learns from prepared data: say where it is with --data DIR" in line
    line = refused(capsys, "train", "cmcgan_tiny", "--data", tmp_path, "--out", tmp_path / "run")
    assert "use a recipe for folders, such as cmcgan_digits_laptop" in line


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """A dozen pairs of two classes, prepared for the digits' recipes."""
    folder = tmp_path_factory.mktemp("digits")
    (folder / "raw").mkdir()
    spec, rows = recipes.load("crossmodal_gan_digits_laptop").clip, ["path,label"]
    for i in range(12):
        generator = torch.Generator().manual_seed(i)
        long = spec.with_frames(2)
        video = torch.rand(1, 2, 1, 32, 32, generator=generator)
        sound = torch.rand(1, long.samples, generator=generator) - 0.5
        encode(Clip(long, video, sound), folder / "raw" / f"{i}.mp4")
        rows.append(f"{i}.mp4,{'one' if i % 2 else 'two'}")
    (folder / "raw" / "list.csv").write_text("\n".join(rows))
    listing = list_sources([folder / "raw" / "list.csv"])
    prepare(Plan(Settings(spec=spec), listing.sources), str(folder / "prepared"))
    shutil.rmtree(folder / "raw")
    return folder / "prepared"


@pytest.mark.filterwarnings("ignore:mismatch=:UserWarning")
def test_prepared_data_is_learned_with_its_recordings(digits, tmp_path):
    """Every clip tells its recording and its place in it; and a recipe's training runs on it."""
    arguments = ["sa_cmgan_digits_laptop", "--data", str(digits), "--out", str(tmp_path / "run")]
    _, _, recipe = train_options(arguments)
    data = recipe.data.build(recipe.clip, "train")
    clip = data.clips(range(len(data)))
    assert sorted(clip.start.unique().tolist()) == [0.0, 1.0]
    sources = [record.source for record in data.records]
    for i, source in enumerate(sources):
        assert (clip.source == clip.source[i]).tolist() == [other == source for other in sources]
    few = ["--train.steps", "2", "--model.encoder-steps", "1", "--train.batch-size", "4"]
    few += ["--evaluate.validation-clips", "0"]  # No judges.
    assert main(["train", *arguments, *few]) == 0
