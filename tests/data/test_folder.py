"""A folder of videos as a data set."""

import logging
import os
import time
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from soundsight.data import folder as module
from soundsight.data.folder import VideoFolder
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import decode, encode

SPEC = ClipSpec(frames=5, fps=10.0, size=16, channels=1, sample_rate=8000)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    module._open.cache_clear()
    monkeypatch.setenv("SOUNDSIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "folder"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    path = tmp_path / "videos"
    path.mkdir()
    return path


def write(path: Path, frames: int, *, tone_hz: float = 400.0, sound: bool = True) -> Path:
    """A video whose frame k has the grey level (k + 1) / 40."""
    spec = ClipSpec(frames=frames, fps=10.0, size=16, channels=1, sample_rate=8000)
    levels = (torch.arange(frames) + 1) / 40
    video = levels[None, :, None, None, None].expand(1, frames, 1, 16, 16)
    t = torch.arange(spec.samples) / 8000
    audio = (0.5 * torch.sin(2 * torch.pi * tone_hz * t))[None] if sound else None
    path.parent.mkdir(exist_ok=True, parents=True)
    return encode(Clip(spec, video=video, audio=audio), path)


def config(path: Path, **options: object) -> VideoFolder:
    return VideoFolder(path=str(path), progress=False, **options)


def test_windows_of_one_source_are_split_in_time(videos: Path):
    path = write(videos / "a.mp4", 33)
    options = config(videos, split=(0.2, 0.25))
    parts = {split: options.build(SPEC, split) for split in ("train", "val", "test")}
    starts = {split: [start for _, start in part.windows] for split, part in parts.items()}
    assert starts == {"train": [0, 5, 10], "val": [18], "test": [25]}  # Cut at frames 18 and 25.
    clip = parts["test"].clips([0])
    assert clip.video.shape == (1, 5, 1, 16, 16)
    assert clip.audio.shape == (1, 4000)
    levels = clip.video.mean(dim=(0, 2, 3, 4))
    torch.testing.assert_close(levels, (torch.arange(25, 30) + 1) / 40, atol=0.02, rtol=0)
    direct = decode(path, SPEC, start_s=2.5)
    assert (clip.video - direct.video).abs().max() < 1e-6
    assert (clip.audio - direct.audio).abs().max() < 0.02


LENGTHS = (10, 20, 30)


@pytest.mark.parametrize(
    "sources", [[130], [60, 130], [35, 40, 25, 33, 12]], ids=["one", "two", "five"]
)
def test_a_split_has_the_same_frames_whatever_the_clip_length(videos: Path, sources: list[int]):
    for k, frames in enumerate(sources):
        write(videos / f"{k}.mp4", frames)
    options = config(videos, split=(0.25, 0.25), hop_s=0.3)
    seen: dict[tuple[str, int], set[tuple[str, int]]] = {}
    for split in ("train", "val", "test"):
        for length in LENGTHS:
            with suppress(ValueError):  # Long clips leave some splits empty.
                windows = options.build(replace(SPEC, frames=length), split).windows
                seen[split, length] = {
                    (source.name, start + k) for source, start in windows for k in range(length)
                }
    assert {split for split, _ in seen} == {"train", "val", "test"}
    assert {length for _, length in seen} == set(LENGTHS)
    for (split, length), frames in seen.items():
        for (other, at), others in seen.items():
            if split != other:
                assert not frames & others, f"{split} of {length} frames, {other} of {at}"


def test_a_source_too_short_for_a_window_keeps_its_rank(videos: Path):
    for k in range(5):
        write(videos / f"{k}.mp4", 12)
    at_five = {split: config(videos).build(SPEC, split).sources for split in ("train", "test")}
    (first,) = at_five["test"]
    write(videos / first, 6)
    spec = replace(SPEC, frames=10)
    assert config(videos).build(spec, "train").sources == at_five["train"]
    with pytest.raises(ValueError, match=r"split 'test' is empty: of 5 videos .* at most 0\.60 s"):
        config(videos).build(spec, "test")


def test_clips_come_in_the_order_asked_for(videos: Path):
    write(videos / "a.mp4", 33)
    data = config(videos, split=(0.0, 0.0)).build(SPEC, "train")
    assert len(data) == 6
    clips = data.clips([4, 0, 4])
    for row, index in enumerate([4, 0, 4]):
        alone = data.clips([index])
        assert torch.equal(alone.video[0], clips.video[row])
        assert torch.equal(alone.audio[0], clips.audio[row])
    assert not torch.equal(clips.video[0], clips.video[1])
    for index in (-1, 6):
        with pytest.raises(IndexError, match=f"index {index}"):
            data.clips([index])


def test_clips_tell_their_video_and_their_place_in_it(videos: Path):
    """Two videos are cut in time: each has windows in both splits, with its number and times."""
    for name in ("a", "b"):
        write(videos / f"{name}.mp4", 33)
    options = config(videos, split=(0.2, 0.25))
    train = options.build(SPEC, "train").clips(range(6))
    assert train.source.tolist() == [0, 0, 0, 1, 1, 1]
    assert train.start.tolist() == pytest.approx([0.0, 0.5, 1.0] * 2)
    test = options.build(SPEC, "test").clips([1, 0])
    assert test.source.tolist() == [1, 0]
    assert test.start.tolist() == pytest.approx([2.5, 2.5])


def test_hop_and_no_frame_in_two_splits(videos: Path):
    write(videos / "a.mp4", 39)
    options = config(videos, hop_s=0.2, split=(0.2, 0.2))
    seen = {}
    for split in ("train", "val", "test"):
        starts = [start for _, start in options.build(SPEC, split).windows]
        assert len(starts) >= 2
        assert all(b - a == 2 for a, b in pairwise(starts))
        seen[split] = {start + k for start in starts for k in range(SPEC.frames)}
    assert not seen["train"] & seen["val"]
    assert not seen["val"] & seen["test"]
    assert not seen["train"] & seen["test"]


def test_many_sources_are_split_by_source_and_stably(videos: Path):
    for k in range(8):
        write(videos / f"sub {k % 2}" / f"Straße {k} 鼓.mp4", 6)
    parts = {split: config(videos).build(SPEC, split).sources for split in ("train", "val", "test")}
    assert [len(parts[split]) for split in ("train", "val", "test")] == [6, 1, 1]
    assert sorted(name for sources in parts.values() for name in sources) == sorted(
        p.relative_to(videos).as_posix() for p in videos.rglob("*.mp4")
    )
    # The rank is that of a hash of the relative name: the same wherever the folder lies.
    moved = videos.rename(videos.with_name("elsewhere"))
    for split, sources in parts.items():
        assert config(moved).build(SPEC, split).sources == sources


@pytest.mark.parametrize("total", [3, 4, 10, 50])
def test_every_split_gets_a_source(total: int):
    frames = {f"{k}.mp4": 10 + k for k in range(total)}
    splits = module._split_sources(frames, (0.1, 0.1))
    parts = [splits[split] for split in ("train", "val", "test")]
    expected = max(1, round(0.1 * total))
    assert [len(part) for part in parts] == [total - 2 * expected, expected, expected]
    whole = {name: range(count) for name, count in frames.items()}
    assert parts[0] | parts[1] | parts[2] == whole
    assert module._counts(3, (0.45, 0.45)) == (1, 1)


def test_decoded_once_until_the_file_changes(videos: Path, cache: Path, monkeypatch):
    calls = []
    whole = module.decode_all
    monkeypatch.setattr(module, "decode_all", lambda p, s: (calls.append(p.name), whole(p, s))[1])
    path = write(videos / "a.mp4", 20)
    config(videos).build(SPEC, "train")
    with pytest.raises(ValueError, match="split 'test' is empty"):
        config(videos).build(SPEC, "test")
    config(videos).build(ClipSpec(2, fps=10.0, size=16, sample_rate=8000), "test")
    assert calls == ["a.mp4"]  # Frames are cut anew, not decoded anew.
    config(videos).build(ClipSpec(2, fps=10.0, size=8, sample_rate=8000), "test")
    assert len(calls) == 2
    write(path, 25)
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 10**9))
    assert len(config(videos, split=(0.0, 0.0)).build(SPEC, "train")) == 5
    assert len(calls) == 3
    assert not list(cache.glob("*.part"))
    assert {p.name for p in cache.glob("*/*")} == {"frames.npy", "sound.npy"}


