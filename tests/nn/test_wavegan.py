import numpy as np
import pytest
import torch

from soundsight.media.clip import ClipSpec
from soundsight.nn.jitter import Jitter
from soundsight.nn.wavegan import (
    STEP,
    AudioDiscriminator,
    AudioGenerator,
    AudioTrunk,
    audio_steps,
    glorot,
)


def count(module):
    return sum(p.numel() for p in module.parameters())


def no_motion(batch, steps):
    return torch.zeros(batch, 1, steps)


# ---- Sizes (appendix of 1802.04208) --------------------------------------------------------------


def test_published_sizes():
    with torch.device("meta"):
        g, d = AudioGenerator(100, 64, 16), AudioDiscriminator(64, 16)
    assert count(g) == 19_065_345
    assert count(d) == 17_427_969


def test_lengths_of_all_layers():
    generator, lengths = AudioGenerator(5, 2, 16), []
    for layer in generator.layers:
        # One sample too many comes out, and is dropped.
        layer.register_forward_hook(lambda _, __, y: lengths.append(tuple(y.shape[1:])))
    generator(torch.zeros(1, 5), no_motion(1, 16))
    assert lengths == [(16, 65), (8, 257), (4, 1025), (2, 4097), (1, 16_385)]
    trunk, lengths = AudioTrunk([1, 2, 3, 4, 5, 6]), []
    for layer in trunk.layers:
        layer.register_forward_hook(lambda _, __, y: lengths.append(tuple(y.shape[1:])))
    trunk(torch.zeros(1, 16_384), None)
    assert lengths == [(2, 4096), (3, 1024), (4, 256), (5, 64), (6, 16)]


@pytest.mark.parametrize("steps", [4, 7, 25])
def test_any_number_of_steps(steps):
    sound = AudioGenerator(3, 1, steps)(torch.zeros(1, 3), no_motion(1, steps))
    assert sound.shape == (1, steps * 1024)
    assert AudioDiscriminator(1, steps)(sound, None).shape == (1,)


# ---- TensorFlow's "same" -------------------------------------------------------------------------


def same_conv(x, weight, bias):
    """Stride 4 on n samples: ceil(n / 4) outputs; the padding of 21 has its larger half behind."""
    length = x.shape[1]
    outputs = -(-length // 4)
    total = (outputs - 1) * 4 + 25 - length
    y = np.zeros((len(weight), outputs))
    for out in range(outputs):
        for tap in range(25):
            at = 4 * out + tap - total // 2
            if 0 <= at < length:
                y[:, out] += weight[:, :, tap] @ x[:, at]
    return y + bias[:, None]


def same_transposed(x, weight, bias):
    """The gradient of `same_conv` with respect to its input."""
    length = x.shape[1]
    y = np.zeros((weight.shape[1], 4 * length))
    for at in range(length):
        for tap in range(25):
            out = 4 * at + tap - 10
            if 0 <= out < 4 * length:
                y[:, out] += weight[:, :, tap].T @ x[:, at]
    return y + bias[:, None]


def numbers(module):
    """Weights in closed form, as float64 arrays."""
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.sin(torch.arange(p.numel()) * 0.7 + 1).reshape(p.shape) / 2)
    return [[p.detach().double().numpy() for p in layer.parameters()] for layer in module.layers]


@pytest.mark.parametrize("length", [1024, 2048])
def test_trunk_pads_as_tensorflow(length):
    trunk = AudioTrunk([1, 2, 3])
    x = torch.cos(torch.arange(length) ** 1.3)[None]
    expected = x.double().numpy()
    for weight, bias in numbers(trunk):
        y = same_conv(expected, weight, bias)
        expected = np.where(y > 0, y, 0.2 * y)
    torch.testing.assert_close(
        trunk(x, None)[0].double(), torch.from_numpy(expected), atol=1e-4, rtol=1e-4
    )


def test_generator_pads_as_tensorflow():
    generator = AudioGenerator(3, 1, 4)
    layers = numbers(generator)
    z = torch.tensor([[0.3, -1.0, 0.8]])
    x = generator.first(z).detach().double().numpy().reshape(16, 4)
    for weight, bias in layers:
        x = same_transposed(np.maximum(x, 0), weight, bias)
    expected = torch.from_numpy(np.tanh(x[0]))
    made = generator(z, no_motion(1, 4))[0].double()
    assert expected.abs().min() < 0.5  # Not saturated everywhere.
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


