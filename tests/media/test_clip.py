"""Clips as values."""

import pytest

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
