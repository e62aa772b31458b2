"""M3SO: how digits move, bounce at walls and at the block."""

import dataclasses
import math
from functools import cache

import numpy as np
import pytest
import torch

from soundsight.data.m3so import BLOCK, NB, TINY
from soundsight.media.clip import ClipSpec

SHORT, LONG = ClipSpec(frames=30), ClipSpec(frames=70)
SETUPS = {"nb": (NB, SHORT), "block": (BLOCK, LONG), "tiny": (TINY, ClipSpec(frames=20, size=32))}


def change(config, **fields):
    return dataclasses.replace(config, **fields)


@cache
def opened(config, spec):
    return config.build(spec, "train")


# Walls.


@pytest.mark.parametrize("name", SETUPS)
def test_random_bounces_follow_the_rule(name):
    config, spec = SETUPS[name]
    truth, room = opened(config, spec).truth(range(300)), config.canvas - config.digit
    at, velocity = truth.positions[:, :-1], truth.velocities[:, :-1]
    after, new = truth.positions[:, 1:], truth.velocities[:, 1:]
    wall, block = truth.wall_hits[:, :-1], truth.block_hits[:, :-1]
    free, only_wall = ~wall & ~block, wall & ~block

    assert truth.positions.min() >= 0
    assert truth.positions.max() <= room
    np.testing.assert_array_equal(after[free], (at + velocity)[free])
    np.testing.assert_array_equal(after[only_wall], np.clip(at + velocity, 0, room)[only_wall])
    np.testing.assert_array_equal(wall, ((at + velocity < 0) | (at + velocity > room)).any(-1))
    np.testing.assert_array_equal((new != velocity).any(-1), wall | block)

    # The speed is whole, within its range, and never changes.
    speed = np.linalg.norm(truth.velocities, axis=-1)
    np.testing.assert_allclose(speed, np.broadcast_to(speed[:, :1].round(), speed.shape), atol=2e-5)
    assert set(speed[:, 0, 0].round()) == set(range(config.speeds[0], config.speeds[1] + 1))

    # And the new direction points away from every wall that was met.
    assert (new[(at + velocity < 0) & wall[..., None]] >= 0).all()
    assert (new[(at + velocity > room) & wall[..., None]] <= 0).all()


def test_bounces_are_uniform_over_the_inward_arc():
    truth = opened(NB, SHORT).truth(range(2000))
    sides = truth.positions[:, :-1] + truth.velocities[:, :-1]
    left, up = (sides[..., axis] < 0 for axis in (0, 1))
    down = sides[..., 1] > 20
    heading = truth.velocities[:, 1:]
    angle = np.arctan2(heading[..., 1], heading[..., 0])
    half = np.sort(angle[left & ~up & ~down]) / np.pi + 0.5
    quarter = np.sort(angle[left & up]) / np.pi * 2
    for sample, least in ((half, 3000), (quarter, 40)):
        assert len(sample) > least
        steps = (np.arange(len(sample)) + 0.5) / len(sample)
        # Kolmogorov and Smirnov's distance; 1.63 is its 99 % point.
        assert np.abs(sample - steps).max() < 1.63 / math.sqrt(len(sample))


def test_starts_are_uniform():
    truth = opened(NB, SHORT).truth(range(4000))
    start = truth.positions[:, 0, 0] / 20
    heading = np.arctan2(truth.velocities[:, 0, 0, 1], truth.velocities[:, 0, 0, 0])
    for sample in (start[:, 0], start[:, 1], heading / (2 * np.pi) + 0.5):
        steps = (np.arange(4000) + 0.5) / 4000
        assert np.abs(np.sort(sample) - steps).max() < 1.63 / math.sqrt(4000)
    assert abs(np.corrcoef(start.T)[0, 1]) < 0.05
    assert np.bincount(truth.classes[:, 0]).min() > 320


def test_specular_bounces_are_the_released_generators():
    truth = opened(change(NB, bounce="specular"), SHORT).truth(range(50))
    for clip in range(50):
        position, velocity = truth.positions[clip, 0, 0].copy(), truth.velocities[clip, 0, 0].copy()
        for t in range(29):
            hit = False
            for j in (0, 1):
                if not -2 <= position[j] + velocity[j] <= 22:
                    velocity[j] *= -1
                    hit = True
            position += velocity
            np.testing.assert_array_equal(truth.positions[clip, t + 1, 0], position)
            assert truth.wall_hits[clip, t, 0] == hit


