"""GRID's sentences."""

from collections import Counter
from itertools import pairwise

import pytest

from soundsight.data import layouts
from soundsight.data.layouts.grid import Sentence, Word, alignment, words
from soundsight.media.io import decode_all, probe

ALIGN = "0 15250 sil\n15250 21000 bin\n21000 25000 blue\n25000 26000 sp\n\n26000 74500 at\n"


def test_words_of_a_name():
    assert words("x/bbaf2n.mpg") == Sentence("bin", "blue", "at", "f", "two", "now")
    assert words("SWWZ9A.align") == Sentence("set", "white", "with", "z", "nine", "again")
    assert words("lgbezs").digit == "zero"


@pytest.mark.parametrize("name", ["bbaf2", "bbaf2nn", "xbaf2n", "bbaw2n", "bbaf0n", "bbafzx"])
def test_other_names_are_no_sentences(name):
    with pytest.raises(ValueError, match=f"{name}.mpg: no sentence of GRID"):
        words(f"{name}.mpg")


@pytest.mark.parametrize(
    ("video", "align"),
    [
        ("bbaf2n.mpg", "bbaf2n.align"),
        ("s1/bbaf2n.mpg", "s1/bbaf2n.align"),
        ("s1/video/bbaf2n.mpg", "s1/align/bbaf2n.align"),
    ],
)
def test_trees(tmp_path, make, video, align):
    make.touch(tmp_path / video)
    listing = layouts.read("grid", [tmp_path])
    assert listing.notes == ["1 video without .align file: no times of words"]
    (tmp_path / align).parent.mkdir(exist_ok=True)
    (tmp_path / align).write_text(ALIGN)
    listing = layouts.read("grid", [tmp_path])
    (recording,) = listing.sources
    assert (recording.id, recording.label, recording.split) == (video, "2", None)
    assert listing.notes == []
    expected = [Word("bin", 0.61, 0.84), Word("blue", 0.84, 1.0), Word("at", 1.04, 2.98)]
    assert alignment(recording.path) == alignment(tmp_path / align) == expected


def test_odd_videos_are_noted_and_formats_of_one_sentence_are_one_group(tmp_path, make):
    names = ["s1/bbaf2n.mpg", "s1/bbaf2n.mp4", "s2/bbaf2n.mpg", "s2/intro.mpg"]
    make.touch(*(tmp_path / name for name in names))
    listing = layouts.read("grid", [tmp_path])
    assert [r.group for r in listing.sources] == ["s1/bbaf2n", "s1/bbaf2n", "s2/bbaf2n"]
    assert "1 video named like no sentence: s2/intro.mpg, ..." in listing.notes


def test_speakers_are_groups(tmp_path, make):
    make.touch(*(tmp_path / f"s{i}" / "video" / "bbaf2n.mpg" for i in (1, 2, 10)))
    make.touch(tmp_path / "lost" / "bbaf2n.mpg")
    listing = layouts.read("grid_speakers", [tmp_path])
    assert [(r.id, r.group) for r in listing.sources] == [
        ("s1/video/bbaf2n.mpg", "s1"),
        ("s10/video/bbaf2n.mpg", "s10"),
        ("s2/video/bbaf2n.mpg", "s2"),
    ]
    assert "1 video in no folder s<N>, left out" in listing.notes


def test_too_few_speakers(tmp_path, make):
    make.touch(tmp_path / "s1" / "bbaf2n.mpg", tmp_path / "s2" / "bbaf2n.mpg")
    with pytest.raises(ValueError, match=r"three speakers, here are 2 \(s1, s2\)"):
        layouts.read("grid_speakers", [tmp_path])


@pytest.mark.parametrize("line", ["0 100", "a 100 bin", "0 -5 bin", "0 1 bin now"])
def test_wrong_alignment_is_refused(tmp_path, line):
    (tmp_path / "bbaf2n.align").write_text(f"0 15250 sil\n{line}\n")
    with pytest.raises(ValueError, match=r"bbaf2n.align: line 2: must be 'start end word'"):
        alignment(tmp_path / "bbaf2n.mpg")


def test_missing_alignment_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"has no bbaf2n.align beside it or in ../align"):
        alignment(tmp_path / "bbaf2n.mpg")
    with pytest.raises(ValueError, match=r"has no bbaf2n\.align"):
        alignment(tmp_path / "bbaf2n.align")


@pytest.mark.shared_data
def test_real_sentences_say_what_their_names_say(shared_data):
    listing = layouts.read("grid", [shared_data / "grid"])
    assert (len(listing.sources), listing.notes) == (300, [])
    assert Counter(r.label for r in listing.sources)["8"] == 40
    ends = []
    for recording in listing.sources:
        spoken = alignment(recording.path)
        assert tuple(word.word for word in spoken) == words(recording.path)
        assert all(a.end_s <= b.start_s for a, b in pairwise(spoken))
        ends.append(spoken[-1].end_s)
    assert max(ends) == pytest.approx(2.83)
    assert max(ends) < layouts.spec("grid").seconds


@pytest.mark.shared_data
def test_real_words_are_heard_when_they_are_said(shared_data):
    """The unit of the times: the sound is louder within the words than before and after."""
    spec = layouts.spec("grid")
    for recording in layouts.read("grid", [shared_data / "grid"]).sources[:6]:
        assert probe(recording.path).seconds == pytest.approx(2.98, abs=0.1)
        frames, sound = decode_all(recording.path, spec)
        assert len(frames) >= spec.frames
        spoken = alignment(recording.path)
        begin, end = (round(t * spec.sample_rate) for t in (spoken[0].start_s, spoken[-1].end_s))
        inside = (sound[begin:end] ** 2).mean()
        outside = (sound[: begin - 800] ** 2).mean(), (sound[end + 3200 :] ** 2).mean()
        assert inside > 4 * max(outside)