def test_a_torn_cache_is_made_again(videos: Path, cache: Path):
    write(videos / "a.mp4", 20)
    before = config(videos).build(SPEC, "train").clips([0])
    for name, data in {"frames.npy": b"", "sound.npy": b"\x93NUMPY junk"}.items():
        module._open.cache_clear()
        (file,) = cache.glob(f"*/{name}")
        file.write_bytes(data)
        after = config(videos).build(SPEC, "train").clips([0])
        assert torch.equal(before.video, after.video)
        assert torch.equal(before.audio, after.audio)
    (frames,) = cache.glob("*/frames.npy")
    assert np.load(frames, allow_pickle=False).dtype == np.uint8


def test_the_cache_may_lie_anywhere_but_must_be_writable(videos: Path, tmp_path: Path):
    write(videos / "a.mp4", 20)
    config(videos, cache=str(tmp_path / "mine")).build(SPEC, "train")
    assert len(list((tmp_path / "mine" / "folder").iterdir())) == 1
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=f"cannot write the cache.*{tmp_path}/file"):
        config(videos, cache=str(tmp_path / "file")).build(SPEC, "train")


def test_unusable_files_are_skipped_with_a_reason(videos: Path, caplog):
    write(videos / "good.mp4", 20)
    write(videos / "mute.mp4", 20, sound=False)
    write(videos / "short.mp4", 3)
    (videos / "text.mp4").write_text("no video " * 50)
    (videos / "empty.webm").touch()
    (videos / ".hidden.mp4").write_text("left out")
    (videos / "notes.txt").write_text("left out")
    with caplog.at_level(logging.WARNING):
        data = config(videos).build(SPEC, "train")
    assert data.sources == ["good.mp4"]
    assert set(data.skipped) == {"mute.mp4", "short.mp4", "text.mp4", "empty.webm"}
    assert "no sound" in data.skipped["mute.mp4"]
    assert "0.30 s is shorter than a clip of 0.50 s" in data.skipped["short.mp4"]
    assert "no readable media file" in data.skipped["text.mp4"]
    assert len(caplog.records) == 1
    assert "skipped 4 of 5 videos" in caplog.text


