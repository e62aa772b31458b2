"""Measures of clips against known answers, and the rules that drop clips."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from soundsight.data.measure import Filters, Measures, measure, reason_to_drop
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import decode_all, encode

SPEC = ClipSpec(frames=25, fps=25, size=64, channels=3, sample_rate=16000)


def moving(seed: int = 0, frames: int = 25) -> np.ndarray:
    """A pattern of large patches that moves by a pixel per frame."""
    rng = np.random.default_rng(seed)
    ground = np.kron(rng.integers(0, 256, (8, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    return np.stack([ground[:, k % 32 : k % 32 + 64] for k in range(frames)])


def tone(level: float = 0.5, samples: int = 16000) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 440 * np.arange(samples) / 16000)).astype(np.float32)


# Sound.


def test_level_of_a_sine_is_three_decibels_below_its_peak():
    m = measure(moving(), tone(0.5), SPEC)
    assert m.rms_db == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.01)
    assert m.peak == pytest.approx(0.5, abs=1e-4)


def test_silence_has_the_floor():
    m = measure(moving(), np.zeros(16000, np.float32), SPEC)
    assert (m.rms_db, m.peak, m.clipped) == (-120.0, 0.0, 0.0)


def test_clipped_counts_rows_of_three_at_either_end():
    wave = np.zeros(100, np.float32)
    wave[[3, 4]] = 1  # Too few in a row.
    wave[10:13] = -1
    wave[97:] = 0.9995  # A row that goes to the end.
    wave[50] = 1
    assert measure(moving(), wave, SPEC).clipped == pytest.approx(0.06)


# Stillness.


def test_motion_is_the_mean_difference_of_frames():
    frames = np.zeros((3, 4, 4, 1), np.uint8)
    frames[1] = 51  # 0.2 up, and down again to 0.1.
    frames[2, :2] = 51
    m = measure(frames, tone(), replace(SPEC, channels=1))
    assert m.motion == pytest.approx((0.2 + 0.1) / 2)


def test_motion_does_not_wrap_around_zero():
    frames = np.zeros((2, 4, 4, 1), np.uint8)
    frames[0] = 255
    assert measure(frames, tone(), SPEC).motion == pytest.approx(1.0)


def test_one_frame_has_no_motion_and_no_cut():
    m = measure(moving()[:1], tone(), SPEC)
    assert m.motion is None
    assert m.cut == 0
    assert reason_to_drop(m, Filters()) is None


def test_a_still_picture_is_static_even_after_encoding(tmp_path):
    still = np.repeat(moving()[:1], 75, axis=0)
    frames = torch.from_numpy(still).permute(0, 3, 1, 2).float()[None] / 255
    clip = Clip(SPEC.with_frames(75), video=frames, audio=torch.from_numpy(tone(0.5, 48000))[None])
    read, sound = decode_all(encode(clip, tmp_path / "still.mp4"), SPEC)
    assert (reason_to_drop(measure(read, sound, SPEC), Filters()) or "").startswith("static: ")


# Cuts.


def test_a_cut_is_found_wherever_it_is():
    for at in (1, 2, 12, 23, 24):
        frames = np.concatenate([moving(1)[:at], moving(2)[at:]])
        m = measure(frames, tone(), SPEC)
        assert m.cut > 4, at
        assert (reason_to_drop(m, Filters()) or "").startswith("cut: "), at


def _flash(frames):
    bright = frames.astype(float)
    bright[10:12] *= 2.5
    return np.clip(bright, 0, 255)


def _white(frames):
    return np.where((np.arange(25) // 2 == 5)[:, None, None, None], 255, frames)


def _lights_out(frames):
    return frames * np.where(np.arange(25) < 12, 1, 0.3)[:, None, None, None]


def _jerk(frames):
    return np.stack([np.roll(frames[0], 8 * min(max(0, k - 12), 3), axis=1) for k in range(25)])


def _object(frames):
    with_block = frames.copy()
    with_block[12:, 10:50, 10:50] = 255 - with_block[12:, 10:50, 10:50]
    return with_block


def _noise(frames):
    return np.random.default_rng(0).integers(0, 256, frames.shape)


def _dissolve(frames):
    share = np.clip((np.arange(25) - 10) / 4, 0, 1)[:, None, None, None]
    return frames * (1 - share) + moving(5) * share


@pytest.mark.parametrize("change", [_flash, _white, _lights_out, _jerk, _object, _noise, _dissolve])
def test_what_is_no_cut_is_not_taken_for_one(change):
    frames = change(moving(1)).astype(np.uint8)
    assert measure(frames, tone(), SPEC).cut < 3


def test_black_frames_are_no_cut():
    assert measure(np.zeros((25, 64, 64, 3), np.uint8), tone(), SPEC).cut == 0


# Rules.

FINE = Measures(-20.0, 0.5, 0.0, 0.01, 0.8, "0" * 32, "0" * 64)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"rms_db": -63.2}, "silent: -63.2 dBFS; at least -50"),
        ({"rms_db": -50.0}, None),
        ({"motion": 0.0001}, "static: frames differ by 0.01%; at least 0.02%"),
        ({"motion": None}, None),
        ({"cut": 6.14}, "cut: a change 6.1 times those around it; at most 3.5"),
        ({"clipped": 0.032}, "clipped: 3.2% of the samples at full scale; at most 1.0%"),
        ({"rms_db": -90.0, "cut": 9.0}, "silent: -90.0 dBFS; at least -50"),
    ],
)
def test_reasons(change, reason):
    assert reason_to_drop(replace(FINE, **change), Filters()) == reason


def test_rules_can_be_off():
    bad = replace(FINE, rms_db=-120.0, motion=0.0, cut=9.0, clipped=1.0)
    off = Filters(silence_db=None, static=None, cut=None, clipped=None)
    assert reason_to_drop(bad, off) is None


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"silence_db": 3.0}, "silence_db=3.0"),
        ({"static": -0.1}, "static=-0.1"),
        ({"clipped": 1.1}, "clipped=1.1"),
        ({"cut": 0.0}, "cut=0.0"),
    ],
)
def test_senseless_rules_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        Filters(**option)


def test_measures_survive_json():
    m = measure(moving(), tone(), SPEC)
    assert Measures(**json.loads(json.dumps(m.to_json()))) == m


@pytest.mark.parametrize("part", ["frames", "sound"])
def test_empty_clips_are_refused(part):
    frames, sound = moving(), tone()
    with pytest.raises(ValueError, match="at least one of each"):
        measure(frames[:0] if part == "frames" else frames, sound[:0], SPEC)


# Real films.


def pieces(path: Path, frames: int = 25) -> list[Measures]:
    video, sound = decode_all(path, SPEC)
    starts = range(0, len(video) - frames + 1, frames)
    return [
        measure(video[k : k + frames], sound[640 * k : 640 * (k + frames)], SPEC) for k in starts
    ]


@pytest.mark.shared_data
def test_the_cuts_of_a_film_are_found_and_nothing_else(shared_data):
    """Frames 295, 392 and 574 begin new shots; the rest is pans, a fade, and a bird thrown off."""
    found = pieces(shared_data / "blender" / "big_buck_bunny_0_30.webm")
    cut = [k for k, m in enumerate(found) if m.cut > Filters().cut]
    assert cut == [295 // 25, 392 // 25, 574 // 25]
    assert max(m.cut for k, m in enumerate(found) if k not in cut) < 2
    assert max(m.cut for m in pieces(shared_data / "blender" / "sintel_5s.mp4")) < 2


@pytest.mark.shared_data
def test_talking_faces_are_kept(shared_data):
    files = sorted((shared_data / "grid").glob("*.mpg"))[:12]
    for path in files:
        for m in pieces(path):
            assert m.motion > 10 * Filters().static
            assert m.cut < 1
            assert m.clipped < 0.001
            assert reason_to_drop(m, Filters(silence_db=None)) is None


@pytest.mark.shared_data
def test_a_file_with_damaged_pictures_is_noticed(shared_data):
    """Twelve grey pictures, then the face: the first group of pictures of this file is damaged."""
    path = shared_data / "grid" / "lgbf8n.mpg"
    assert pieces(path)[0].cut > Filters().cut
