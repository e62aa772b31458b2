"""AudioSet-Drums and YouTube Painting, as folders and as zip files."""

import zipfile

import pytest

from soundsight.data import layouts
from soundsight.media.io import decode_all

NAMES = [
    "AudioSet_Dataset/train/mp4/10.mp4",
    "AudioSet_Dataset/train/mp4/2.mp4",
    "AudioSet_Dataset/test/mp4/7.MP4",
]
JUNK = [
    "__MACOSX/AudioSet_Dataset/train/mp4/._10.mp4",
    "AudioSet_Dataset/train/stft_pickle/10.pickle",
    "AudioSet_Dataset/train/mp4/.hidden.mp4",
    "AudioSet_Dataset/readme.txt",
]
EXPECTED = [("test/mp4/7.MP4", "test"), ("train/mp4/10.mp4", "train"), ("train/mp4/2.mp4", "train")]


@pytest.fixture
def folder(tmp_path, make):
    make.mp4(tmp_path / "unpacked" / NAMES[0])
    make.touch(*(tmp_path / "unpacked" / name for name in NAMES[1:] + JUNK))
    return tmp_path / "unpacked"


@pytest.fixture
def packed(tmp_path, folder):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in NAMES + JUNK:
            archive.write(folder / name, name)
    return path


@pytest.mark.parametrize("below", ["", "AudioSet_Dataset"])
def test_folder(folder, below):
    listing = layouts.read("audioset_drums", [folder / below])
    assert [(r.id, r.split) for r in listing.sources] == EXPECTED
    assert listing.notes == [
        "2 train, 1 test; the paper: 6,000 train, 1,000 val, 1,000 test",
        "test served as validation, too, in earlier work; here val is cut from train",
    ]
    frames, _ = decode_all(listing.sources[1].path, layouts.spec("audioset_drums"))
    assert frames.shape == (30, 64, 64, 3)


def test_zip_is_read_as_the_folder_is(folder, packed):
    from_zip = layouts.read("audioset_drums", [packed])
    from_folder = layouts.read("audioset_drums", [folder])
    assert [(r.id, r.split, r.label) for r in from_zip.sources] == [
        (r.id, r.split, r.label) for r in from_folder.sources
    ]
    assert from_zip.notes == from_folder.notes
    drum = from_zip.sources[1]
    assert drum.archive == str(packed)
    with zipfile.ZipFile(drum.archive) as archive:
        assert archive.read(drum.path) == (folder / NAMES[0]).read_bytes()


def test_painting_takes_any_outer_name(tmp_path, make):
    path = tmp_path / "painting.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some/where/Train/mp4/1.mp4", b"")
        archive.writestr("some/where/test/mp4/2.mp4", b"")
    listing = layouts.read("youtube_painting", [path])
    assert [(r.id, r.path) for r in listing.sources] == [
        ("test/mp4/2.mp4", "some/where/test/mp4/2.mp4"),
        ("train/mp4/1.mp4", "some/where/Train/mp4/1.mp4"),
    ]
    make.touch(tmp_path / "Painting_Set" / "train" / "mp4" / "5.mp4")
    assert len(layouts.read("youtube_painting", [tmp_path]).sources) == 1


@pytest.mark.parametrize(
    "name",
    [
        "../train/mp4/1.mp4",
        "a/../../train/mp4/1.mp4",
        "/train/mp4/1.mp4",
        "C:/train/mp4/1.mp4",
        "x\\..\\train/mp4/1.mp4",
    ],
)
def test_zip_that_leads_out_of_itself_is_refused(tmp_path, name):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("D/train/mp4/1.mp4", b"")
        archive.writestr(name, b"")
    with pytest.raises(ValueError, match=r"evil.zip: its member .* leads out of it"):
        layouts.read("audioset_drums", [path])


def test_zip_with_a_link_is_refused(tmp_path):
    path = tmp_path / "link.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("D/train/mp4/1.mp4")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match="is a link"):
        layouts.read("audioset_drums", [path])


def test_encrypted_zip_is_refused(tmp_path):
    path = tmp_path / "secret.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("D/train/mp4/1.mp4", b"")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # The flag in the central directory.
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="is encrypted"):
        layouts.read("audioset_drums", [path])


def test_damaged_and_foreign_zips_are_refused(tmp_path, packed):
    (tmp_path / "torn.zip").write_bytes(packed.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"torn.zip: no readable zip file \(.*expects AudioSet"):
        layouts.read("audioset_drums", [tmp_path / "torn.zip"])
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("A/train/mp4/1.mp4", b"")
        archive.writestr("B/train/mp4/1.mp4", b"")
    with pytest.raises(ValueError, match=r"holds 2 data sets \(A/, B/\)"):
        layouts.read("youtube_painting", [tmp_path / "two.zip"])
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("A/b.txt", b"")
    with pytest.raises(ValueError, match=r"none\.zip: holds no files of layout youtube_painting"):
        layouts.read("youtube_painting", [tmp_path / "none.zip"])
