"""URMP's musicians, their boxes and their tracks."""

import pytest

from soundsight.data import layouts
from soundsight.data.layouts.urmp import INSTRUMENTS
from soundsight.media.io import decode, decode_image
from soundsight.media.picture import Box

HEAD = "piece,k,inst,x0,y0,x1,y1\n"


@pytest.fixture
def urmp(tmp_path, make):
    """Two arrangements of a piece, without content, and their boxes."""
    for piece, tracks in (("08_Spring_fl_vn", "fl vn"), ("12_Spring_vn_vn_vc", "vn vn vc")):
        number, title, *_ = piece.split("_")
        names = [
            f"AuSep_{k}_{code}_{number}_{title}.wav" for k, code in enumerate(tracks.split(), 1)
        ]
        names += [f"Vid_{piece}.mp4", f"AuMix_{piece}.wav", f"Sco_{piece}.mid"]
        make.touch(*(tmp_path / piece / name for name in names))
    (tmp_path / "boxes.csv").write_text(
        HEAD
        + "08_Spring_fl_vn,1,fl,0,0,4,8\n8,2,vn,4,0,8,8\n"
        + "12,1,vn,0,0,2.5,8\n12,2,vn,2.5,0,5,8\n12_spring_vn_vn_vc,3,vc,5,0,8,8\n"
    )
    return tmp_path


def test_every_musician_is_a_recording(urmp, make):
    make.mp4(urmp / "12_Spring_vn_vn_vc" / "Vid_12_Spring_vn_vn_vc.mp4")
    track = urmp / "12_Spring_vn_vn_vc" / "AuSep_3_vc_12_Spring.wav"
    make.wav(track, make.noise(1.0, 48000, seed=3), 48000)
    listing = layouts.read("urmp", [urmp])
    assert [(r.id, r.label, r.group, r.box) for r in listing.sources] == [
        ("08_Spring_fl_vn#1_fl", "flute", "spring flute", Box(0, 0, 4, 8)),
        ("08_Spring_fl_vn#2_vn", "violin", "spring violin", Box(4, 0, 8, 8)),
        ("12_Spring_vn_vn_vc#1_vn", "violin", "spring violin", Box(0, 0, 2.5, 8)),
        ("12_Spring_vn_vn_vc#2_vn", "violin", "spring violin", Box(2.5, 0, 5, 8)),
        ("12_Spring_vn_vn_vc#3_vc", "cello", "spring cello", Box(5, 0, 8, 8)),
    ]
    assert listing.notes == ["2 pieces; published: 44"]
    last, spec = listing.sources[-1], layouts.spec("urmp")
    assert last.path.endswith("12_Spring_vn_vn_vc/Vid_12_Spring_vn_vn_vc.mp4")
    assert last.sound == str(track)
    assert decode_image(last.path, spec).video is not None
    assert decode(last.sound, spec, video=False).audio.abs().max() > 0.5


def test_title_may_be_of_several_words_and_like_a_code(tmp_path, make):
    piece = tmp_path / "03_Dance_va_Light_fl_cl"
    make.touch(
        piece / "Vid_03_Dance_va_Light_fl_cl.MP4", piece / "AuSep_1_fl_03_Dance_va_Light.WAV"
    )
    (tmp_path / "boxes.csv").write_text(HEAD + "3,1,fl,0,0,4,8\n")
    (flute,) = layouts.read("urmp", [tmp_path]).sources
    assert flute.group == "dance_va_light flute"


def test_missing_boxes_tell_what_they_must_cover(urmp):
    (urmp / "boxes.csv").unlink()
    with pytest.raises(ValueError, match=r"boxes\.csv: is missing") as caught:
        layouts.read("urmp", [urmp])
    assert "2 pieces (08_Spring_fl_vn, 12_Spring_vn_vn_vc)" in str(caught.value)
    assert "piece,k,inst,x0,y0,x1,y1" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("piece,k\n8,1\n", "has the columns"),
        (HEAD + "8,one,fl,0,0,1,1\n", "line 2: k must be a whole number"),
        (HEAD + "8,1,fl,0,0,1\n", "line 2: k must be"),
        (HEAD + "8,1,fl,4,0,4,8\n", "line 2: a box needs 0 <= x0 < x1"),
        (HEAD + "8,1,fl,0,0,nan,8\n", "line 2: a box needs"),
        (HEAD + "8,1,fl,0,0,inf,8\n", "line 2: a box needs"),
        (HEAD + "8,1,vc,0,0,4,8\n", "inst='vc', but the track is AuSep_1_fl"),
        (HEAD + "9,1,fl,0,0,4,8\n", "covers none of 2 pieces"),
    ],
)
def test_wrong_boxes_are_refused(urmp, text, error):
    (urmp / "boxes.csv").write_text(text)
    with pytest.raises(ValueError, match=r"boxes\.csv") as caught:
        layouts.read("urmp", [urmp])
    assert error in str(caught.value)


def test_what_lacks_a_box_or_a_file_is_noted(urmp, make):
    make.touch(urmp / "30_Fugue_fl_ob" / "AuSep_1_fl_30_Fugue.wav")
    (urmp / "boxes.csv").write_text(HEAD + "8,1,fl,0,0,4,8\n")
    listing = layouts.read("urmp", [urmp])
    assert len(listing.sources) == 1
    assert "30_Fugue_fl_ob: left out, has no Vid_*.mp4" in listing.notes
    assert any(n.startswith("no box, left out: 08_Spring_fl_vn 2 vn, ") for n in listing.notes)


def test_classes_are_those_of_sub_urmp():
    from soundsight.data.layouts.sub_urmp import COUNTS

    assert set(INSTRUMENTS.values()) == set(COUNTS)
