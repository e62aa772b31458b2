"""Fingerprints: what they bear, what they tell apart, and how groups are found."""

import time

import numpy as np
import pytest
import torch

from soundsight.data.fingerprint import (
    near_duplicates,
    picture_hash,
    sound_hash,
    thumbnails,
    words,
)
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import decode_all, encode

SPEC = ClipSpec(frames=25, fps=25, size=64, channels=3, sample_rate=16000)


def scene(seed: int, frames: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """A pattern that moves slowly, and a melody of three voices; no two seeds alike."""
    rng = np.random.default_rng(seed)
    ground = np.kron(rng.integers(20, 210, (12, 12, 3)), np.ones((8, 8, 1)))
    video = np.stack([ground[:64, k : k + 64] for k in np.arange(frames) % 32])
    t = np.arange(frames * 640) / 16000
    wave = 0.003 * rng.normal(size=len(t))
    for _ in range(3):
        notes = rng.uniform(200, 3000, 8 * frames // 25 + 1)[(t * 8).astype(int)]
        wave += 0.15 * np.sin(2 * np.pi * np.cumsum(notes) / 16000)
    return video.astype(np.uint8), wave.astype(np.float32)


def hashes(clips, sample_rate: int = 16000) -> tuple[np.ndarray, np.ndarray]:
    picture = words([picture_hash(thumbnails(frames)) for frames, _ in clips])
    return picture, words([sound_hash(wave, sample_rate) for _, wave in clips])


def groups_of(clips, others, sample_rate: int = 16000) -> list[list[int]]:
    (p, s), (q, u) = hashes(clips), hashes(others, sample_rate)
    return near_duplicates(np.concatenate([p, q]), np.concatenate([s, u]))


def matched(number: int) -> list[list[int]]:
    return [[i, i + number] for i in range(number)]


# Parts.


def test_thumbnails_are_means_of_cells():
    frames = np.arange(2 * 6 * 9 * 3, dtype=np.uint8).reshape(2, 6, 9, 3)
    cells = thumbnails(frames, 3)
    assert cells.shape == (2, 3, 3, 3)
    assert cells[1, 2, 0, 1] == pytest.approx(frames[1, 4:6, 0:3, 1].mean())


def test_thumbnails_of_tiny_frames_are_the_pixels():
    frames = np.arange(2 * 5 * 5, dtype=np.uint8).reshape(2, 5, 5, 1)
    assert (thumbnails(frames, 16) == frames).all()


def test_hashes_have_fixed_length_and_words_keep_their_order():
    frames, wave = scene(0)
    picture, sound = picture_hash(thumbnails(frames)), sound_hash(wave, 16000)
    assert (len(picture), len(sound)) == (32, 64)
    assert words([picture, picture])[1].tolist() == [int(picture[:16], 16), int(picture[16:], 16)]


@pytest.mark.parametrize("bad", [["00" * 8, "00"], ["zz" * 8], ["00" * 7]])
def test_words_refuses_what_is_no_hash(bad):
    with pytest.raises(ValueError, match="hexadecimal"):
        words(bad)


def test_silence_and_flat_pictures_have_hash_zero():
    assert set(sound_hash(np.zeros(16000, np.float32), 16000)) == {"0"}
    assert set(sound_hash(np.zeros(5, np.float32), 16000)) == {"0"}
    assert set(picture_hash(thumbnails(np.full((4, 32, 32, 1), 77, np.uint8)))) == {"0"}


# What copies bear.


def test_loudness_changes_nothing():
    _, wave = scene(3)
    assert sound_hash(wave * np.float32(0.25), 16000) == sound_hash(wave, 16000)


def test_copies_encoded_again_at_another_size_and_rate_are_found(tmp_path):
    clips, copies = [scene(seed) for seed in range(12)], []
    for i, (frames, wave) in enumerate(clips):
        video = torch.from_numpy(frames).permute(0, 3, 1, 2).float()[None] / 255
        sound = torch.from_numpy(wave * np.float32(0.5))[None]
        path = encode(Clip(SPEC, video=video, audio=sound), tmp_path / f"{i}.mp4")
        small = ClipSpec(frames=25, fps=25, size=40, channels=3, sample_rate=22050)
        copies.append(decode_all(path, small))
    assert groups_of(clips, copies, 22050) == matched(12)


def test_brighter_copies_with_noise_are_found():
    rng = np.random.default_rng(1)
    clips = [scene(seed) for seed in range(20)]
    copies = [
        (
            np.clip(frames * 1.15 + 5, 0, 255).astype(np.uint8),
            (wave + 0.003 * rng.normal(size=len(wave))).astype(np.float32),
        )
        for frames, wave in clips
    ]
    assert groups_of(clips, copies) == matched(20)


def test_many_copies_shifted_by_a_frame_are_found():
    long = [scene(seed, frames=26) for seed in range(40)]
    first = [(frames[:25], wave[:16000]) for frames, wave in long]
    second = [(frames[1:], wave[640:]) for frames, wave in long]
    found = groups_of(first, second)
    assert len(found) >= 20
    assert all(j == i + 40 for i, j in found)


# What is told apart.


def test_both_picture_and_sound_have_to_agree():
    clips = [scene(seed) for seed in range(10)]
    same_look = [(clips[0][0], wave) for _, wave in clips]
    same_sound = [(frames, clips[0][1]) for frames, _ in clips]
    assert near_duplicates(*hashes(clips)) == []
    assert near_duplicates(*hashes(same_look)) == []
    assert near_duplicates(*hashes(same_sound)) == []
    assert near_duplicates(*hashes([clips[0]] * 3)) == [[0, 1, 2]]


def test_silent_clips_are_like_none():
    silent = (scene(0)[0], np.zeros(16000, np.float32))
    assert near_duplicates(*hashes([silent] * 4)) == []


def test_clips_of_one_recording_are_not_compared():
    clip = scene(0)
    picture, sound = hashes([clip] * 3 + [scene(1)])
    assert near_duplicates(picture, sound, np.array([5, 5, 5, 6])) == []
    assert near_duplicates(picture, sound, np.array([5, 5, 2, 6])) == [[0, 1, 2]]


def test_groups_are_joined_across_links():
    """0 is like 1 and 1 like 2 (32 of 256 bits each), though 0 is too far from 2."""
    rng = np.random.default_rng(0)
    sound = np.repeat(rng.integers(2**62, 2**63, (1, 4), dtype=np.uint64), 3, axis=0)
    sound[1:, 2] ^= np.uint64(0x00FF00FF00FF00FF)
    sound[2, 3] ^= np.uint64(0x00FF00FF00FF00FF)
    picture = np.full((3, 2), 99, np.uint64)
    assert near_duplicates(picture, sound) == [[0, 1, 2]]
    assert near_duplicates(picture[:2], sound[[0, 2]]) == []


def test_order_of_the_clips_does_not_matter():
    clips = [scene(seed % 7) for seed in range(14)]
    picture, sound = hashes(clips)
    order = np.random.default_rng(2).permutation(14)
    found = near_duplicates(picture[order], sound[order])
    assert sorted(sorted(order[g].tolist()) for g in found) == [[i, i + 7] for i in range(7)]


def test_no_clips_no_groups():
    assert near_duplicates(np.zeros((0, 2), np.uint64), np.zeros((0, 4), np.uint64)) == []


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(i, 2\), \(i, 4\)"):
        near_duplicates(np.zeros((3, 4), np.uint64), np.zeros((3, 4), np.uint64))


# Many clips.


def random_hashes(number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, 2**64, (number, m), dtype=np.uint64) for m in (2, 4))


def test_planted_copies_are_found_among_many():
    picture, sound = random_hashes(50_000)
    picture[-500:], sound[-500:] = picture[:500], sound[:500]
    flips = np.random.default_rng(1).integers(0, 64, (500, 4, 4))  # 16 of 256 bits, at most.
    for flip in flips.transpose(2, 0, 1):
        sound[-500:] ^= np.uint64(1) << flip.astype(np.uint64)
    start = time.perf_counter()
    found = near_duplicates(picture, sound)
    assert found == [[i, 49_500 + i] for i in range(500)]
    assert time.perf_counter() - start < 30


def test_a_data_set_of_copies_does_not_explode():
    picture, sound = random_hashes(1)
    start = time.perf_counter()
    found = near_duplicates(np.repeat(picture, 50_000, axis=0), np.repeat(sound, 50_000, axis=0))
    assert [len(group) for group in found] == [50_000]
    assert time.perf_counter() - start < 30


# Real clips.


@pytest.mark.shared_data
def test_different_sentences_of_one_speaker_are_no_duplicates_and_copies_are(shared_data):
    files = sorted((shared_data / "grid").glob("*.mpg"))[:40]
    whole = [decode_all(path, SPEC) for path in files]
    clips = [(frames[20:45], wave[20 * 640 : 45 * 640]) for frames, wave in whole]
    quiet = [(frames, wave * np.float32(0.3)) for frames, wave in clips]
    shifted = [(frames[21:46], wave[21 * 640 : 46 * 640]) for frames, wave in whole]
    assert near_duplicates(*hashes(clips)) == []
    assert groups_of(clips, quiet) == matched(40)
    found = groups_of(clips, shifted)
    assert len(found) >= 20
    assert all(len(group) == 2 and group[1] == group[0] + 40 for group in found)
