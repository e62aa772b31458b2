"""The programs of examples/ do what they say, in seconds, on toy data."""

import csv
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import webdataset
from skimage import data

from soundsight import recipes
from soundsight.contract import Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import encode, probe

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name: str) -> ModuleType:
    """Import one example without running it."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested():
    tests = Path(__file__).read_text(encoding="utf-8")
    assert all(f'load("{path.stem}")' in tests for path in EXAMPLES.glob("*.py"))


def test_m3so_clip(tmp_path, capsys):
    info = probe(load("m3so_clip").main(tmp_path))
    assert info.has_audio
    assert (info.width, info.height, info.fps) == (384, 384, 10)
    assert info.seconds == pytest.approx(7.0, abs=0.1)
    assert "bounces off the wall" in capsys.readouterr().out


def test_my_model(tmp_path):
    example = load("my_model")
    futures = example.main(tmp_path)
    video = futures.video
    assert video.shape == (6, 12, 1, 16, 16)
    assert 0 <= video.min() <= video.max() <= 1
    # The seen frames are copied; the futures of a clip differ.
    assert torch.equal(video[0, :5], video[2, :5])
    assert not torch.equal(video[0, 5:], video[2, 5:])
    # It learned: the loss of the last lines is below that of a fresh model.
    lines = (tmp_path / "drift" / "stats.jsonl").read_text(encoding="utf-8").splitlines()
    torch.manual_seed(0)
    fresh = example.Drift(futures.spec)
    clip = (
        example.M3SO(canvas=16, digit=8, speeds=(1, 2)).build(futures.spec, "train").clips([0, 1])
    )
    (_, before), *_ = fresh.losses(clip, step=0, generator=torch.Generator())
    assert json.loads(lines[-1])["drift/mse"] < before.terms["mse"]
    # A clip's futures do not depend on the batch.
    given = clip.context(5)
    both = fresh.sample(given, num_samples=2, generator=Streams(3, [0, 1]))
    alone = fresh.sample(given[1:2], num_samples=2, generator=Streams(3, [1]))
    torch.testing.assert_close(both.video[2:], alone.video)


def test_score_a_forecaster(capsys):
    scores = load("score_a_forecaster").main()
    ours, copy = (scores.row(name, "psnr", "mean").value for name in ("keep_going", "copy_last"))
    assert ours > copy  # What moves on is nearer to the truth than what stops.
    best = scores.row("keep_going", "psnr", "frame_oracle").value
    assert best > ours  # The best of five is better than their mean.
    assert len(capsys.readouterr().out.splitlines()) == 8


def test_train_and_sample(tmp_path):
    example = load("train_and_sample")
    films = [path for path in example.main(tmp_path) if path.suffix == ".mp4"]
    assert [path.name for path in films] == [*(f"sample_00{i}.mp4" for i in range(3)), "truth.mp4"]
    assert all(probe(path).has_audio for path in films)
    stored = json.loads((tmp_path / "run" / "recipe.json").read_text(encoding="utf-8"))
    assert recipes.from_json(stored) == example.RECIPE
    assert "audio" not in example.DEAF.model.build(example.DEAF.clip).takes


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset leaves it open.
def test_prepare_and_read(tmp_path, capsys):
    example = load("prepare_and_read")
    clip = example.main(tmp_path)
    assert clip.video.shape == (4, 10, 1, 32, 32)
    told = capsys.readouterr().out
    assert "broken.mp4" in told
    assert "prepared: sound (0 errors" in told
    # Index, tar and webdataset give the same clips in the same order.
    out = tmp_path / "prepared"
    records = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    by_tar = example.read_with_tar(out)
    assert list(by_tar) == [record["key"] for record in records]
    shards = sorted(map(str, out.glob("train-*.tar")))
    streamed = {
        sample["__key__"]: {suffix: sample[suffix] for suffix in ("json", "mp4", "wav")}
        for sample in webdataset.WebDataset(shards, shardshuffle=False)
    }
    assert streamed == by_tar


def test_vector_rings(capsys):
    example = load("vector_rings")
    results = example.main(steps=20, models=1)
    assert list(results) == ["none", "eq2", "eq2 + gg", "match"]
    head, *lines = capsys.readouterr().out.splitlines()
    assert "20 steps" in head
    shown = {line[:10].strip(): float(line[18:31]) for line in lines}
    assert shown == {name: round(float(r.information[0]), 2) for name, r in results.items()}


def test_face_boxes(tmp_path, capsys):
    # Photographed by NASA; her face is known to lie here, pixels of the picture of 512.
    astronaut = data.astronaut()
    face = np.array([165, 70, 285, 200])
    spec = ClipSpec(frames=20, fps=10, size=512, channels=3, sample_rate=8000)
    picture = torch.from_numpy(astronaut).permute(2, 0, 1).float() / 255
    videos = tmp_path / "videos"
    videos.mkdir()
    nobody = torch.full_like(picture, 0.5)
    for name, shown in (("a", picture), ("b", nobody)):
        clip = Clip(spec, shown.expand(1, 20, 3, 512, 512), torch.zeros(1, spec.samples))
        encode(clip, videos / f"{name}.mp4")
    (videos / "c.mp4").write_bytes(b"no video")
    found = load("face_boxes").main(videos, tmp_path / "boxes.csv")
    assert found == (1, 3)
    said = capsys.readouterr().err
    assert "b.mp4: not exactly one face" in said
    assert "c.mp4: " in said
    (row,) = csv.DictReader((tmp_path / "boxes.csv").read_text(encoding="utf-8").splitlines())
    assert row["path"] == "a.mp4"
    box = np.array([float(row[edge]) for edge in ("x0", "y0", "x1", "y1")])
    assert np.abs(box - face).max() < 45
