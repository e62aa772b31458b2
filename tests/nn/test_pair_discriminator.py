import math

import pytest
import torch
from torch import nn

from soundsight.data.bounce_tone import BounceTone
from soundsight.media.clip import ClipSpec
from soundsight.nn.ears import spectrum
from soundsight.nn.jitter import Jitter
from soundsight.nn.pair_discriminator import Matcher, Pair, PairDiscriminator, resampling
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


# ---- The matcher ---------------------------------------------------------------------------------

FORMS = [{}, {"mel": True}, {"position": True}, {"mel": True, "position": True}]


def matcher(spec, channels=2, **options):
    torch.manual_seed(0)
    return Matcher(spec, audio_steps(spec), channels, **options)


def pair_of(spec, batch=3, *, mel=False):
    audio, video = inputs(spec, batch)
    return Pair(spectrum(audio, spec.sample_rate) if mel else audio, video)


def quiet():
    """A source of noise that is not asked for any."""
    return Jitter(torch.Generator().manual_seed(0))


def told(heard, seen, **options):
    """What a matcher makes of these codes."""
    net = matcher(spec_of(), noise=0.0, **options)
    net.codes = lambda pair, jitter: Pair(heard, seen)
    return net(pair_of(spec_of(), len(heard)), quiet())


def unit_codes(batch, seed, width=6):
    x = torch.randn(batch, width, generator=torch.Generator().manual_seed(seed))
    return x / x.norm(dim=1, keepdim=True)


def test_published_width_of_the_matcher():
    with torch.device("meta"):
        net = Matcher(spec_of(size=64), 16, 32)
    assert count(net.audio) == 1_076_480
    assert count(net.video) == 2_069_472
    assert count(net.code_heard) == count(net.code_seen) == 256 * 256 * 3 + 256 + 256 * 16 + 16
    assert count(net) == 1_076_480 + 2_069_472 + 2 * 200_976


@pytest.mark.parametrize("form", FORMS)
def test_codes_have_length_1_and_are_of_one_part_of_one_clip(form):
    spec, mel = spec_of(), "mel" in form
    net, pair = matcher(spec, codes=5, **form), pair_of(spec, mel=mel)
    heard, seen = net.codes(pair, None)
    assert heard.shape == seen.shape == (3, 5 * audio_steps(spec))
    torch.testing.assert_close(heard.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(seen.norm(dim=1), torch.ones(3))
    for codes in (heard, seen):
        assert (codes[0] - codes[1]).abs().max() > 1e-4
    other = net.codes(pair._replace(video=pair.video.roll(1, 0)), None)
    assert torch.equal(other.audio, heard)
    assert not torch.equal(other.video, seen)
    other = net.codes(pair._replace(audio=pair.audio.roll(1, 0)), None)
    assert torch.equal(other.video, seen)
    assert not torch.equal(other.audio, heard)
    alone = net.codes(Pair(pair.audio[1:2], pair.video[1:2]), None)
    torch.testing.assert_close(alone.audio, heard[1:2])
    torch.testing.assert_close(alone.video, seen[1:2])


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("batch", [2, 5])
def test_info_nce_of_codes_known(temperature, batch):
    eye, same = torch.eye(batch), torch.eye(batch)[:1].expand(batch, -1)
    best = math.log(1 + (batch - 1) * math.exp(-1 / temperature))
    found = told(eye, eye, temperature=temperature)
    assert found["match_nce"].item() == pytest.approx(best, rel=1e-5, abs=1e-6)
    assert found["match_right"] == 1
    wrong = told(eye, eye.roll(1, 0), temperature=temperature)
    assert wrong["match_nce"].item() == pytest.approx(best + 1 / temperature, rel=1e-5)
    assert wrong["match_right"] == 0
    nothing = told(same, same, temperature=temperature)
    assert nothing["match_nce"].item() == pytest.approx(math.log(batch), rel=1e-6)
    deaf = told(same, eye, temperature=temperature)  # The first video is everyone's.
    e, others = math.exp(1 / temperature), batch - 1
    by_sound = math.log(e + others) - 1 / (batch * temperature)
    expected = (by_sound + math.log(batch)) / 2
    assert deaf["match_nce"].item() == pytest.approx(expected, rel=1e-5)
    assert deaf["match_right"].item() == pytest.approx(1 / batch)


def test_info_nce_equals_a_loop():
    """Each sound chooses among the videos, each video among the sounds; 0.1 is the default."""
    heard, seen, b = unit_codes(7, 1), unit_codes(7, 2), 7
    products = [[10 * sum(x * y for x, y in zip(a, v, strict=True)) for v in seen.tolist()]
                for a in heard.tolist()]  # fmt: skip
    loss = 0.0
    for i in range(b):
        loss -= products[i][i] - math.log(sum(math.exp(products[i][j]) for j in range(b)))
        loss -= products[i][i] - math.log(sum(math.exp(products[j][i]) for j in range(b)))
    found = told(heard, seen)
    assert found["match_nce"].item() == pytest.approx(loss / (2 * b), rel=1e-5)
    right = sum(row.index(max(row)) == i for i, row in enumerate(products)) / b
    assert found["match_right"].item() == pytest.approx(right)


def test_share_of_sounds_that_find_their_video():
    eye = torch.eye(4)
    assert told(eye, eye[[0, 1, 3, 2]])["match_right"] == 0.5
    assert told(eye, eye[[0, 2, 3, 1]])["match_right"] == 0.25
    # Asked of the sounds; every video would find its own.
    tilted = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    assert told(tilted, torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))["match_right"] == 0.5


