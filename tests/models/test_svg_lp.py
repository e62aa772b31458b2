import contextlib
import dataclasses
import functools
import json

import pytest
import torch
from tests.models.little_forecasts import SPEC, build, time_major, waves
from tests.models.little_forecasts import silent_clips as clips
from tests.reference import sound2sight as reference

from soundsight import cli, recipes
from soundsight.contract import Model, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.models.svg_lp import FIDELITY, SVGLP, Config, batch_statistics
from soundsight.nn.latent import Gaussian, kl_divergence
from soundsight.nn.reconstruction import reconstruction

SMALL = Config(seen=3, code=16, z_dim=3, rnn_size=12, frame_channels=4)
model_of = functools.partial(build, SMALL)


def count(module):
    return sum(p.numel() for p in module.parameters())


def change(clip, frame):
    """The same clip from that frame on in negative."""
    video = clip.video.clone()
    video[:, frame:] = 1 - video[:, frame:]
    return clip.replace(video=video)


def reach(before, after):
    """How much each step differs."""
    return (before - after).abs().flatten(1).amax(1)


# ---- Sizes ---------------------------------------------------------------------------------------


def test_parameter_counts_at_48_px_grey():
    """Worked out by hand: weights and biases, and two for each normalized channel."""
    net = Config().build(ClipSpec(20)).generator
    assert count(net.encoder) == (
        (16 + 1 + 2) * 64
        + (64 * 16 + 1 + 2) * 128
        + (128 * 16 + 1 + 2) * 256
        + (256 * 36 + 1 + 2) * 128
    )
    assert count(net.decoder) == (
        128 * 256 * 36 + 3 * 256 + 512 * 128 * 16 + 3 * 128 + 256 * 64 * 16 + 3 * 64 + 128 * 16 + 1
    )
    lstm = 4 * 256 * (256 + 256 + 2)
    assert count(net.predictor) == 139 * 256 + 2 * lstm + 257 * 128 == 1_121_152
    assert count(net.prior) == count(net.posterior) == 129 * 256 + lstm + 2 * 257 * 10 == 564_500
    assert count(net) == 6_581_673


def test_takes_frames_and_makes_frames():
    model = model_of()
    assert isinstance(model, Model)
    assert isinstance(model, SVGLP)
    assert (model.takes, model.makes) == ({"context"}, {"video"})
    assert set(model.phases()) == {"generator"}


# ---- One parallel pass equals the loop -----------------------------------------------------------


def loop(model, x, noise):
    """The released training loop, step by step; fixed: one more step has its own skips."""
    net, c = model.generator, model.config
    own = c.seen if c.choice("skips_from") == "last" else c.seen - 1
    states = [None, None, None]
    frames, priors, posteriors = [], [], []
    for n in range(len(x) - 1):
        code, maps = reference.encode(net.encoder, x[n])
        target, _ = reference.encode(net.encoder, x[n + 1])
        if c.last_frame_skip or n < max(own, 1):
            skips = maps
        prior, states[0] = net.prior(code[None], states[0])
        posterior, states[1] = net.posterior(target[None], states[1])
        z = posterior.sample(noise[n : n + 1])
        eta, states[2] = net.predictor(torch.cat([code[None], z], dim=2), states[2])
        frames.append(reference.decode(net.decoder, eta[0], skips))
        priors.append(prior)
        posteriors.append(posterior)
    return frames, priors, posteriors


