import pytest
import torch
from torch import nn

from soundsight.media.clip import ClipSpec
from soundsight.nn.ears import spectrum
from soundsight.nn.jitter import Jitter
from soundsight.nn.pair_discriminator import PairDiscriminator, resampling
from soundsight.nn.wavegan import STEP, audio_steps


def count(module):
    return sum(p.numel() for p in module.parameters())


def spec_of(frames=10, fps=10, size=16, channels=3, sample_rate=16_000):
    return ClipSpec(frames, fps=fps, size=size, channels=channels, sample_rate=sample_rate)


def small(spec, channels=2, **options):
    torch.manual_seed(0)
    return PairDiscriminator(spec, audio_steps(spec), channels, **options)


def inputs(spec, batch=2):
    audio = torch.sin(torch.arange(batch * audio_steps(spec) * STEP) ** 1.1).view(batch, -1)
    shape = (batch, spec.frames, spec.channels, spec.size, spec.size)
    return audio, torch.cos(torch.arange(audio.new_zeros(shape).numel()) * 0.7).view(shape)


def judge(net, audio, video, jitter=None):
    return net.join(net.hear(audio, jitter), net.see(video))


# ---- Sizes ---------------------------------------------------------------------------------------


def test_published_widths():
    spec = spec_of(size=64)
    with torch.device("meta"):
        net = PairDiscriminator(spec, 16, 32)
    assert count(net.audio) == 1_076_480
    assert count(net.video) == 2_069_472
    assert count(net) == 3_736_802
    assert not [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm3d)]


@pytest.mark.parametrize("frames", [1, 8, 10, 16, 25])
def test_shapes_on_the_way(frames):
    spec = spec_of(frames, fps=10 if frames < 25 else 25, size=64)
    net, found = PairDiscriminator(spec, 16, 2), []
    for layer in (*net.audio.layers, *net.video):
        layer.register_forward_hook(lambda _, __, y: found.append(tuple(y.shape[1:])))
    heard = net.hear(torch.zeros(2, 16_384), None)
    seen = net.see(torch.zeros(2, frames, 3, 64, 64))
    assert found[:4] == [(2, 4096), (4, 1024), (8, 256), (16, 64)]
    sides = zip([2, 4, 8, 16], [32, 16, 8, 4], strict=True)
    assert found[4:] == [(c, frames, s, s) for c, s in sides]
    assert heard.shape == seen.shape == (2, 16, 16)
    assert net.join(heard, seen).shape == (2, 1)


@pytest.mark.parametrize("options", [{}, {"whole": True}, {"position": True}, {"heads": 2}])
@pytest.mark.parametrize("batch", [1, 3])
def test_options(options, batch):
    spec = spec_of()
    net = small(spec, **options)
    logits = judge(net, *inputs(spec, batch))
    assert logits.shape == (batch, options.get("heads", 1))
    assert logits.isfinite().all()
    extra = {"position": 2 * 2 * 3 * 4 * 4, "heads": 16 + 1 + 16 + 1}
    kernels = 16 * (16 + 4) * 2 + 16 * 16 * 2  # Of three steps, the outer two are gone.
    changed = sum(extra.get(name, 0) for name in options) - kernels * ("whole" in options)
    assert count(net) - count(small(spec)) == changed


def test_every_parameter_learns():
    spec = spec_of()
    net = small(spec, heads=2, position=True)
    judge(net, *inputs(spec)).square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in net.parameters())


def test_each_pair_is_judged_by_itself():
    spec = spec_of()
    net = small(spec)
    audio, video = inputs(spec, 3)
    logits = judge(net, audio, video)
    torch.testing.assert_close(judge(net, audio[1:2], video[1:2]), logits[1:2])
    assert (judge(net, audio, video.roll(1, 0)) - logits).abs().min() > 0


def test_position_tells_places_apart():
    """A dot two of the coarsest pixels on: without coordinates it looks the same."""
    spec = spec_of(size=64, channels=1)
    video = torch.zeros(2, 10, 1, 64, 64)
    video[0, ..., 16, 16] = video[1, ..., 48, 48] = 1
    for position in (False, True):
        net = small(spec, position=position)
        for layer in net.video:
            nn.init.zeros_(layer.bias)  # The dark is then as the padding.
        here, there = net.see(video)
        assert torch.allclose(here, there, atol=1e-7) == (not position)