@pytest.mark.parametrize(("canvas", "rate"), [(48, 0.24), (64, 0.13), (96, 0.075)])
def test_specular_wall_rates_are_those_measured_on_the_released_generator(canvas, rate):
    config = change(NB, bounce="specular", canvas=canvas)
    truth = config.build(ClipSpec(frames=30, size=canvas), "train").truth(range(1000))
    assert truth.wall_hit.mean() == pytest.approx(rate, rel=0.08)


# The block.


@pytest.mark.parametrize("bounce", ["random", "specular"])
def test_digits_never_enter_the_block_and_the_block_never_leaves_the_canvas(bounce):
    truth = opened(change(BLOCK, bounce=bounce), LONG).truth(range(1500))
    box = truth.block_box * 2
    np.testing.assert_array_equal(box, box.round())
    np.testing.assert_array_equal(box[:, 2:] - box[:, :2], np.full((1500, 2), 32))
    assert (box.min(), box.max()) == (24, 96)
    assert truth.block_start == 41
    later = truth.positions[:, 41:, 0]
    overlap = (later + 28 > box[:, None, :2]) & (later < box[:, None, 2:])
    assert not overlap.all(-1).any()
    drawn = np.trunc(later)
    overlap = (drawn + 28 > box[:, None, :2]) & (drawn < box[:, None, 2:])
    assert not overlap.all(-1).any()
    assert not truth.block_hit[:, :41].any()
    assert 0.02 < truth.block_hit[:, 41:].mean() < 0.2


def test_every_hit_stops_at_a_face_and_turns_away_and_no_way_leads_through():
    truth = opened(BLOCK, LONG).truth(range(400))
    for clip in range(400):
        low = truth.block_box[clip, :2] * 2 - 28
        high = truth.block_box[clip, 2:] * 2
        for t in range(41, 69):
            at, velocity = truth.positions[clip, t, 0], truth.velocities[clip, t, 0]
            after, new = truth.positions[clip, t + 1, 0], truth.velocities[clip, t + 1, 0]
            end = np.clip(at + velocity, 0, 68)
            way = at + np.linspace(0, 1, 400)[:, None] * (end - at)
            within = ((way > low) & (way < high)).all(-1)
            if truth.block_hits[clip, t, 0]:
                assert within.any()
                # Of the sampled way, the first point inside is just behind the face that is met.
                before = way[max(within.argmax() - 1, 0)]
                out = np.where(before <= low, -1, np.where(before >= high, 1, 0))
                touched = ((out == -1) & (after == low)) | ((out == 1) & (after == high))
                assert touched.any()
                assert (new * out)[touched].max() >= 0
            else:
                assert not within.any()
                np.testing.assert_array_equal(after, end)


def test_specular_block_hits_turn_one_component_round():
    truth = opened(change(BLOCK, bounce="specular"), LONG).truth(range(500))
    hit = truth.block_hits[:, :-1] & ~truth.wall_hits[:, :-1]
    old, new = truth.velocities[:, :-1][hit], truth.velocities[:, 1:][hit]
    assert len(old) > 200
    np.testing.assert_array_equal(np.abs(old), np.abs(new))
    np.testing.assert_array_equal((old != new).sum(-1), np.ones(len(old)))


def test_the_block_is_anywhere_that_is_free():
    boxes = opened(BLOCK, LONG).truth(range(3000)).block_box * 2
    assert set(boxes[:, 0]) == set(boxes[:, 1]) == set(range(24, 65))


def test_the_block_changes_nothing_before_it_appears():
    with_block, without = opened(BLOCK, LONG), opened(change(BLOCK, block=False), LONG)
    first = np.flatnonzero(with_block._attempt(np.arange(40), 0).placed).tolist()
    a, b = with_block.clips(first), without.clips(first)
    for name, part in a.crop(0, 41).parts().items():
        assert torch.equal(part, b.crop(0, 41).parts()[name])
    assert not torch.equal(a.video[:, 41], b.video[:, 41])


def test_several_digits_keep_clear_of_the_block_each_on_its_own():
    config = change(BLOCK, num_digits=3, digit=14, canvas=144)
    truth = opened(config, LONG).truth(range(200))
    box = truth.block_box[:, None, None] * 3
    later = truth.positions[:, 41:]
    overlap = (later + 14 > box[..., :2]) & (later < box[..., 2:])
    assert not overlap.all(-1).any()
    assert (truth.block_hits.any((0, 1))).all()
    assert (truth.block_hits.sum(-1) == 1).any()  # One bounces, the others do not.
    np.testing.assert_array_equal(truth.block_hit, truth.block_hits.any(-1))
