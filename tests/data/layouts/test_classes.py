"""Videos in a folder per class: any such set, and HMMD."""

import pytest

from soundsight.data import layouts
from soundsight.media.io import decode_all


def test_label_is_the_first_folder(tmp_path, make, looped):
    make.mp4(tmp_path / "viola" / "1.mp4")
    make.touch(tmp_path / "violin" / "tape 2" / "viola.MOV", tmp_path / "violin" / "notes.txt")
    make.touch(tmp_path / "loose.mp4", tmp_path / ".trash" / "3.mp4")
    (tmp_path / "empty").mkdir()
    looped(tmp_path / "viola")
    listing = layouts.read("classes", [tmp_path])
    assert [(r.id, r.label, r.split) for r in listing.sources] == [
        ("viola/1.mp4", "viola", None),
        ("violin/tape 2/viola.MOV", "violin", None),
    ]
    assert listing.notes == ["1 video in no class: loose.mp4, ...", "empty: holds no video"]
    frames, sound = decode_all(listing.sources[0].path, layouts.spec("classes"))
    assert (frames.shape, sound.shape) == ((25, 64, 64, 3), (16000,))


def test_published_splits_are_kept(tmp_path, make):
    for name in ("train/run/1.mp4", "Validation/RUN/2.mp4", "test/swim/3.mp4", "extra/x/4.mp4"):
        make.touch(tmp_path / name)
    listing = layouts.read("classes", [tmp_path])
    assert [(r.id, r.label, r.split) for r in listing.sources] == [
        ("Validation/RUN/2.mp4", "RUN", "val"),
        ("test/swim/3.mp4", "swim", "test"),
        ("train/run/1.mp4", "RUN", "train"),  # One class, as it was spelt first.
    ]
    assert listing.notes == ["folders beside the splits, left out: extra"]


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("v_Drumming_g01_c02.avi", "Drumming_g01"),
        ("v_Drumming_g01_c11.avi", "Drumming_g01"),
        ("-0Ab_c3d4eF_000010_000020.mp4", "-0Ab_c3d4eF"),
        ("holiday.mp4", ""),
    ],
)
def test_clips_of_one_video_are_one_group(tmp_path, make, name, group):
    make.touch(tmp_path / "Drumming" / name)
    (recording,) = layouts.read("classes", [tmp_path]).sources
    assert recording.group == group


def test_hmmd_compares_with_the_paper(tmp_path, make):
    make.mp4(tmp_path / "Ghatam" / "1.mp4")
    make.touch(*(tmp_path / "Ac.Guitar" / f"{i}.mp4" for i in range(11)))
    listing = layouts.read("hmmd", [tmp_path])
    assert [r.label for r in listing.sources] == ["Ac.Guitar"] * 11 + ["Ghatam"]
    assert "Ghatam: 1 video, too few for three splits by video" in listing.notes
    assert "violin: 0 videos; published: 25" in listing.notes
    assert not [n for n in listing.notes if n.startswith(("ghatam", "acoustic_guitar"))]
    assert sum(layouts.hmmd.VIDEOS.values()) == 77