def test_nothing_usable(videos: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        config(tmp_path / "nowhere").build(SPEC, "train")
    with pytest.raises(ValueError, match=r"videos: holds no video; looked for \.avi, .*\.mp4"):
        config(videos).build(SPEC, "train")
    (videos / "text.mp4").write_text("no video")
    with pytest.raises(
        ValueError, match=r"none of 1 videos can be used: text\.mp4: is no readable"
    ):
        config(videos).build(SPEC, "train")
    write(videos / "short.mp4", 3)
    with pytest.raises(ValueError, match=r"longest, short\.mp4, has 0\.30 s, a clip needs 0\.50 s"):
        config(videos).build(SPEC, "train")
    write(videos / "short.mp4", 10)
    with pytest.raises(ValueError, match=r"'test' is empty: of 1 videos .* at most 0\.10 s in one"):
        config(videos).build(SPEC, "test")
    assert len(config(videos).build(SPEC, "train")) == 1


def test_config_is_checked_and_survives_json(videos: Path):
    with pytest.raises(ValueError, match="split='dev' must be one of train, val, test"):
        config(videos).build(SPEC, "dev")
    with pytest.raises(ValueError, match="hop_s=0"):
        config(videos, hop_s=0.0)
    with pytest.raises(ValueError, match="sum below 1"):
        config(videos, split=(0.5, 0.5))
    adapter = TypeAdapter(VideoFolder)
    some = VideoFolder(path="a", hop_s=1.5)
    assert adapter.validate_json(adapter.dump_json(some)) == some
    with pytest.raises(ValidationError, match="hops"):
        adapter.validate_python({"path": "a", "hops": 1})


def test_progress_goes_to_stderr(videos: Path, capsys):
    write(videos / "a.mp4", 20)
    VideoFolder(path=str(videos)).build(SPEC, "train")
    assert capsys.readouterr().out == ""


@pytest.mark.shared_data
def test_real_sentences(shared_data: Path, videos: Path):
    for path in sorted((shared_data / "grid").glob("*.mpg"))[:3]:
        (videos / path.name).symlink_to(path)
    spec = ClipSpec(frames=25, fps=25.0, size=32, channels=3, sample_rate=16000)
    parts = [config(videos).build(spec, split) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [2, 2, 2] or sum(map(len, parts)) >= 6
    clip = parts[0].clips([1])
    assert clip.audio.pow(2).mean().sqrt() > 0.005
    assert clip.video.std() > 0.1
