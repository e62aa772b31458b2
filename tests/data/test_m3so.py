"""M3SO: what is seen, what is heard, and that both tell of the same motion."""

import dataclasses
import math
from functools import cache
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from soundsight.data.digits import load_digits
from soundsight.data.loader import Batches, DataConfig, Dataset
from soundsight.data.m3so import BLOCK, BLOCK_HIT, M3SO, NB, TINY, WALL, tone_table
from soundsight.media.clip import ClipSpec

SHORT, LONG, SMALL = ClipSpec(frames=30), ClipSpec(frames=70), ClipSpec(frames=20, size=32)
GOLDEN = [
    [[11.987777709960938, 4.103515625], [0.0, 16.959152221679688]],
    [[17.836441040039062, 18.439895629882812], [5.7386322021484375, 2.1758575439453125]],
]
"""Of NB's train clips 0 and 4999, the digit's place in frames 0 and 29: from a run of this code."""
SETUPS = {"nb": (NB, SHORT), "block": (BLOCK, LONG), "tiny": (TINY, SMALL)}
TWO = dataclasses.replace(NB, num_digits=2)


def change(config, **fields):
    return dataclasses.replace(config, **fields)


@cache
def opened(config, spec, split="train"):
    return config.build(spec, split)


def same(a, b):
    return {name: torch.equal(x, b.parts()[name]) for name, x in a.parts().items()}


@cache
def some_clips():
    return opened(BLOCK, LONG).clips(range(60, 120))


# One clip, one random stream.


@pytest.mark.parametrize("name", SETUPS)
def test_shapes_ranges_and_labels(name):
    config, spec = SETUPS[name]
    data = opened(config, spec)
    clip = data.clips(range(8))
    assert clip.video.shape == (8, spec.frames, 1, spec.size, spec.size)
    assert clip.audio.shape == (8, spec.frames * 440)
    assert (clip.video.dtype, clip.audio.dtype) == (torch.float32, torch.float32)
    assert (clip.video.min(), clip.video.max()) == (0, 1)
    assert clip.audio.abs().max() <= 1
    np.testing.assert_array_equal(clip.label, data.truth(range(8)).classes[:, 0])
    assert (len(data), len(opened(config, spec, "val"))) == (8000, 1000)
    assert isinstance(config, DataConfig)
    assert isinstance(data, Dataset)


@settings(max_examples=25, deadline=None)
@given(indices=st.lists(st.integers(0, 59), min_size=1, max_size=20))
def test_a_clip_is_the_same_in_any_batch(indices):
    whole, part = some_clips(), opened(BLOCK, LONG).clips([60 + i for i in indices])
    assert same(whole[indices], part) == {"video": True, "audio": True, "label": True}


def test_those_clips_include_ones_that_were_drawn_anew():
    assert not opened(BLOCK, LONG)._attempt(np.arange(60, 120), 0).placed.all()


def test_as_many_clips_are_drawn_anew_as_measured_on_the_released_generator():
    data = opened(change(BLOCK, bounce="specular"), LONG)
    assert data._attempt(np.arange(3000), 0).placed.mean() == pytest.approx(0.91, abs=0.015)


def test_clips_differ_by_seed_split_and_index():
    def first(config, split="train", index=0):
        return opened(config, SHORT, split).truth([index]).positions[0, 0, 0].tolist()

    corners = [first(NB), first(change(NB, seed=2)), first(NB, "val"), first(NB, "test")]
    corners += [first(NB, index=1), first(NB, index=7999)]
    assert len({tuple(corner) for corner in corners}) == len(corners)


def test_a_shorter_clip_is_the_beginning_of_a_longer_one():
    short, long = opened(NB, ClipSpec(frames=10)).clips(range(5)), opened(NB, SHORT).clips(range(5))
    assert all(same(short, long.crop(0, 10).replace(spec=short.spec)).values())


def test_known_positions():
    truth = opened(NB, SHORT).truth([0, 4999])
    np.testing.assert_array_equal(truth.positions[:, [0, 29], 0], GOLDEN)


