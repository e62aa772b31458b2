"""From a folder of video files to a continued clip, through the command line."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from soundsight.cli import main
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import decode, encode, probe

SMALL = ["--model.frame-channels", "4", "--model.audio-channels", "4", "--train.batch-size", "2"]
QUICK = [*SMALL, "--train.steps", "2", "--evaluate.clips", "2", "--evaluate.num-samples", "2"]


def bouncing(path: Path, seed: int, suffix: str) -> Path:
    """Three seconds of a moving square that clicks, 25 fps, 40 px, 16 kHz."""
    spec = ClipSpec(75, fps=25, size=40, channels=3, sample_rate=16_000)
    video, sound = torch.zeros(1, 75, 3, 40, 40), torch.zeros(1, spec.samples)
    for frame in range(75):
        x = abs((frame + 7 * seed) % 48 - 24)
        video[0, frame, :, 10:20, x : x + 10] = 1
        if x in (0, 24):
            start = frame * spec.samples_per_frame
            sound[0, start : start + 200] = torch.sin(torch.arange(200) * 0.8)
    return encode(Clip(spec, video, sound), path / f"video {seed}{suffix}")


def walk_through(folder: Path, clip: Path, out: Path, capsys) -> Path:
    """Train on a folder, continue a clip, score; returns the first future."""
    run = out / "run"
    train = ["train", "sound2sight_folder_laptop", "--data", str(folder), "--out", str(run)]
    assert main([*train, *QUICK]) == 0
    assert main(["sample", str(run), str(clip), "--out", str(out), "--samples", "2"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert {"sound2sight", "copy_last"} <= {row["name"] for row in scores["rows"]}
    return out / clip.stem / "sample_000.mp4"


def test_a_folder_is_learned_from_and_a_clip_continued(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SOUNDSIGHT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "videos"
    (folder / "deeper").mkdir(parents=True)
    for seed in range(4):
        bouncing(folder if seed % 2 else folder / "deeper", seed, ".mp4")
    (folder / "broken.mp4").write_text("not a video")
    (folder / "notes.txt").write_text("not a video either")
    clip = folder / "video 1.mp4"
    future = walk_through(folder, clip, tmp_path, capsys)

    info = probe(future)
    assert info.has_audio
    assert info.seconds == pytest.approx(15 / 12.5, abs=0.05)
    # The sound is the clip's own, and the seen frames are the clip's.
    spec = ClipSpec(15, fps=12.5, size=48, channels=3, sample_rate=16_000)
    ours, theirs = decode(future, spec), decode(clip, spec)
    assert (ours.video[:, :5] - theirs.video[:, :5]).abs().mean() < 0.03
    correlation = torch.corrcoef(torch.cat([ours.audio, theirs.audio]))[0, 1]
    assert correlation > 0.9


@pytest.mark.shared_data
def test_talking_faces(tmp_path, shared_data, capsys, monkeypatch):
    monkeypatch.setenv("SOUNDSIGHT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "faces"
    folder.mkdir()
    for path in sorted((shared_data / "grid").glob("*.mpg"))[:4]:
        shutil.copy(path, folder)
    clip = next(folder.iterdir())
    assert probe(walk_through(folder, clip, tmp_path, capsys)).has_audio
