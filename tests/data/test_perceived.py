"""What the built-in worlds' judges read from clips: one side at a time, and failures that show."""

from functools import cache

import numpy as np
import pytest
import torch

from soundsight.data.bounce_tone import BounceTone
from soundsight.data.m3so import TINY
from soundsight.data.orchestra import Orchestra
from soundsight.data.orchestra_notes import LOWS
from soundsight.data.orchestra_oracle import CONFIDENT, CONTRAST, look
from soundsight.data.perceived import (
    UNKNOWN,
    Perceived,
    Perceiver,
    motion_energy,
    perceive_motion,
    sound_flux,
)
from soundsight.media.clip import Clip, ClipSpec

SPEC = ClipSpec(frames=10, fps=10, size=64, channels=3, sample_rate=16000)
WORLDS = {"bounce_tone": BounceTone(), "orchestra": Orchestra()}
SEEN, HEARD = ("place", "seen_class", "seen_times_s"), ("pitch", "heard_class", "heard_times_s")


@cache
def opened(name):
    return WORLDS[name].build(SPEC, "test")


@cache
def some(name, count=39):
    return opened(name).clips(range(count))


@pytest.fixture(params=WORLDS)
def world(request):
    return request.param


def same(a, b):
    if isinstance(a, list):
        return len(a) == len(b) and all(map(np.array_equal, a, b))
    return np.array_equal(a, b, equal_nan=True)


def test_worlds_that_perceive():
    for name in WORLDS:
        assert isinstance(opened(name), Perceiver)
    assert not isinstance(TINY.build(ClipSpec(frames=20, size=32), "test"), Perceiver)


def test_bounce_tone_reads_the_truth():
    truth = opened("bounce_tone").truth(range(39))
    read = opened("bounce_tone").perceive(some("bounce_tone"))
    np.testing.assert_allclose(read.place, truth.u, atol=0.01)
    np.testing.assert_allclose(read.pitch, np.log2(truth.pitch_hz), atol=0.03)
    np.testing.assert_array_equal(read.seen_class, truth.classes)
    np.testing.assert_array_equal(read.heard_class, truth.sound_classes)
    assert np.mean([len(t) for t in read.heard_times_s]) > 2


def test_orchestra_reads_the_truth():
    truth = opened("orchestra").truth(range(39))
    read = opened("orchestra").perceive(some("orchestra"))
    np.testing.assert_allclose(read.place, np.median(truth.pose, axis=1), atol=0.1)
    np.testing.assert_array_equal(read.seen_class, truth.classes)
    np.testing.assert_array_equal(read.heard_class, truth.sound_classes)

    # The note at the middle of each frame, of the truth's own onsets.
    moments = (np.arange(10) + 0.5) / 10
    for row in range(39):
        onsets = truth.sound_onset_s[row][np.isfinite(truth.sound_onset_s[row])]
        notes = [truth.sound_midi[row][max(0, (onsets <= t).sum() - 1)] for t in moments]
        octaves = (np.median(notes) - LOWS[truth.sound_classes[row]]) / 12
        assert read.pitch[row] == pytest.approx(octaves, abs=0.06)


def test_clean_players_are_far_from_invisible():
    """The bounds of `CONFIDENT` and `CONTRAST`, with room below clean clips."""
    clip = some("orchestra")
    contrast = clip.video.flatten(2).std(-1).median(1).values
    assert contrast.min() > 5 * CONTRAST
    assert look(clip.video, SPEC).confidence.min() > 5 * CONFIDENT


def test_each_side_is_read_alone(world):
    """With the sounds of other clips, what is seen stays bit for bit, and the reverse."""
    clip, data = some(world), opened(world)
    order = torch.arange(len(clip)).roll(1)
    plain, mixed = data.perceive(clip), data.perceive(clip.replace(audio=clip.audio[order]))
    for name in (*SEEN, "motion"):
        assert same(getattr(plain, name), getattr(mixed, name))
    for name in ("pitch", "heard_class", "flux"):
        np.testing.assert_array_equal(getattr(plain, name)[order], getattr(mixed, name))


def test_any_batch_reads_the_same(world):
    data, clip = opened(world), some(world)
    whole = data.perceive(clip)
    joined = Perceived.cat([data.perceive(clip[:5]), data.perceive(clip[5:])])
    assert len(whole) == len(joined) == 39
    by_label = ["place_in_class"] if world == "orchestra" else []
    assert list(whole.parts()) == list(joined.parts()) == [*_names(), *by_label]
    for name, value in whole.parts().items():
        if name in ("motion", "place"):
            np.testing.assert_allclose(value, joined.parts()[name], rtol=1e-5)
        else:
            assert same(value, joined.parts()[name])