def test_colour_is_grey_three_times():
    grey = opened(NB, SHORT).clips([3])
    colour = opened(NB, ClipSpec(frames=30, channels=3)).clips([3])
    assert torch.equal(colour.video, grey.video.expand(-1, -1, 3, -1, -1))


@pytest.mark.parametrize("index", [-1, 8000])
def test_indices_outside_are_refused(index):
    with pytest.raises(IndexError, match=f"clip {index} is not among the split's 8000"):
        opened(NB, SHORT).clips([0, index])


# Picture.

RENDERED = {
    "nb": (NB, SHORT),
    "block": (BLOCK, LONG),
    "odd_block": (change(BLOCK, canvas=144, block_side=31, digit=29), LONG),
    "tiny": (TINY, SMALL),
    "two": (TWO, SHORT),
    "specular": (change(NB, bounce="specular"), SHORT),
    "specular_small": (change(NB, bounce="specular", canvas=96), SHORT),
}


@pytest.mark.parametrize("name", RENDERED)
def test_frames_show_the_truth(name):
    config, spec = RENDERED[name]
    data, indices = opened(config, spec), range(6)
    truth, world = data.truth(indices), data._world(indices)
    images = load_digits("sklearn", "train", config.digit).images
    frames = 255 * data.clips(indices).video[:, :, 0].numpy()
    factor, edge = config.canvas // spec.size, 4
    for clip in range(6):
        for t in range(spec.frames):
            canvas = np.zeros((config.canvas + 2 * edge,) * 2)
            for j in range(config.num_digits):
                x, y = edge + np.trunc(truth.positions[clip, t, j]).astype(int)
                image = images[world.images[clip, j]]
                canvas[y : y + config.digit, x : x + config.digit] += image
            if config.block and t >= 41:
                x0, y0, x1, y1 = edge + (truth.block_box[clip] * factor).round().astype(int)
                canvas[y0:y1, x0:x1] += 255
            inner = canvas[edge:-edge, edge:-edge]
            cells = inner.reshape(spec.size, factor, spec.size, factor)
            expected = np.minimum(cells.mean((1, 3)), 255)
            # Averages of the digit and of the block are rounded one by one.
            np.testing.assert_allclose(
                frames[clip, t], expected, atol=0.01 if factor == 1 else 1.01
            )
    np.testing.assert_array_equal(truth.frame_positions * factor, truth.positions)


def test_arrays_are_the_clips_in_bytes():
    frames, sound = opened(TWO, SHORT).arrays(range(20))
    clip = opened(TWO, SHORT).clips(range(20))
    assert torch.equal(torch.from_numpy(frames)[:, :, None].float() / 255, clip.video)
    assert torch.equal(torch.from_numpy(sound), clip.audio)


# Sound.


def test_the_tones_are_those_listed():
    table = tone_table("released")
    digits = [[low, high] for low in (160, 320, 640) for high in (1840, 720, 1440, 1520)][:10]
    assert table.tolist() == [*digits, [640, 1520], [1280, 1840]]
    assert sorted(set(tone_table("spread")[:, 1].tolist())) == [1040, 1560, 1820, 2080]
    for tones in ("released", "spread"):
        assert len(np.unique(np.sort(tone_table(tones)), axis=0)) == 12


@pytest.mark.parametrize("tones", ["released", "spread"])
def test_every_chunk_has_its_two_peaks_at_the_tones_of_what_happens(tones):
    data = opened(change(BLOCK, tones=tones), LONG)
    truth = data.truth(range(60))
    chunks = data.clips(range(60)).audio.numpy().reshape(60, 70, 440)
    spectrum = np.abs(np.fft.rfft(chunks)) / 220
    symbols = np.where(truth.wall_hit, WALL, truth.classes)
    symbols = np.where(truth.block_hit, BLOCK_HIT, symbols)
    peaks = np.sort(np.argsort(spectrum, axis=-1)[..., -2:], axis=-1) * 10  # Bins of 10 Hz.
    np.testing.assert_array_equal(peaks, np.sort(tone_table(tones))[symbols])
    assert (np.sort(spectrum, axis=-1)[..., :-2] < 1e-4).all()  # And nothing else, no DC.
    assert set(symbols.flat) == set(range(12))