def test_the_order_of_the_clips_does_not_matter_and_their_pairing_does():
    heard, seen, order = unit_codes(5, 1), unit_codes(5, 2), [2, 0, 3, 4, 1]
    found, other = told(heard, seen), told(heard[order], seen[order])
    for name in found:
        torch.testing.assert_close(other[name], found[name])
    assert (told(heard[order], seen)["match_nce"] - found["match_nce"]).abs() > 0.1
    net, pair = matcher(spec_of(), noise=0.0), pair_of(spec_of(), 5)
    other = net(Pair(pair.audio[order], pair.video[order]), quiet())["match_nce"]
    torch.testing.assert_close(other, net(pair, quiet())["match_nce"])


@pytest.mark.parametrize("mel", [False, True])
def test_noise_is_of_the_given_source_and_of_its_own_size(mel):
    spec = spec_of()
    pair = pair_of(spec, mel=mel)

    def loss(noise, seed=0, sigma=0.0, radius=0):
        jitter = Jitter(torch.Generator().manual_seed(seed), sigma, radius)
        return matcher(spec, mel=mel, noise=noise)(pair, jitter)["match_nce"]

    assert torch.equal(loss(0.2), loss(0.2))
    assert not torch.equal(loss(0.2), loss(0.2, seed=1))
    assert not torch.equal(loss(0.2), loss(0.4))
    assert torch.equal(loss(0.2), loss(0.2, sigma=3.0))
    # Without noise nothing is drawn; waveforms are shifted inside by phase shuffle.
    assert torch.equal(loss(0.0), loss(0.0, seed=1, sigma=3.0))
    assert torch.equal(loss(0.0), loss(0.0, radius=2)) == mel


def test_noise_is_added_to_what_is_heard_and_to_what_is_seen():
    spec = spec_of()
    net, pair, seen = matcher(spec, noise=0.3), pair_of(spec, 4), []
    plain = net.codes(pair, None)
    net.codes = lambda given, jitter: seen.append(given) or plain
    net(pair, quiet())
    for before, after in zip(pair, seen[0], strict=True):
        assert (after - before).std().item() == pytest.approx(0.3, rel=0.03)
        assert (after - before).mean().abs() < 0.01


@pytest.mark.parametrize("form", FORMS)
def test_every_weight_of_the_matcher_learns_and_both_parts_get_gradients(form):
    spec = spec_of()
    net = matcher(spec, **form)
    pair = pair_of(spec, mel="mel" in form).detached(watched=True)
    net(pair, quiet())["match_nce"].backward()
    assert all(p.grad.abs().max() > 0 for p in net.parameters())
    for part in pair:
        assert (part.grad.flatten(1).abs().amax(1) > 0).all()


# ---- What the matcher learns ---------------------------------------------------------------------

LAPTOP = ClipSpec(10, fps=10, size=16, channels=3, sample_rate=6000)


def bounces(data, first, clips=16):
    """A batch as the joint GAN shows it to the matcher."""
    clip = data.clips(range(first, first + clips))
    steps = audio_steps(LAPTOP, 4)
    audio = nn.functional.pad(clip.audio, (0, steps * 256 - LAPTOP.samples))
    return Pair(spectrum(audio, LAPTOP.sample_rate), 2 * clip.video - 1)


def area_under_curve(own, others):
    """Chance that a pair's likeness exceeds another's, ties half."""
    more = own[:, None] - others
    return ((more > 0).double() + (more == 0).double() / 2).mean().item()


@pytest.mark.parametrize("cut", [(), ("pitch", "class", "onset")])
def test_the_matcher_finds_what_belongs_together_where_anything_does(cut):
    """150 steps on balls that bounce; asked about clips that it has not learned from."""
    torch.manual_seed(0)
    data = BounceTone(clips=(2528, 0, 0), cut=cut).build(LAPTOP, "train")
    net = Matcher(LAPTOP, audio_steps(LAPTOP, 4), 8, samples=256, mel=True, position=True)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    jitter = Jitter(torch.Generator().manual_seed(0))
    for step in range(150):
        optimizer.zero_grad()
        net(bounces(data, 16 * step), jitter)["match_nce"].backward()
        optimizer.step()
    right, likeness = [], []
    with torch.no_grad():
        for first in range(2400, 2528, 16):
            pair = bounces(data, first)
            right.append(net(pair, jitter)["match_right"])
            heard, seen = net.codes(pair, None)
            likeness.append(heard @ seen.T)
    products, own = torch.stack(likeness), torch.eye(16, dtype=torch.bool)
    area = area_under_curve(products[:, own].flatten(), products[:, ~own].flatten())
    if cut:
        assert torch.stack(right).mean() < 0.15  # Chance is 1/16; of 128 clips, ±0.02.
        assert abs(area - 0.5) < 0.1
    else:
        assert torch.stack(right).mean() > 0.5
        assert area > 0.95
