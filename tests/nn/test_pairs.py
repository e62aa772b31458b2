"""Pairs of a picture and its sound: what models ask of clips, and how they sample."""

import dataclasses
import warnings

import pytest
import torch
from torch import nn

from soundsight.media.clip import Clip, ClipSpec
from soundsight.nn.log_mel import LogMel
from soundsight.nn.pairs import (
    SIZES,
    check_spec,
    class_labels,
    evaluating,
    fitting_vocoder,
    one_by_one,
    pictures,
    sound_maps,
)

SPEC = ClipSpec(frames=1, fps=4, size=16, channels=3, sample_rate=4000)


def maker(spec=SPEC):
    return LogMel(spec, n_mels=12, n_fft=256, hop_length=100)


def clips(batch=4, spec=SPEC):
    """Pictures and tones that need no random generator."""
    ramp = torch.arange(batch * spec.channels * spec.size**2)
    video = (torch.cos(0.37 * ramp) / 2 + 0.5).view(batch, 1, spec.channels, spec.size, spec.size)
    audio = torch.sin(torch.arange(1, batch + 1)[:, None] * 0.1 * torch.arange(spec.samples)) / 4
    return Clip(spec, video=video, audio=audio, label=torch.arange(batch))


# ---- What is asked of clips ----------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_sizes_that_go(size):
    check_spec(dataclasses.replace(SPEC, size=size))


@pytest.mark.parametrize("size", [8, 17, 48, 256])
def test_sizes_that_do_not(size):
    message = rf"^size={size}: pictures must have one of \[16, 32, 64, 128\] px$"
    with pytest.raises(ValueError, match=message):
        check_spec(dataclasses.replace(SPEC, size=size))


def test_a_pair_has_one_frame():
    message = "^frames=3: pairs of a picture and a sound have 1 frame$"
    with pytest.raises(ValueError, match=message):
        check_spec(SPEC.with_frames(3))


def test_pictures_are_between_minus_one_and_one():
    clip = clips(2)
    black_white = torch.stack([torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)])
    seen = pictures(clip.replace(video=black_white), SPEC)
    assert seen.shape == (2, 3, 16, 16)
    assert (seen[0] == -1).all()
    assert (seen[1] == 1).all()
    torch.testing.assert_close((pictures(clip, SPEC) + 1) / 2, clip.video[:, 0])


def test_pictures_must_be_there_and_of_the_spec():
    with pytest.raises(ValueError, match=r"^the picture of each clip is needed: these have none$"):
        pictures(clips().replace(video=None), SPEC)
    gray = dataclasses.replace(SPEC, channels=1)
    what = r"\(frames, channels, height, width\)"
    message = rf"^video of \(1, 1, 16, 16\) {what}: must be \(1, 3, 16, 16\)$"
    with pytest.raises(ValueError, match=message):
        pictures(clips(spec=gray), SPEC)


def test_sound_maps_are_log_mels_without_a_gradient():
    log_mel, clip = maker(), clips()
    maps = sound_maps(clip.replace(audio=clip.audio.clone().requires_grad_()), log_mel)
    assert maps.shape == (4, 1, 12, 11)
    assert torch.equal(maps, log_mel(clip.audio))
    assert not maps.requires_grad


def test_sounds_must_be_there_at_the_rate_and_length_of_training():
    with pytest.raises(ValueError, match=r"^the sound of each clip is needed: these have none$"):
        sound_maps(clips().replace(audio=None), maker())
    # As many samples, at another rate.
    other = dataclasses.replace(SPEC, fps=8, sample_rate=8000)
    assert other.samples == SPEC.samples
    with pytest.raises(ValueError, match=r"^sample_rate=8000: must be 4000, as in training$"):
        sound_maps(clips(spec=other), maker())
    with pytest.raises(ValueError, match="sounds of 999 samples: these maps are of 1000"):
        sound_maps(clips().replace(audio=torch.zeros(4, 999)), maker())


def test_class_labels():
    clip = clips()
    assert class_labels(clip, 4) is clip.label
    for label, message in (
        (None, "^class labels are needed: these clips have none$"),
        ([0, 3, -1, 1], "^label -1: class labels are needed, there are clips without one$"),
        ([0, 3, 1, 1], "^label 3: classes=3 allows 0 to 2$"),
    ):
        worse = clip.replace(label=None if label is None else torch.tensor(label))
        with pytest.raises(ValueError, match=message):
            class_labels(worse, 3)