def test_both_paddings_are_each_others_transpose():
    """<conv x, y> = <x, transposed conv y>, which fixes the alignment of one by the other."""
    weight = torch.randn(3, 2, 25, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.sin(torch.arange(2 * 64, dtype=torch.float64)).view(1, 2, 64)
    y = torch.cos(torch.arange(3 * 16, dtype=torch.float64) ** 1.2).view(1, 3, 16)
    trunk, generator = AudioTrunk([2, 3]).double(), AudioGenerator(1, 1, 4).double()
    conv, transposed = trunk.layers[0], generator.layers[0]
    forwards = torch.nn.functional.conv1d(
        torch.nn.functional.pad(x, (10, 11)), weight, stride=conv.stride
    )
    backwards = torch.nn.functional.conv_transpose1d(
        y, weight, stride=transposed.stride, padding=transposed.padding
    )[..., :-1]
    torch.testing.assert_close((forwards * y).sum(), (x * backwards).sum())


# ---- Noise, motion and first weights -------------------------------------------------------------


def test_motion_is_silent_at_first_and_heard_once_it_has_weights():
    torch.manual_seed(0)
    generator = AudioGenerator(4, 2, 8, motion=3)
    z, codes = torch.randn(2, 4), torch.randn(2, 3, 8)
    plain = generator(z, torch.zeros(2, 3, 8))
    assert torch.equal(generator(z, codes), plain)
    torch.nn.init.ones_(generator.from_motion.weight)
    changed = codes.clone()
    changed[:, :, 5] += 1
    moved = (generator(z, changed) - generator(z, codes)).abs().amax(0)
    # A step reaches 10 + 10/4 + ... samples of each layer's scale beyond its own 1024.
    reach = 10 * (1 + 4 + 16 + 64 + 256) + 1024
    assert moved[5 * STEP : 6 * STEP].max() > 0
    assert moved[: 5 * STEP - reach].max() == 0


def test_zero_weights_do_learn():
    torch.manual_seed(0)
    generator = AudioGenerator(4, 4, 4, motion=3)
    generator(torch.randn(2, 4), torch.randn(2, 3, 4)).square().sum().backward()
    assert generator.from_motion.weight.grad.abs().max() > 0


def test_longer_sounds_repeat_the_noise_and_follow_the_motion():
    torch.manual_seed(0)
    generator = AudioGenerator(4, 2, 12, motion=2)
    z = torch.randn(1, 4)
    once, longer = generator(z, torch.zeros(1, 2, 12)), generator(z, torch.zeros(1, 2, 30))
    assert longer.shape == (1, 30 * STEP)
    # Away from the seams, which the kernels blur over three steps, it is the same again.
    inner, later = (slice(first * STEP, (first + 4) * STEP) for first in (4, 16))
    torch.testing.assert_close(longer[:, inner], once[:, inner])
    torch.testing.assert_close(longer[:, later], once[:, inner])
    torch.nn.init.ones_(generator.from_motion.weight)
    codes = torch.zeros(1, 2, 30)
    codes[..., 20] = 1
    moved = (generator(z, codes) - longer).abs()[0]
    assert moved[20 * STEP : 21 * STEP].max() > 0
    assert moved[: 16 * STEP].max() == 0


def test_glorot_has_tensorflows_bounds():
    generator, discriminator = AudioGenerator(100, 8, 16), AudioDiscriminator(8, 16)
    for net in (generator, discriminator):
        glorot(net)
        for name, p in net.named_parameters():
            if name.endswith("bias"):
                assert not p.any()
            else:
                taps = p[0, 0].numel() if p.ndim == 3 else 1
                bound = (6 / (taps * (p.shape[0] + p.shape[1]))) ** 0.5
                # The largest of n uniform numbers is about 1 - 1/n of the bound.
                assert bound * (1 - 8 / p.numel()) < p.abs().max() <= bound, name


def test_one_sound_is_as_good_as_many():
    torch.manual_seed(0)
    generator, discriminator = AudioGenerator(4, 2, 4), AudioDiscriminator(2, 4)
    z = torch.randn(3, 4)
    sound = generator(z, no_motion(3, 4))
    torch.testing.assert_close(generator(z[1:2], no_motion(1, 4)), sound[1:2])
    logits = discriminator(sound, None)
    assert logits.shape == (3,)
    torch.testing.assert_close(discriminator(sound[1:2], None), logits[1:2])


# ---- Phase shuffle's places ----------------------------------------------------------------------


class Counting(Jitter):
    def shuffle(self, x):
        CALLS.append(tuple(x.shape))
        return x


CALLS = []


def test_phase_shuffle_comes_after_every_layer_but_the_last():
    CALLS.clear()
    AudioDiscriminator(2, 4)(torch.zeros(1, 4096), Counting(torch.Generator()))
    assert CALLS == [(1, 2, 1024), (1, 4, 256), (1, 8, 64), (1, 16, 16)]


def test_without_jitter_the_judgement_is_the_same_each_time():
    torch.manual_seed(0)
    discriminator, sound = AudioDiscriminator(2, 4), torch.randn(2, 4096)
    assert torch.equal(discriminator(sound, None), discriminator(sound, None))
    jitter = Jitter(torch.Generator().manual_seed(0), radius=2)
    assert not torch.equal(discriminator(sound, jitter), discriminator(sound, None))


# ---- Lengths -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "fps", "sample_rate", "steps"),
    [(10, 10, 16_000, 16), (25, 25, 16_000, 16), (8, 10, 16_000, 13), (16, 10, 16_000, 25)],
)
def test_steps_cover_the_clip(frames, fps, sample_rate, steps):
    spec = ClipSpec(frames, fps=fps, size=64, sample_rate=sample_rate)
    assert audio_steps(spec) == steps
    assert (steps - 1) * STEP < spec.samples <= steps * STEP


@pytest.mark.parametrize(("frames", "possible"), [(2, True), (1, False), (40, True), (41, False)])
def test_too_short_or_long_a_sound_is_refused_with_what_is_possible(frames, possible):
    spec = ClipSpec(frames, fps=10, size=64, sample_rate=16_000)
    if possible and frames * 1600 > 3 * STEP:
        assert 4 <= audio_steps(spec) <= 64
    else:
        with pytest.raises(ValueError, match=r"samples of sound.*3073 to 65536.*0\.19 to 4\.10 s"):
            audio_steps(spec)