def chunk(low, high, amplitude, wave):
    """One frame's sound, sample by sample, as one would write it from the description."""
    samples = []
    for i in range(440):
        s = (math.sin(2 * math.pi * low * i / 4400) + math.sin(2 * math.pi * high * i / 4400)) / 2
        if wave == "clean":
            samples.append(min(amplitude, 1) * s)
        else:
            whole = int(32767 + amplitude * 32767 * s)
            samples.append((whole - 65536 if whole > 32767 else whole) / 32768)
    return samples


@pytest.mark.parametrize("lead", [0, 1])
@pytest.mark.parametrize("amp", ["inverse", "released"])
@pytest.mark.parametrize("wave", ["clean", "released_wrap"])
def test_sound_follows_from_the_truth(lead, amp, wave):
    config = change(BLOCK, audio_lead=lead, amp=amp, wave=wave, bounce="specular")
    data, table = opened(config, LONG), tone_table("released")
    truth = data.truth(range(3))
    sound = data.clips(range(3)).audio.numpy().reshape(3, 70, 440)
    seen = set()
    for clip in range(3):
        for t in range(69):  # The last transition leads to a state that the truth does not hold.
            at = t - 1 + lead  # The transition that this chunk tells of.
            symbol = truth.classes[clip, 0]
            if at >= 0 and truth.block_hits[clip, at, 0]:
                symbol = BLOCK_HIT
            elif at >= 0 and truth.wall_hits[clip, at, 0]:
                symbol = WALL
            share = math.hypot(*truth.positions[clip, at + 1, 0]) / (math.sqrt(2) * 68)
            amplitude = share if amp == "released" else 1 / (1 + 4 * share)
            expected = np.array(chunk(*table[symbol], amplitude, wave))
            wrong = np.abs(sound[clip, t] - expected) > 1e-4
            assert wrong.mean() <= (0 if wave == "clean" else 0.02)  # A wave at 0 may wrap or not.
            seen.add(int(symbol))
    assert {WALL, BLOCK_HIT} < seen


def test_amplitude_falls_with_distance_from_one_to_a_fifth():
    data = opened(NB, SHORT)
    truth, room = data.truth(range(200)), 20 * math.sqrt(2)
    chunks = data.clips(range(200)).audio.numpy().reshape(200, 30, 440)[:, :-1]
    amplitude = np.sqrt((chunks.astype(np.float64) ** 2).mean(-1)) * 2  # Two sines of a/2.
    distance = np.linalg.norm(truth.positions[:, 1:, 0], axis=-1)
    order = np.argsort(distance, axis=None)
    assert (np.diff(amplitude.flat[order]) <= 1e-6).all()
    np.testing.assert_allclose(amplitude, 1 / (1 + 4 * distance / room), atol=1e-5)
    assert distance.max() == pytest.approx(room)
    assert amplitude.min() == pytest.approx(0.2, abs=1e-6)
    assert amplitude.max() == pytest.approx(1, abs=0.02)


def test_a_digit_beyond_the_far_corner_is_no_louder_than_one_in_it():
    data = opened(change(NB, amp="released", bounce="specular"), SHORT)
    distance = np.linalg.norm(data.truth(range(500)).positions[:, 1:, 0], axis=-1)
    chunks = data.clips(range(500)).audio.numpy().reshape(500, 30, 440)[:, :-1]
    beyond = chunks[distance > 20.5 * math.sqrt(2)].astype(np.float64)
    assert len(beyond) > 10
    np.testing.assert_allclose(np.sqrt((beyond**2).mean(-1)), 0.5, atol=1e-5)


