"""Sub-URMP's pairs, and the clips put together from them."""

from collections import Counter

import numpy as np
import pytest

from soundsight.data import layouts
from soundsight.data.album import read_album
from soundsight.data.layouts import sub_urmp, sub_urmp_video
from soundsight.data.source import Dropped


def names_of(make, root, split, instrument, number, labels, kinds=("img", "chunk")):
    suffix = {"img": "jpg", "chunk": "wav"}
    make.touch(
        *(
            root / kind / split / instrument / f"{instrument}{number}_{ms}.{suffix[kind]}"
            for kind in kinds
            for ms in labels
        )
    )


def test_published_counts_add_up():
    """The totals that the paper tells, which its own table misses."""
    train, test = (sum(n[i] for n in sub_urmp.COUNTS.values()) for i in range(2))
    assert (train, test, train + test) == (71_230, 9_575, 80_805)
    clips = [sum(n[i] for n in sub_urmp_video.COUNTS.values()) for i in range(2)]
    assert clips == [6_496, 907]
    assert list(sub_urmp.COUNTS) == sorted(sub_urmp.COUNTS)
    assert list(sub_urmp.COUNTS) == list(sub_urmp_video.COUNTS)


def test_pairs_are_joined_by_key(tmp_path, make):
    names_of(make, tmp_path, "train", "cello", "00", [500, 600, 1000])
    names_of(make, tmp_path, "train", "cello", "10", [500], kinds=["img"])
    names_of(make, tmp_path, "train", "cello", "00", [700], kinds=["img"])
    names_of(make, tmp_path, "validation", "viola", "01", [500])
    names_of(make, tmp_path, "validation", "violin", "01", [500])
    names_of(make, tmp_path, "validation", "violin", "01", [600, 900], kinds=["chunk"])
    listing = layouts.read("sub_urmp", [tmp_path])
    assert [(a.id, a.label, a.split) for a in listing.sources] == [
        ("cello00", "cello", "train"),
        ("viola01", "viola", "test"),
        ("violin01", "violin", "test"),
    ]
    cello = listing.sources[0]
    assert [m.name for m in cello.moments] == ["0000500", "0000600", "0001000"]
    assert [m.start_s for m in cello.moments] == [0.0, 0.1, 0.5]
    assert cello.moments[1].images == (str(tmp_path / "img/train/cello/cello00_600.jpg"),)
    assert cello.moments[1].sounds == (str(tmp_path / "chunk/train/cello/cello00_600.wav"),)
    assert "orphans: 2 images without sound, 2 without image" in listing.notes
    assert "cello: 3 pairs in train; published: 9,800" in listing.notes
    assert "bassoon: 0 pairs in test; published: 390" in listing.notes


def test_odd_files_are_noted_and_labels_are_folders(tmp_path, make):
    names_of(make, tmp_path, "train", "violin", "01", [500, 550])
    make.touch(
        tmp_path / "img/train/violin/viola01_500.jpg",  # Of another class, by its name.
        tmp_path / "img/train/violin/violin_500.jpg",
        tmp_path / "img/train/violin/.violin01_600.jpg",
        tmp_path / "chunk/train/violin/thumbs.db",
    )
    listing = layouts.read("sub_urmp", [tmp_path])
    assert [(a.id, len(a.moments)) for a in listing.sources] == [("violin01", 2)]
    assert "img: 2 files left out, such as img/train/violin/viola01_500.jpg" in listing.notes
    assert "hop: 1 label off the grid of 500, 600, 700, ... ms" in listing.notes
    assert not [note for note in listing.notes if "orphans" in note]


def test_case_and_an_outer_folder_do_not_matter(tmp_path, make, looped):
    top = tmp_path / "Sub-URMP"
    make.touch(top / "IMG/Train/Cello/Cello00_500.JPG", top / "Chunk/TRAIN/cello/cello00_500.WAV")
    looped(top)
    (album,) = layouts.read("sub_urmp", [tmp_path]).sources
    assert (album.id, album.label, album.split) == ("cello00", "cello", "train")


def test_recording_in_both_splits_is_noted_and_keeps_unique_ids(tmp_path, make):
    for split in ("train", "validation"):
        names_of(make, tmp_path, split, "oboe", "04", [500])
    listing = layouts.read("sub_urmp", [tmp_path])
    assert [a.id for a in listing.sources] == ["train/oboe04", "validation/oboe04"]
    assert "oboe04 stands in train and validation: the splits leak" in listing.notes