def _names():
    return (
        "place", "pitch", "seen_class", "heard_class", "seen_times_s", "heard_times_s", "motion",
        "flux",
    )  # fmt: skip


@pytest.mark.parametrize("shade", [0.0, 0.05, 0.5])
def test_nothing_to_see_is_not_read(world, shade):
    """A picture of one shade has no place and no class, however it was made."""
    if world == "bounce_tone" and shade == 0.5:
        pytest.skip("bright everywhere: the centroid is the middle of the picture")
    clip = some(world)[:3]
    read = opened(world).perceive(clip.replace(video=torch.full_like(clip.video, shade)))
    assert np.isnan(read.place).all()
    assert (read.seen_class == UNKNOWN).all()
    assert [len(times) for times in read.seen_times_s] == [0, 0, 0]
    assert np.isfinite(read.pitch).all()


def test_silence_is_not_read(world):
    clip = some(world)[:3]
    read = opened(world).perceive(clip.replace(audio=torch.zeros_like(clip.audio)))
    assert np.isnan(read.pitch).all()
    assert (read.heard_class == UNKNOWN).all()
    assert [len(times) for times in read.heard_times_s] == [0, 0, 0]
    assert (read.flux == 0).all()
    assert np.isfinite(read.place).all()


def test_grey_pictures_show_no_class_in_bounce_tone():
    spec = ClipSpec(frames=10, fps=10, size=32, channels=1, sample_rate=16000)
    data = BounceTone().build(spec, "test")
    read = data.perceive(data.clips(range(3)))
    assert read.seen_class is None
    assert read.heard_class is not None


def test_one_frame_has_no_time():
    pairs = ClipSpec(frames=1, fps=2, size=64, channels=3, sample_rate=16000)
    data = Orchestra().build(pairs, "test")
    read = data.perceive(data.clips(range(3)))
    kinds = ["place", "pitch", "seen_class", "heard_class", "place_in_class"]
    assert list(read.parts()) == kinds


def test_half_a_clip_is_refused(world):
    clip = some(world)[:2]
    for part in ("video", "audio"):
        with pytest.raises(ValueError, match="it needs video and audio"):
            opened(world).perceive(clip.replace(**{part: None}))


def test_only_equal_parts_join():
    a, b = Perceived(place=np.zeros(2)), Perceived(pitch=np.zeros(2))
    with pytest.raises(ValueError, match="2 sets of fields"):
        Perceived.cat([a, b])
    with pytest.raises(ValueError, match="cannot join 0 parts"):
        Perceived.cat([])


# Motion and flux.


def test_motion_is_the_mean_squared_change():
    video = torch.zeros(1, 4, 1, 8, 8)
    video[0, 2, 0, 0, :4] = 0.5
    np.testing.assert_allclose(motion_energy(video), [[0, 0.25 * 4 / 64, 0.25 * 4 / 64]])


@pytest.mark.parametrize(("time", "interval"), [(0.12, 0), (0.31, 2), (0.5, 4), (0.88, 8)])
def test_flux_stands_where_the_sound_starts(time, interval):
    """Interval k lies between the middles of the frames k and k + 1."""
    audio = torch.zeros(1, 16000)
    audio[0, round(time * 16000) :] = 0.3 * torch.sin(torch.arange(16000 - round(time * 16000)) / 3)
    flux = sound_flux(audio, SPEC, 10)
    assert flux.shape == (1, 9)
    assert flux[0].argmax() == interval
    assert flux[0, interval] > 0.9 * flux.sum()


def test_flux_does_not_depend_on_loudness():
    audio = some("bounce_tone").audio[:4]
    np.testing.assert_allclose(sound_flux(audio, SPEC, 10), sound_flux(audio / 8, SPEC, 10), 1e-4)


def test_any_clip_has_motion_and_flux():
    clip = Clip(SPEC, video=torch.rand(2, 10, 3, 64, 64), audio=torch.rand(2, 16000))
    assert list(perceive_motion(clip).parts()) == ["motion", "flux"]
    assert perceive_motion(clip.replace(video=clip.video[:, :1])).parts() == {}
    assert len(perceive_motion(clip.replace(video=clip.video[:, :1]))) == 0