def test_released_wrap_gets_quieter_with_amplitude_and_is_nearly_square():
    data = opened(change(NB, wave="released_wrap", amp="released"), SHORT)
    sound = data.clips(range(300)).audio.numpy().reshape(300, 30, 440)[:, :-1]
    distance = np.linalg.norm(data.truth(range(300)).positions[:, 1:, 0], axis=-1)
    level = np.sqrt((sound.astype(np.float64) ** 2).mean(-1))
    share = distance / (20 * math.sqrt(2))
    assert level[share < 0.02].min() > 0.98
    # The wave is s - sign(s) for s the mean of two sines; were their phases independent, its
    # mean square would be 1 - 2 E|s| + E s^2 = 1 - 8/pi^2 + 1/4.
    assert level[share > 0.98].mean() == pytest.approx(math.sqrt(1.25 - 8 / math.pi**2), abs=0.02)


def test_voices_of_several_digits_are_averaged():
    data = opened(TWO, SHORT)
    truth, table = data.truth([5]), tone_table("released")
    sound = data.clips([5]).audio.numpy().reshape(30, 440)
    for t in range(29):
        expected = np.zeros(440)
        for j in (0, 1):
            symbol = WALL if truth.wall_hits[0, t, j] else truth.classes[0, j]
            share = math.hypot(*truth.positions[0, t + 1, j]) / (math.sqrt(2) * 20)
            expected += np.array(chunk(*table[symbol], 1 / (1 + 4 * share), "clean")) / 2
        np.testing.assert_allclose(sound[t], expected, atol=1e-5)
    assert (truth.wall_hits.sum(-1) == 1).any()  # Their bounces are not shared.
    np.testing.assert_array_equal(truth.wall_hit, truth.wall_hits.any(-1))


# Switches and mistakes.


@pytest.mark.parametrize(
    ("fields", "unchanged"),
    [
        ({"amp": "released"}, {"video", "label"}),
        ({"wave": "released_wrap"}, {"video", "label"}),
        ({"tones": "spread"}, {"video", "label"}),
        ({"audio_lead": 0}, {"video", "label"}),
        ({"bounce": "specular"}, {"label"}),
        ({"speeds": (2, 4)}, {"label"}),
        ({"block": True}, {"label"}),
        ({"pool": "released"}, set()),
        ({"seed": 5}, set()),
        ({"clips": (9, 9, 9)}, {"video", "audio", "label"}),
        ({"block_side": 20}, {"video", "audio", "label"}),  # Without a block.
    ],
)
def test_a_switch_changes_what_it_should_and_nothing_else(fields, unchanged):
    base = change(BLOCK, block=False)
    indices = np.flatnonzero(opened(BLOCK, LONG, "test")._attempt(np.arange(9), 0).placed).tolist()
    clip = opened(base, LONG, "test").clips(indices)
    other = opened(change(base, **fields), LONG, "test").clips(indices)
    kept = {name for name, equal in same(clip, other).items() if equal}
    assert kept == unchanged


def test_released_pool_moves_the_same_but_shows_train_digits():
    disjoint, released = NB, change(NB, pool="released")
    for config, split in ((disjoint, "test"), (released, "train")):
        images = load_digits("sklearn", split, 28).images
        frames = opened(config, SHORT, "test").arrays([0])[0][0, 0]
        windows = np.lib.stride_tricks.sliding_window_view(frames, (28, 28)).reshape(-1, 784)
        pool = {image.tobytes() for image in images}
        assert any(window.tobytes() in pool for window in windows)
    a, b = (opened(c, SHORT, "test").truth(range(9)).positions for c in (disjoint, released))
    np.testing.assert_array_equal(a, b)


def test_a_configuration_survives_json_and_refuses_unknown_keys():
    adapter = TypeAdapter(M3SO)
    assert adapter.validate_json(adapter.dump_json(BLOCK)) == BLOCK
    with pytest.raises(ValueError, match="bounc"):
        adapter.validate_python({"bounc": "random"})
    with pytest.raises(ValueError, match="'random' or 'specular'"):
        M3SO(bounce="elastic")
    with pytest.raises(dataclasses.FrozenInstanceError):
        NB.canvas = 3


