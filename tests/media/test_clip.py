"""Clips as values."""

import pytest
import torch

from soundsight.media.clip import Clip, ClipSpec

SPEC = ClipSpec(frames=7, size=16)


def test_nothing_is_known_of_nothing():
    given = Clip.nothing(SPEC, 3)
    assert given.video is None
    assert given.audio is None
    assert given.label.tolist() == [-1, -1, -1]
    assert given.spec == SPEC
    assert len(given[[2]]) == 1
    with pytest.raises(ValueError, match="count=0 must be at least 1"):
        Clip.nothing(SPEC, 0)


def placed() -> Clip:
    """Three clips with all parts; the first two of one recording."""
    return Clip(
        SPEC,
        video=torch.rand(3, 7, 1, 16, 16),
        audio=torch.rand(3, SPEC.samples),
        label=torch.tensor([4, 5, 6]),
        source=torch.tensor([7, 7, 2]),
        start=torch.tensor([0.5, 1.5, 20.0], dtype=torch.float64),
    )


def test_what_is_known_of_the_recordings_goes_along():
    clip = placed()
    picked = clip[[2, 0]]
    assert picked.source.tolist() == [2, 7]
    assert picked.start.tolist() == [20.0, 0.5]
    assert clip[1:2].source.tolist() == [7]
    assert clip.repeat(2).source.tolist() == [7, 7, 7, 7, 2, 2]
    assert clip.repeat(2).start.tolist() == [0.5, 0.5, 1.5, 1.5, 20.0, 20.0]
    assert clip.to("cpu").start.dtype == torch.float64
    assert clip.context(2).source.tolist() == [7, 7, 2]
    joined = Clip.cat([clip, picked])
    assert joined.source.tolist() == [7, 7, 2, 2, 7]
    assert joined.start.tolist() == [0.5, 1.5, 20.0, 20.0, 0.5]
    assert list(clip.parts()) == ["video", "audio", "label", "source", "start"]
    assert list(clip.to("meta").parts()) == list(clip.parts())


def test_a_crop_begins_later_in_its_recording():
    """At 10 frames a second, frame 3 begins 0.3 s later; and crops of crops add up."""
    clip = placed()
    assert clip.crop(3, 4).start.tolist() == pytest.approx([0.8, 1.8, 20.3])
    assert clip.crop(3, 4).crop(2, 1).start.tolist() == pytest.approx([1.0, 2.0, 20.5])
    assert clip.crop(3, 4).source.tolist() == [7, 7, 2]
    assert clip.start.tolist() == [0.5, 1.5, 20.0]
    unplaced = clip.replace(source=None, start=None).crop(3, 4)
    assert (unplaced.source, unplaced.start) == (None, None)


def test_clips_of_known_and_of_unknown_recordings_are_not_joined():
    clip = placed()
    with pytest.raises(ValueError, match="cannot join clips of 2 different specs or parts"):
        Clip.cat([clip, clip.replace(source=None)])


def test_a_place_alone_is_no_clip():
    for part in (
        {"source": torch.zeros(2, dtype=torch.int64)},
        {"start": torch.zeros(2, dtype=torch.float64)},
    ):
        with pytest.raises(ValueError, match="at least one of video, audio, label"):
            Clip(SPEC, **part)