def test_clips_follow_one_another(tmp_path, make):
    names_of(make, tmp_path, "train", "tuba", "00", range(500, 4000, 100))
    names_of(make, tmp_path, "validation", "tuba", "01", range(500, 1500, 100))
    listing = layouts.read("sub_urmp_video", [tmp_path])
    first, second = listing.sources
    assert [(m.name, m.start_s) for m in first.moments] == [
        ("0000500", 0.0),
        ("0001500", 1.0),
        ("0002500", 2.0),
    ]
    assert len(second.moments) == 1
    (clip,) = second.moments
    place = tmp_path / "img/validation/tuba"
    assert clip.images == tuple(str(place / f"tuba01_{ms}.jpg") for ms in range(500, 1500, 100))
    place = tmp_path / "chunk/validation/tuba"
    assert clip.sounds == (str(place / "tuba01_500.wav"), str(place / "tuba01_1000.wav"))
    assert clip.bridges == tuple(
        (str(place / f"tuba01_{ms}.wav"), start)
        for ms, start in ((600, 0.1), (700, 0.2), (800, 0.3), (900, 0.4))
    )
    assert any(n.startswith("train: 3 clips; Kurmi et al. report 6,496") for n in listing.notes)
    assert any("tuba 3/323" in note for note in listing.notes)


def test_windows_that_lack_a_file_are_counted(tmp_path, make):
    names_of(make, tmp_path, "train", "horn", "00", range(500, 3500, 100))
    (tmp_path / "img/train/horn/horn00_1700.jpg").unlink()
    (tmp_path / "chunk/train/horn/horn00_3000.wav").unlink()
    listing = layouts.read("sub_urmp_video", [tmp_path])
    assert [m.name for m in listing.sources[0].moments] == ["0000500"]
    assert "horn00: 2 clips left out: an image or sound is missing" in listing.notes


def test_clips_without_a_bridge_are_counted(tmp_path, make):
    names_of(make, tmp_path, "train", "horn", "00", range(500, 1500, 100), kinds=["img"])
    names_of(make, tmp_path, "train", "horn", "00", [500, 1000], kinds=["chunk"])
    listing = layouts.read("sub_urmp_video", [tmp_path])
    assert listing.sources[0].moments[0].bridges == ()
    assert "horn00: 1 clip without a sound across the seam to check it" in listing.notes


def test_no_clip_is_an_error(tmp_path, make):
    names_of(make, tmp_path, "train", "horn", "00", [500, 600])
    with pytest.raises(ValueError, match="no clip of 1 s"):
        layouts.read("sub_urmp_video", [tmp_path])


def test_real_files_become_pairs(tmp_path, make):
    whole = make.take(tmp_path, "train", "cello", "00", range(500, 900, 100))
    (album,) = layouts.read("sub_urmp", [tmp_path]).sources
    clips = list(read_album(album, layouts.spec("sub_urmp")))
    assert [clip.name for clip in clips] == ["0000500", "0000600", "0000700", "0000800"]
    assert [clip.start_s for clip in clips] == pytest.approx([0, 0.1, 0.2, 0.3])
    for i, clip in enumerate(clips):
        assert clip.frames.shape == (1, 64, 64, 3)
        assert np.abs(clip.frames.astype(int) - (500 + 100 * i) // 14).max() <= 3
        expected = whole[4410 * i : 4410 * i + 22050]
        np.testing.assert_allclose(clip.sound, expected, atol=1e-4)


def test_real_files_become_clips_and_torn_ones_are_dropped(tmp_path, make):
    whole = make.take(tmp_path, "train", "cello", "00", range(500, 3500, 100), rate=16000)
    other = make.noise(0.5, 16000, seed=9)
    make.wav(tmp_path / "chunk/train/cello/cello00_2000.wav", other, 16000)
    (album,) = layouts.read("sub_urmp_video", [tmp_path]).sources
    clips = list(read_album(album, layouts.spec("sub_urmp_video")))
    kinds = Counter(type(clip).__name__ for clip in clips)
    assert kinds == {"RawClip": 2, "Dropped": 1}
    first, torn, last = clips
    assert isinstance(torn, Dropped)
    assert torn.name == "0001500"
    assert torn.reason.startswith("seam: correlation ")
    np.testing.assert_allclose(first.sound, whole[:16000], atol=1e-4)
    np.testing.assert_allclose(last.sound, whole[32000:48000], atol=1e-4)
    greys = first.frames.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(greys, np.arange(500, 1500, 100) // 14, atol=3)