VARIANTS = {
    "fixed": {},
    "paper": {"fidelity": "paper"},
    "last_frame_skip": {"last_frame_skip": True},
    "one_seen": {"seen": 1, "skips_from": "last_but_one"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_parallel_pass_equals_released_loop(name):
    model = model_of(**VARIANTS[name]).eval()
    x, noise = time_major(clips()), waves(8, 3, 3)
    ours, theirs = model.teacher_forced(x, noise), loop(model, x, noise)
    torch.testing.assert_close(ours.frames, torch.stack(theirs[0]), atol=1e-5, rtol=0)
    for mine, told in zip(ours[1:], theirs[1:], strict=True):
        for i in range(2):
            expected = torch.cat([t[i] for t in told])
            torch.testing.assert_close(mine[i], expected, atol=1e-5, rtol=0)


def test_released_training_normalizes_each_step_by_itself():
    """`paper` in train mode is the loop in train mode; pooled statistics are not."""
    x, noise = time_major(clips()), waves(8, 3, 3)
    for norm, same in (("per_step", True), ("pooled", False)):
        model = model_of(fidelity="paper", batch_norm=norm)
        expected = torch.stack(loop(model_of(fidelity="paper"), x, noise)[0])
        apart = (model.teacher_forced(x, noise).frames - expected).abs().max()
        assert (apart < 1e-4) == same
    assert FIDELITY["paper"]["batch_norm"] == "per_step"
    assert FIDELITY["fixed"]["batch_norm"] == "pooled"


# ---- Losses --------------------------------------------------------------------------------------


def test_kl_of_known_gaussians():
    """KL(N(1, 1) || N(0, 1)) = 1/2; KL(N(0, 4) || N(0, 1)) = 3/2 - log 2; summed, mean over b."""
    zeros = torch.zeros(2, 5, 3)
    unit = Gaussian(zeros, zeros)
    assert kl_divergence(unit, unit) == 0
    assert kl_divergence(Gaussian(zeros + 1, zeros), unit) == pytest.approx(2 * 3 * 0.5)
    wide = Gaussian(zeros, zeros + torch.tensor(4.0).log())
    assert kl_divergence(wide, unit).item() == pytest.approx(6 * (1.5 - torch.tensor(2.0).log()))


def test_reconstruction_of_known_frames():
    """Half grey against black is 1/4 a pixel; two steps of it, whatever the batch, are 1/2."""
    grey, black = torch.full((2, 5, 1, 4, 4), 0.5), torch.zeros(2, 5, 1, 4, 4)
    assert reconstruction(grey, black) == 0.5
    assert reconstruction(grey, grey) == 0


def test_loss_is_the_evidence_lower_bound():
    model, clip = model_of(beta=0.3).eval(), clips()
    ((phase, loss),) = model.losses(clip, step=0, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(8, 3, 3, generator=torch.Generator().manual_seed(1))
    x = time_major(clip)
    frames, priors, posteriors = loop(model, x, noise)
    mse = sum((frame - x[n + 1]).square().mean() for n, frame in enumerate(frames))
    kl = sum(kl_divergence(q, p) for q, p in zip(posteriors, priors, strict=True))
    assert phase == "generator"
    assert kl > 0.1
    torch.testing.assert_close(loss.terms, {"mse": mse, "kl": kl}, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(loss.total, mse + 0.3 * kl, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("fidelity", FIDELITY)
def test_every_parameter_learns(fidelity):
    model = model_of(fidelity=fidelity)
    ((_, loss),) = model.losses(clips(), step=0, generator=torch.Generator().manual_seed(0))
    loss.total.backward()
    for name, parameter in model.named_parameters():
        # Before batch norm a bias has no effect, and no gradient but rounding.
        if not (name.endswith(("conv.bias", "first.bias")) and "ups.1" not in name):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 1e-12, name


# ---- What sees what ------------------------------------------------------------------------------


def test_prior_sees_up_to_the_last_frame_and_posterior_the_next():
    model, noise = model_of().eval(), waves(8, 3, 3)
    before = model.teacher_forced(time_major(clips()), noise)
    after = model.teacher_forced(time_major(change(clips(), 6)), noise)
    for part, first in (("frames", 5), ("prior", 6), ("posterior", 5)):
        old, new = getattr(before, part), getattr(after, part)
        gap = reach(old, new) if part == "frames" else reach(old.mean, new.mean)
        assert gap[:first].max() < 1e-6, part
        assert gap[first:].min() > 1e-5, part


def test_training_draws_from_the_posterior_and_sampling_from_the_prior():
    """The one's weights are of no account to the other's frames."""
    clip = clips()
    noise = waves(8, 3, 3)

    def trained(model):
        return model.eval().teacher_forced(time_major(clip), noise).frames

    def sampled(model):
        drawn = model.sample(clip.context(1), num_samples=1, generator=Streams(0, [0, 1, 2]))
        return drawn.video[:, 1:]

    for part, matters in (("prior", (False, True)), ("posterior", (True, False))):
        model, moved = model_of(seen=1), model_of(seen=1)
        torch.nn.init.constant_(getattr(moved.generator, part).mean.bias, 3.0)
        for draw, expected in zip((trained, sampled), matters, strict=True):
            assert bool((draw(model) - draw(moved)).abs().max() > 1e-4) == expected, (part, draw)


def test_seen_steps_draw_from_the_posterior():
    """With more than one seen frame their z, which the predictor remembers, is the posterior's."""
    model, moved, given = model_of(), model_of(), clips().context(3)
    torch.nn.init.constant_(moved.generator.posterior.mean.bias, 3.0)
    streams = [Streams(0, [0, 1, 2]) for _ in range(2)]
    old, new = (
        m.sample(given, num_samples=1, generator=s).video
        for m, s in zip((model, moved), streams, strict=True)
    )
    assert (old - new)[:, 3:].abs().max() > 1e-4


# ---- Sampling ------------------------------------------------------------------------------------


@torch.no_grad()
def roll(model, video, noise, *, own):
    """The released sampling loop; `own` steps of the seen have their own skips."""
    net, frames = model.generator, list(video.transpose(0, 1))
    seen, states = len(frames), [None, None, None]
    for n in range(len(noise)):
        code, maps = reference.encode(net.encoder, frames[n])
        if n < own or model.config.last_frame_skip:
            skips = maps
        gaussian, states[0] = net.prior(code[None], states[0])
        if n + 1 < seen:
            target, _ = reference.encode(net.encoder, frames[n + 1])
            gaussian, states[1] = net.posterior(target[None], states[1])
        z = gaussian.sample(noise[n : n + 1])
        eta, states[2] = net.predictor(torch.cat([code[None], z], dim=2), states[2])
        if n + 1 >= seen:
            frames.append(reference.decode(net.decoder, eta[0], skips))
    return torch.stack(frames, dim=1)


def warmed(model):
    """Running averages of some kind, so that batch norm does something."""
    with torch.no_grad():
        model.teacher_forced(time_major(clips()), waves(8, 3, 3))
    return model


@pytest.mark.parametrize(
    ("changes", "own"),
    [({}, 3), ({"skips_from": "last_but_one"}, 2), ({"last_frame_skip": True}, 0)],
)
def test_cached_rollout_equals_released_loop(changes, own):
    model, given = warmed(model_of(**changes)), clips().context(3)
    ours = model.sample(given, num_samples=2, generator=Streams(5, [7, 8, 9]), rows_at_once=4)
    assert model.training
    noise = Streams(5, [7, 8, 9]).normal(2, 8, 3).transpose(0, 1)
    theirs = roll(model.eval(), given.video.repeat_interleave(2, dim=0), noise, own=own)
    torch.testing.assert_close(ours.video, theirs, atol=1e-5, rtol=0)


def test_sample_is_the_same_in_any_batch_and_keeps_the_seen_frames():
    model = warmed(model_of())
    given = clips().context(3)
    together = model.sample(given, num_samples=3, generator=Streams(1, [4, 5, 6]))
    alone = model.sample(given[1:2], num_samples=2, generator=Streams(1, [5]), rows_at_once=1)
    torch.testing.assert_close(together.video[3:5], alone.video, atol=1e-5, rtol=0)
    assert together.video.shape == (9, 9, 1, 16, 16)
    assert torch.equal(together.video[:, :3], given.video.repeat_interleave(3, dim=0))
    again = model.sample(given, num_samples=3, generator=Streams(1, [4, 5, 6]))
    assert torch.equal(again.video, together.video)
    assert (together.video[0] - together.video[1]).abs().max() > 1e-4


def test_temperature_zero_takes_the_mean():
    drawn = warmed(model_of()).sample(
        clips(1).context(3), num_samples=2, generator=Streams(0, [0]), temperature=0.0
    )
    torch.testing.assert_close(drawn.video[0], drawn.video[1], atol=1e-6, rtol=0)


def test_sound_is_not_heard():
    model, given = warmed(model_of()), clips().context(3)
    loud = given.replace(audio=torch.sin(torch.arange(3 * SPEC.samples) ** 1.1).reshape(3, -1))
    drawn = [
        model.sample(clip, num_samples=1, generator=Streams(0, [0, 1, 2])) for clip in (given, loud)
    ]
    assert torch.equal(drawn[0].video, drawn[1].video)
    assert torch.equal(drawn[1].audio, loud.audio)


# ---- What was released, and what is fixed --------------------------------------------------------


def test_fidelities_differ_in_these_fields():
    assert {key: (FIDELITY["paper"][key], FIDELITY["fixed"][key]) for key in FIDELITY["paper"]} == {
        "skips_from": ("last_but_one", "last"),
        "sampling_norm": ("batch", "running"),
        "batch_norm": ("per_step", "pooled"),
        "small_linear": (True, False),
    }
    assert FIDELITY["paper"].keys() == FIDELITY["fixed"].keys()


@pytest.mark.parametrize(("fidelity", "reached"), [("paper", 1), ("fixed", 2)])
def test_released_skips_are_those_of_the_last_but_one_seen_frame(fidelity, reached):
    """With the decoder deaf to codes, frames show whose skips they were made of."""
    model = model_of(fidelity=fidelity, sampling_norm="running")
    torch.nn.init.zeros_(model.generator.decoder.first.weight)
    given = clips().context(3)
    for frame in (1, 2):
        video = given.video.clone()
        video[:, frame] = 1 - video[:, frame]
        drawn = [
            model.sample(clip, num_samples=1, generator=Streams(0, [0, 1, 2])).video[:, 3:]
            for clip in (given, given.replace(video=video))
        ]
        assert bool((drawn[0] - drawn[1]).abs().max() > 1e-4) == (frame == reached)


def test_released_sampling_normalizes_by_the_batch():
    """As one future of every clip in train mode; running averages stay as they are."""
    model, given = warmed(model_of(fidelity="paper")), clips().context(3)
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    ours = model.sample(given, num_samples=2, generator=Streams(5, [7, 8, 9]))
    assert model.training
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, kept[name]), name
    noise = Streams(5, [7, 8, 9]).normal(2, 8, 3).unflatten(0, (3, 2))
    for k in range(2):
        theirs = roll(model.train(), given.video, noise[:, k].transpose(0, 1), own=2)
        torch.testing.assert_close(ours.video[k::2], theirs, atol=2e-5, rtol=0)

    # So what is beside a clip changes its futures; fixed, it does not.
    others = given[[1, 2]]
    for norm, depends in (("batch", True), ("running", False)):
        model = warmed(model_of(fidelity="paper", sampling_norm=norm))
        all_three = model.sample(given, num_samples=1, generator=Streams(5, [7, 8, 9])).video[1:]
        two = model.sample(others, num_samples=1, generator=Streams(5, [8, 9])).video
        assert bool((all_three - two).abs().max() > 1e-4) == depends


def test_a_clip_alone_gets_the_running_averages():
    given = clips(1).context(3)
    alone = [
        warmed(model_of(sampling_norm=norm)).sample(given, num_samples=2, generator=Streams(0, [0]))
        for norm in ("batch", "running")
    ]
    assert torch.equal(alone[0].video, alone[1].video)


def test_batch_statistics_are_forgotten_after_an_error():
    encoder = model_of().generator.encoder.eval()
    before = [buffer.clone() for buffer in encoder.buffers()]
    with contextlib.suppress(KeyError), batch_statistics(encoder), torch.no_grad():
        encoder(clips().video[:, 0])
        assert encoder.training
        raise KeyError
    assert not any(module.training for module in encoder.modules())
    assert all(torch.equal(a, b) for a, b in zip(encoder.buffers(), before, strict=True))


def test_first_weights():
    for fidelity, std in (("paper", 0.02), ("fixed", (128 * 3) ** -0.5)):
        torch.manual_seed(0)
        net = Config(fidelity=fidelity).build(ClipSpec(6, size=32)).generator
        assert net.encoder.blocks[1].conv.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert net.prior.embed.weight.std().item() == pytest.approx(std, rel=0.05)


# ---- Bad input -----------------------------------------------------------------------------------


def test_bad_input_is_refused_in_one_line():
    model, streams = model_of(), Streams(0, [0, 1, 2])
    unseen = Clip(SPEC, audio=torch.zeros(3, SPEC.samples))
    with pytest.raises(ValueError, match="9 seen frames of 9: between 1 and 8"):
        model.sample(clips(), num_samples=1, generator=streams)
    with pytest.raises(ValueError, match="needs seen frames"):
        model.sample(unseen, num_samples=1, generator=streams)
    with pytest.raises(ValueError, match="more than seen=3"):
        next(model.losses(clips(2, SPEC.with_frames(3)), step=0, generator=torch.Generator()))
    with pytest.raises(ValueError, match=r"size=28.*32.*48"):
        model_of(spec=ClipSpec(4, size=28))
    with pytest.raises(ValueError, match="skips_from"):
        Config(skips_from="first")


# ---- Recipes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["tiny", "laptop", "nb"])
def test_recipes_have_the_budget_of_sound2sight(size):
    ours, base = (recipes.load(f"{name}_m3so_{size}") for name in ("svg_lp", "sound2sight"))
    assert (ours.data, ours.clip, ours.evaluate) == (base.data, base.clip, base.evaluate)
    assert ours.train == dataclasses.replace(base.train, optim=ours.train.optim)
    assert ours.train.optim.keys() == {"generator"}  # At a learning rate of its own.
    for field in ("seen", "code", "z_dim", "rnn_size", "frame_channels", "beta"):
        assert getattr(ours.model, field) == getattr(base.model, field), field


def test_train_evaluate_and_sample_on_the_command_line(tmp_path):
    run = str(tmp_path / "run")
    assert cli.main(["train", "svg_lp_m3so_tiny", "--out", run]) == 0
    stats = [json.loads(line) for line in (tmp_path / "run/stats.jsonl").read_text().splitlines()]
    assert {"generator/mse", "generator/kl"} <= stats[0].keys()
    assert "validate/psnr_mean" in stats[-1]
    assert cli.main(["evaluate", run, "--clips", "4"]) == 0
    rows = json.loads((tmp_path / "run/report/scores.json").read_text())["rows"]
    names = {row["name"] for row in rows}
    assert "copy_last" in names
    assert not [name for name in names if "shuffled" in name]
    out = tmp_path / "made"
    assert cli.main(["sample", run, "--out", str(out), "--count", "1", "--samples", "2"]) == 0
    assert len(list(out.glob("test_0000/sample_*.mp4"))) == 2