def test_jitter_is_for_the_sound_alone_and_may_be_none():
    spec = spec_of()
    net = small(spec)
    audio, _ = inputs(spec)
    jitter = Jitter(torch.Generator().manual_seed(0), sigma=1.0, radius=2)
    assert torch.equal(net.hear(audio, None), net.hear(audio, None))
    assert not torch.equal(net.hear(audio, jitter), net.hear(audio, None))


# ---- One clock -----------------------------------------------------------------------------------

CLOCKS = [(10, 10), (25, 25), (8, 10), (16, 10), (16, 25), (40, 25)]


@pytest.mark.parametrize(("frames", "fps"), CLOCKS)
def test_resampling_reads_the_frames_at_the_steps_times(frames, fps):
    spec = spec_of(frames, fps)
    steps = audio_steps(spec)
    to_steps = resampling(spec, steps)
    torch.testing.assert_close(to_steps.sum(0), torch.ones(steps))
    frame_times = (torch.arange(frames) + 0.5) / fps
    step_times = (torch.arange(steps) + 0.5) * STEP / 16_000
    expected = step_times.clamp(frame_times[0], frame_times[-1])
    torch.testing.assert_close(frame_times @ to_steps, expected)


def test_resampling_by_hand():
    """4 frames/s, steps of 1/8 s from 1/16 s on: frames 0 | 1/4 | 3/4 ... of the way."""
    spec = ClipSpec(3, fps=4, size=16, sample_rate=8192)
    expected = torch.tensor(
        [
            [1, 0.75, 0.25, 0, 0, 0],
            [0, 0.25, 0.75, 0.75, 0.25, 0],
            [0, 0, 0, 0.25, 0.75, 1],
        ]
    )
    torch.testing.assert_close(resampling(spec, 6), expected)


def plain_means(net):
    """Convolutions as plain means over blocks: what comes in at a time stays there."""
    with torch.no_grad():
        for layer in (*net.audio.layers, *net.video):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer in net.audio.layers:
            layer.weight[:, :, 10:14] = 1  # Samples 4 i to 4 i + 3, after the padding.
        for layer in net.video:
            layer.weight[:, :, 1] = 1  # The frame itself.
    return net


@pytest.mark.parametrize(("frames", "fps"), CLOCKS)
def test_an_impulse_in_both_lands_in_the_same_step(frames, fps):
    spec = spec_of(frames, fps, channels=1)
    net, steps = plain_means(small(spec)), audio_steps(spec)
    # Past the middle of the last frame it is all that is seen.
    inside = (torch.arange(steps) + 0.5) * STEP / 16_000 <= (frames - 0.5) / fps
    for k in range(frames):
        audio = torch.zeros(1, steps * STEP)
        audio[0, round((k + 0.5) / fps * 16_000)] = 1
        video = torch.zeros(1, frames, 1, 16, 16)
        video[0, k] = 1
        heard, seen = net.hear(audio, None)[0, 0], net.see(video)[0, 0]
        assert (heard > 0).sum() == 1
        step = int(heard.argmax())
        assert step == int((k + 0.5) / fps / (STEP / 16_000))
        last = max(step, int(inside.sum()) - 1)
        assert seen[step] == seen[: last + 1].max() > 0


def test_spectrograms_are_heard_at_their_time():
    """A click's centre of gravity over the steps is where the click is."""
    spec = spec_of(40, 25)
    net, steps = small(spec, mel=True), audio_steps(spec)
    for layer in net.audio.layers:
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    times = (torch.arange(steps) + 0.5) * STEP / 16_000
    silence = net.hear(spectrum(torch.zeros(1, steps * STEP), 16_000), None)[0, 0]
    for at in (0.4, 0.57, 0.81, 1.12):
        audio = torch.zeros(1, steps * STEP)
        audio[0, round(at * 16_000)] = 1
        louder = (net.hear(spectrum(audio, 16_000), None)[0, 0] - silence).double()
        louder = louder * (louder > 1e-3 * louder.max())
        assert ((louder * times).sum() / louder.sum()).item() == pytest.approx(at, abs=0.02)
