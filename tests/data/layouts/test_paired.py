"""Sounds with images of the same class: FSDD with MNIST, and any two folders, as INIS."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from soundsight.data import layouts
from soundsight.data.album import read_album, read_idx
from soundsight.data.source import RawClip

SPEAKERS = ("george", "jackson", "lucas")


def images_of(listing):
    """The images that every split, and every group, uses."""
    used = defaultdict(set)
    for album in listing.sources:
        for moment in album.moments:
            used[album.split, album.group].update(moment.images)
    return used


@pytest.fixture
def roots(tmp_path, make):
    """Two digits, three speakers, eight sounds each; 100 images to train and 60 to test with."""
    for digit in (0, 7):
        for speaker in SPEAKERS:
            for index in range(8):
                sound = make.noise(0.3 + 0.1 * index + (digit == 7), 8000, seed=index)
                make.wav(tmp_path / f"fsdd/{digit}_{speaker}_{index}.wav", sound, 8000)
    for prefix, count, suffix in (("train", 100, ""), ("t10k", 60, ".gz")):
        classes = np.where(np.arange(count) % 2, 7, 0)
        images = np.arange(count)[:, None, None] * np.ones((1, 28, 28))
        make.idx(tmp_path / f"mnist/{prefix}-images-idx3-ubyte{suffix}", images)
        make.idx(tmp_path / f"mnist/{prefix}-labels-idx1-ubyte{suffix}", classes)
    make.touch(*(tmp_path / "fsdd" / name for name in ("README.md", "noise.wav")))
    return [tmp_path / "fsdd", tmp_path / "mnist"]


def test_published_splits(roots):
    listing = layouts.read("fsdd_mnist", roots)
    assert len(listing.sources) == 48
    assert [a.id for a in listing.sources] == sorted(a.id for a in listing.sources)
    assert listing.notes == ["1 sound left out, such as noise.wav"]
    for album in listing.sources:
        digit, _, index = album.id.split("_")
        assert album.label == digit
        assert album.split == ("test" if int(index) < 5 else "train")
        prefix = "t10k" if album.split == "test" else "train"
        for moment in album.moments:
            file, _, place = moment.images[0].rpartition("/")[2].partition("#")
            assert file.startswith(f"{prefix}-images-idx3-ubyte")
            assert int(place) % 2 == (digit == "7")
    used = images_of(listing)
    assert not used["train", ""] & used["test", ""]
    # 9 sounds of a digit to train with have 50 images: four each. 15 to test with have 30: two.
    assert len(used["train", ""]) == 2 * 9 * 4
    assert len(used["test", ""]) == 2 * 30


def test_pairs_do_not_depend_on_how_mnist_is_packed(roots, tmp_path, make):
    before = layouts.read("fsdd_mnist", roots).sources
    for file in sorted(roots[1].iterdir()):
        kind = 3 if "images" in file.name else 1
        bare = file.name.removesuffix(".gz")
        make.idx(tmp_path / "again" / f"{bare}.gz", read_idx(file, dimensions=kind))
    after = layouts.read("fsdd_mnist", [roots[0], tmp_path / "again"]).sources

    def places(albums):
        return [[m.images[0].partition("#")[2] for m in album.moments] for album in albums]

    assert places(before) == places(after)


def test_no_speaker_and_no_image_stands_in_two_splits(roots):
    listing = layouts.read("fsdd_mnist_speakers", roots)
    assert {(a.split, a.group) for a in listing.sources} == {
        (split, speaker)
        for split, speaker in (note.split(": ") for note in listing.notes if ": " in note)
    }
    assert {a.split for a in listing.sources} == {"train", "val", "test"}
    shares = list(images_of(listing).values())
    assert sum(map(len, shares)) == len(set().union(*shares))


def test_sounds_and_images_are_read(roots):
    spec = layouts.spec("fsdd_mnist")
    albums = {album.id: album for album in layouts.read("fsdd_mnist", roots).sources}
    (short, *_) = read_album(albums["0_lucas_1"], spec)
    place = int(albums["0_lucas_1"].moments[0].images[0].partition("#")[2])
    assert short.frames.shape == (1, 64, 64, 1)
    assert (short.frames == place).all()  # Every image is of one grey: its number.
    assert short.sound.shape == (8000,)
    assert np.abs(short.sound[2000:3100]).max() > 0.5
    assert not short.sound[3200:].any()
    (long, *_) = read_album(albums["7_lucas_1"], spec)
    assert long.sound.shape == (8000,)
    assert np.abs(long.sound[7000:]).max() > 0.5


def test_sound_that_is_there_twice_counts_once(roots):
    twin = roots[0] / "0_lucas_1.WAV"
    if twin.exists():
        pytest.skip("upper and lower case are the same on this disk")
    twin.write_bytes((roots[0] / "0_lucas_1.wav").read_bytes())
    listing = layouts.read("fsdd_mnist", roots)
    assert len(listing.sources) == 48
    assert listing.notes == ["2 sounds left out, such as 0_lucas_1.wav"]


def test_wrong_mnist_is_refused(roots, make):
    make.idx(roots[1] / "train-labels-idx1-ubyte", np.zeros(99))
    with pytest.raises(ValueError, match="train: images and labels of MNIST must be as many"):
        layouts.read("fsdd_mnist", roots)
    (roots[1] / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(ValueError, match="has no train-labels-idx1-ubyte, gzipped or not"):
        layouts.read("fsdd_mnist", roots)


def test_too_few_speakers(roots):
    for path in roots[0].glob("*_lucas_*"):
        path.unlink()
    with pytest.raises(ValueError, match=r"three speakers, here are 2 \("):
        layouts.read("fsdd_mnist_speakers", roots)


@pytest.mark.shared_data
def test_real_digits(shared_data):
    roots = [shared_data / "fsdd", shared_data / "mnist"]
    listing = layouts.read("fsdd_mnist", roots)
    assert listing.notes == []
    assert len(listing.sources) == 2100
    assert sum(album.split == "test" for album in listing.sources) == 300
    assert {len(album.moments) for album in listing.sources} == {4}
    used = images_of(listing)
    assert len(used["train", ""]) == 1800 * 4
    assert len(used["test", ""]) == 300 * 4
    digits = read_idx(shared_data / "mnist/train-labels-idx1-ubyte.gz", dimensions=1)
    spec = layouts.spec("fsdd_mnist")
    for album in [a for a in listing.sources if a.split == "train"][::400]:
        for moment in album.moments:
            assert digits[int(moment.images[0].partition("#")[2])] == int(album.label)
        for clip in read_album(album, spec):
            assert isinstance(clip, RawClip)
            assert clip.frames.max() > 200
            assert np.abs(clip.sound).max() > 0.02


# INIS.


@pytest.fixture
def folders(tmp_path, make):
    """Two classes with images and sounds, one with images only, one with sounds only."""
    for i in range(7):
        make.jpg(tmp_path / "images" / "Piano" / f"{i}.jpg", 10 * i)
    make.jpg(tmp_path / "images" / "sax" / "0.JPG", 99)
    make.touch(tmp_path / "images" / "drum" / "1.png", tmp_path / "sounds" / "guitar" / "1.wav")
    for name in ("piano/a.wav", "piano/b.wav", "sax/c.wav", "sax/d.wav"):
        seconds = 1.75 if name != "piano/b.wav" else 5.0
        make.wav(tmp_path / "sounds" / name, make.noise(seconds, 22050, seed=len(name)), 22050)
    return [tmp_path / "images", tmp_path / "sounds"]


def test_images_are_dealt_to_sounds(folders):
    listing = layouts.read("inis", folders)
    albums = {album.id: album for album in listing.sources}
    assert "drum: images only, left out" in listing.notes
    assert "guitar: sounds only, left out" in listing.notes
    assert "sax: 1 sound left out: more sounds than images" in listing.notes
    assert [len(albums[f"piano/{name}.wav"].moments) for name in "ab"] == [3, 10]
    assert {album.label for album in listing.sources} == {"Piano", "sax"}
    assert len(albums) == 3
    shares = [{m.images[0] for m in albums[f"piano/{name}.wav"].moments} for name in "ab"]
    assert list(map(len, shares)) == [3, 3]  # Four and three are dealt; a has three windows.
    assert not shares[0] & shares[1]


def test_windows_are_heard_where_they_stand(folders, make):
    spec = layouts.spec("inis")
    album = next(a for a in layouts.read("inis", folders).sources if a.id == "piano/a.wav")
    assert [m.name for m in album.moments] == ["0000000", "0000500", "0001000"]
    assert [m.start_s for m in album.moments] == [0.0, 0.5, 1.0]
    native = replace(spec, sample_rate=22050)
    whole = make.noise(1.75, 22050, seed=len("piano/a.wav"))
    for i, clip in enumerate(read_album(album, native)):
        expected = whole[i * 11025 : (i + 1) * 11025]
        np.testing.assert_allclose(clip.sound, expected, atol=1e-4)
    (first, *_) = read_album(album, spec)
    assert first.sound.shape == (22050,)


def test_short_and_broken_sounds_are_noted(folders, make):
    (folders[1] / "piano" / "a.wav").write_bytes(b"RIFF no more")
    make.wav(folders[1] / "sax" / "c.wav", make.noise(0.2, 8000, 1), 8000)
    (folders[1] / "sax" / "d.wav").unlink()
    listing = layouts.read("inis", folders)
    assert [album.id for album in listing.sources] == ["piano/b.wav"]
    assert any("a.wav: is no readable media file" in note for note in listing.notes)
    assert any("c.wav: shorter than 0.5 s" in note for note in listing.notes)


@pytest.mark.shared_data
def test_real_sounds(shared_data, tmp_path, make):
    for name in ("rain", "rooster"):
        for i in range(9):
            make.jpg(tmp_path / name / f"{i}.jpg", 20 * i)
    listing = layouts.read("inis", [tmp_path, shared_data / "esc10"])
    assert {album.label for album in listing.sources} == {"rain", "rooster"}
    assert {len(album.moments) for album in listing.sources} == {10}  # Of 5 s each.
    clips = list(read_album(listing.sources[0], layouts.spec("inis")))
    assert all(isinstance(clip, RawClip) for clip in clips)
    assert min(np.abs(clip.sound).max() for clip in clips) > 0