@pytest.mark.parametrize(
    ("fields", "spec", "message"),
    [
        ({}, {"size": 36}, "canvas=48 px must be a multiple of the frame size 36 px; .* 36 or 72"),
        ({}, {"size": 64}, "canvas=48 px must be a multiple of the frame size 64 px; .* 64 or 128"),
        ({"canvas": 0}, {}, "canvas=0 px must be a multiple"),
        ({"digit": 44}, {}, "canvas=48 px leaves a digit of 44 px only 4 px .* canvas >= 50"),
        ({"digit": 2}, {}, "digit=2 px is too small"),
        ({"speeds": (5, 4)}, {}, r"speeds=\(5, 4\) must be"),
        ({"speeds": (0, 4)}, {}, r"speeds=\(0, 4\) must be"),
        ({"num_digits": 0}, {}, "num_digits=0 must be at least 1"),
        ({"seed": -1}, {}, "seed=-1 must not be negative"),
        ({"clips": (1, -1, 1)}, {}, "clips=.* must not be negative"),
        ({"block": True}, {"frames": 70}, "canvas=48 px has no room .* nearest .*: 96"),
        ({"block": True, "canvas": 96}, {}, "block_frame=42 must be between 2 and .* 30"),
        ({"block": True, "block_side": 0}, {"frames": 70}, "block_side=0 px must be at least 1"),
        ({}, {"fps": 25.0}, "fps=25 does not cut tones='released' .* 20"),
        ({"tones": "spread"}, {"fps": 16.0}, "fps=16 does not cut tones='spread' .* 20"),
        ({}, {"sample_rate": 3680}, "sample_rate=3680 Hz cannot carry .* 1840 Hz; .* 3690 Hz"),
        ({}, {"fps": 2.5, "sample_rate": 3600}, "cannot carry .* 3685 Hz"),
    ],
)
def test_bad_values_are_named_in_one_line(fields, spec, message):
    with pytest.raises(ValueError, match=message) as caught:
        change(NB, **fields).build(ClipSpec(**({"frames": 30} | spec)), "train")
    assert "\n" not in str(caught.value)


def test_unknown_splits_and_missing_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="split='dev' must be one of train, val, test"):
        NB.build(SHORT, "dev")
    with pytest.raises(FileNotFoundError, match="train-images"):
        change(NB, digits="mnist", mnist=str(tmp_path)).build(SHORT, "train")


def test_a_block_that_never_finds_room_ends_the_search():
    crowded = change(BLOCK, num_digits=30)
    with pytest.raises(ValueError, match=r"canvas=96 px has no room .* 30 digits .* 200 tries"):
        opened(crowded, LONG).clips([0])


@pytest.mark.parametrize(("fps", "rate"), [(20.0, 8000), (10.0, 16000), (2.5, 4000)])
def test_other_rates_keep_the_tones(fps, rate):
    data = opened(NB, ClipSpec(frames=6, fps=fps, sample_rate=rate))
    truth, samples = data.truth([0]), round(rate / fps)
    spectrum = np.abs(np.fft.rfft(data.clips([0]).audio.numpy().reshape(6, samples)))
    peaks = np.sort(np.argsort(spectrum, axis=-1)[:, -2:], axis=-1) * fps
    symbols = np.where(truth.wall_hit[0], WALL, truth.classes[0, 0])
    np.testing.assert_array_equal(peaks, tone_table("released")[symbols])


def test_batches_of_windows():
    for _, clip in islice(Batches(opened(TINY, SMALL), 4, frames=15), 3):
        assert clip.spec.frames == 15
        assert clip.audio.shape == (4, 15 * 440)


@pytest.mark.shared_data
def test_real_mnist_is_shown(shared_data):
    config = change(NB, digits="mnist", mnist=str(shared_data / "mnist"))
    data = config.build(SHORT, "test")
    truth = data.truth(range(20))
    pool = load_digits("mnist", "test", 28, folder=config.mnist)
    by_image = {i.tobytes(): c for i, c in zip(pool.images, pool.classes, strict=True)}
    frames, _ = data.arrays(range(20))
    for clip in range(20):
        x, y = truth.positions[clip, 0, 0].astype(int)
        assert by_image[frames[clip, 0, y : y + 28, x : x + 28].tobytes()] == truth.classes[clip, 0]