# ---- Vocoders ------------------------------------------------------------------------------------


@pytest.fixture
def vocoder(tmp_path):
    """A file that makes 1000 samples of any map."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.jit.trace(
            lambda x: x.mean((1, 2))[:, None].expand(-1, 1000) / 100, torch.zeros(1, 12, 11)
        )
        network.save(str(tmp_path / "vocoder.pt"))
    return str(tmp_path / "vocoder.pt")


def test_no_path_is_no_vocoder():
    assert fitting_vocoder("", maker(), wanted=True) is None
    assert fitting_vocoder("", maker(), wanted=False) is None


def test_a_vocoder_is_tried_at_once(vocoder):
    fitting = fitting_vocoder(vocoder, maker(), wanted=True)
    assert fitting(torch.full((2, 12, 11), -50.0), 1000).shape == (2, 1000)
    longer = maker(dataclasses.replace(SPEC, fps=2))
    with pytest.raises(ValueError, match=r"makes \(1, 1000\) .* not \(1, 2000\)"):
        fitting_vocoder(vocoder, longer, wanted=True)
    with pytest.raises(ValueError, match="there is no such file"):
        fitting_vocoder(vocoder + "?", maker(), wanted=True)


def test_a_vocoder_without_use_is_refused_before_it_is_looked_for():
    message = "^vocoder='v.pt' is for direction=\"image_to_sound\" alone$"
    with pytest.raises(ValueError, match=message):
        fitting_vocoder("v.pt", maker(), wanted=False)


# ---- Sampling ------------------------------------------------------------------------------------


def mixed():
    """A network whose parts are in different modes, and the modes."""
    net = nn.Sequential(nn.Linear(5, 6), nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(0.5)))
    net[1][0].eval()
    net[0].eval()
    return net, [True, False, True, False, True]


def test_each_module_gets_its_own_mode_back():
    net, modes = mixed()
    assert [m.training for m in net.modules()] == modes
    x = torch.ones(3, 5, requires_grad=True)
    with evaluating(net):
        assert not any(m.training for m in net.modules())
        assert not net(x).requires_grad
        assert torch.equal(net(x), net(x))
    assert [m.training for m in net.modules()] == modes
    assert net(x).requires_grad


def test_modes_come_back_after_an_error():
    net, modes = mixed()
    with pytest.raises(RuntimeError, match="meanwhile"), evaluating(net):
        raise RuntimeError("meanwhile")
    assert [m.training for m in net.modules()] == modes
    assert torch.is_grad_enabled()


def test_inside_another_evaluation_nothing_is_woken():
    net, _ = mixed()
    with evaluating(net):
        with evaluating(net[1]):
            pass
        assert not any(m.training for m in net.modules())
        assert not torch.is_grad_enabled()


def two_inputs():
    """A network of an odd width, where sums could be split differently in batches, and inputs."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(97, 33), nn.Tanh(), nn.Linear(33, 3))
    x, y = torch.randn(9, 60), torch.randn(9, 37)
    return lambda a, b: net(torch.cat([a, b], dim=1)), x, y


def test_rows_one_by_one_are_those_of_the_whole_batch():
    f, x, y = two_inputs()
    made = one_by_one(f, x, y)
    assert made.shape == (9, 3)
    torch.testing.assert_close(made, f(x, y))


def test_rows_one_by_one_are_the_same_to_the_bit_in_any_batch():
    f, x, y = two_inputs()
    lengths = []

    def noted(a, b):
        lengths.append((len(a), len(b)))
        return f(a, b)

    made = one_by_one(noted, x, y)
    assert lengths == 9 * [(1, 1)]
    for rows in ([4], [8, 0], [2, 2, 7, 1, 3]):
        assert torch.equal(one_by_one(f, x[rows], y[rows]), made[rows])


def test_clips_go_one_by_one_and_results_are_float32():
    clip = clips()
    made = one_by_one(lambda row, n: row.video.flatten(1).double() * n, clip, torch.arange(4.0))
    assert made.dtype == torch.float32
    scaled = clip.video.flatten(1) * torch.arange(4.0)[:, None]
    torch.testing.assert_close(made, scaled)
