import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.little_forecasts import SPEC, build, clips, time_major, waves
from tests.reference import sound2sight as reference

from soundsight.contract import Model, Streams
from soundsight.media.clip import ClipSpec
from soundsight.models.sound2sight import (
    FIDELITY,
    Config,
    Sound2Sight,
    adaptive_weight,
    scheduled_weight,
)
from soundsight.nn.discriminator import mismatched
from soundsight.nn.latent import Gaussian, kl_divergence

SMALL = Config(seen=3, code=16, z_dim=3, rnn_size=12, frame_channels=4, audio_channels=4)
model_of = functools.partial(build, SMALL)


def count(module):
    return sum(p.numel() for p in module.parameters())


# ---- Sizes (section 4, and the released code) ----------------------------------------------------


def test_parameter_counts_at_48_px_grey():
    model = Config(fidelity="paper").build(ClipSpec(20))
    g, d = model.generator, model.discriminator
    assert count(g.encoder) == 1_837_760
    assert count(g.decoder) == 2_493_761
    assert count(g.sound) == count(d.sound) == 3_018_944
    for past in (g.prior_past, g.posterior_past, g.heard_past):
        assert count(past) == 396_032
    assert count(g.predictor) == 1_121_152
    assert count(g.prior) == count(g.posterior) == 597_268
    assert count(d.embed) + count(d.lstm) + count(d.head) == 592_642
    assert count(d.still) == 2 * 129
    assert count(g) == 10_854_249
    assert count(d) == 5_449_604


def test_parameter_counts_at_64_px_colour():
    spec = ClipSpec(45, fps=30, size=64, channels=3, sample_rate=22_050)
    model = Config(fidelity="paper", seen=15, n_fft=88, hop_length=44).build(spec)
    assert count(model.generator.encoder) == 3_807_424
    assert count(model.generator.decoder) == 6_562_627
    assert count(model.generator.sound) == 3_018_944
    assert count(model.generator) == 16_892_779
    chunks = model.chunks(clips(1, spec.with_frames(2)))
    assert chunks.shape == (2, 1, 1, 45, 17)
    assert model.generator.sound(chunks[:, 0]).shape == (2, 128)


def test_maps_have_the_published_shapes():
    model = Config().build(ClipSpec(20))
    code, maps = model.generator.encoder(torch.rand(2, 1, 48, 48))
    assert code.shape == (2, 128)
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 24, 24), (128, 12, 12), (256, 6, 6)]
    assert model.chunks(clips(1, ClipSpec(3))).shape == (3, 1, 1, 23, 21)


@pytest.mark.parametrize("size", [16, 20, 24, 32, 40, 48, 64, 80, 96, 128])
def test_every_offered_size_encodes_and_decodes(size):
    model = model_of(spec=ClipSpec(4, size=size))
    code, maps = model.generator.encoder(torch.rand(2, 1, size, size))
    skips = model.generator.decoder.project_skips(maps)
    assert model.generator.decoder(code, skips).shape == (2, 1, size, size)


@pytest.mark.parametrize("size", [8, 12, 28, 50])
def test_other_sizes_are_refused_with_the_choices(size):
    with pytest.raises(ValueError, match=rf"size={size}.*32.*48.*64"):
        model_of(spec=ClipSpec(4, size=size))


# ---- One parallel pass equals the loop -----------------------------------------------------------

VARIANTS = {
    "default": {},
    "paper": {"fidelity": "paper"},
    "no_audio": {"audio": False},
    "lstm": {"temporal": "lstm"},
    "two_layers": {"layers": 2},
    "last_frame_skip": {"last_frame_skip": True},
    "one_seen": {"seen": 1},
    "mix": {"z_source": "mix"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_parallel_pass_equals_sequential_loop(name):
    model = model_of(**VARIANTS[name]).eval()
    clip = clips()
    x, chunks = time_major(clip), model.chunks(clip)
    noise = waves(8, 3, 3)
    from_posterior = torch.tensor([[True], [False], [True]])
    ours = model.teacher_forced(x, chunks, noise, from_posterior)
    frames, priors, posteriors = reference.teacher_forced(model, x, chunks, noise, from_posterior)
    torch.testing.assert_close(ours.frames, torch.stack(frames), atol=1e-5, rtol=0)
    for mine, theirs in ((ours.prior, priors), (ours.posterior, posteriors)):
        for i in range(2):
            torch.testing.assert_close(
                mine[i], torch.cat([t[i] for t in theirs]), atol=1e-5, rtol=0
            )


def test_parallel_pass_equals_sequential_loop_while_training_per_step():
    """Batch norm of each time step by itself: frames, running averages and gradients agree.

    The loop encodes each frame twice, so running averages are compared for the decoder alone.
    """
    ours, theirs = model_of(fidelity="paper"), model_of(fidelity="paper")
    for model in (ours, theirs):
        for module in model.modules():
            if hasattr(module, "dropout"):
                module.dropout = 0.0
            if hasattr(module, "position_dropout"):
                module.position_dropout = 0.0
    clip = clips()
    x, chunks, noise = time_major(clip), ours.chunks(clip), waves(8, 3, 3)
    from_prior = torch.zeros(3, 1, dtype=torch.bool)

    mine = ours.teacher_forced(x, chunks, noise, from_prior)
    loss = (mine.frames - x[1:]).square().mean(dim=(1, 2, 3, 4)).sum()
    loss = loss + ours.config.beta * kl_divergence(mine.posterior, mine.prior)
    loss.backward()
    told = reference.teacher_forced(theirs, x, chunks, noise, from_prior)
    reference_loss = reference.generator_loss(theirs, x, *told)
    reference_loss.backward()

    torch.testing.assert_close(mine.frames, torch.stack(told[0]), atol=2e-5, rtol=0)
    torch.testing.assert_close(loss, reference_loss, atol=1e-5, rtol=1e-5)
    for (name, p), q in zip(
        ours.generator.named_parameters(), theirs.generator.parameters(), strict=True
    ):
        if p.grad is not None:
            torch.testing.assert_close(p.grad, q.grad, atol=2e-5, rtol=2e-3, msg=name)
    buffers = zip(ours.generator.decoder.buffers(), theirs.generator.decoder.buffers(), strict=True)
    for b, c in buffers:
        torch.testing.assert_close(b, c, atol=1e-5, rtol=1e-4)


def test_adversarial_losses_equal_the_released_loop():
    model = model_of(fidelity="paper", gan_from_epoch=0).eval()
    clip = clips()
    x, chunks = time_major(clip), model.chunks(clip)
    generator = torch.Generator().manual_seed(3)
    (_, g), (_, d) = list(model.losses(clip, step=0, generator=generator))
    noise = torch.randn(8, 3, 3, generator=torch.Generator().manual_seed(3))
    told = reference.teacher_forced(model, x, chunks, noise, torch.zeros(3, 1, dtype=torch.bool))
    adversarial, discriminator = reference.adversarial_losses(model, x, told[0], chunks)
    expected = reference.generator_loss(model, x, *told) + 1e-4 * adversarial
    torch.testing.assert_close(g.total, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(d.total, discriminator, atol=1e-5, rtol=1e-5)


# ---- Causality -----------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["video", "audio"])
@pytest.mark.parametrize("temporal", ["transformer", "lstm"])
def test_what_comes_later_changes_nothing_before(part, temporal):
    model = model_of(temporal=temporal).eval()
    clip = clips()
    noise, flags = waves(8, 3, 3), torch.zeros(3, 1, dtype=torch.bool)
    before = model.teacher_forced(time_major(clip), model.chunks(clip), noise, flags)
    changed = clip.parts()[part].clone()
    j = 6  # Frame or chunk j is the first that changes.
    if part == "video":
        changed[:, j:] = 1 - changed[:, j:]
        first = j  # Frame j is the input of step j.
    else:
        changed[:, j * SPEC.samples_per_frame :] *= -0.3
        first = j - 1  # Chunk j is heard at step j - 1.
    clip = clip.replace(**{part: changed})
    after = model.teacher_forced(time_major(clip), model.chunks(clip), noise, flags)
    torch.testing.assert_close(before.frames[:first], after.frames[:first], atol=1e-6, rtol=0)
    assert (before.frames[first:] - after.frames[first:]).abs().amax(dim=(1, 2, 3, 4)).min() > 1e-5


# ---- Sampling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "mix"])
def test_cached_rollout_equals_sequential_loop(name):
    model = model_of(**VARIANTS[name])
    with torch.no_grad():  # Train-mode statistics of some kind, so that batch norm does something.
        model.teacher_forced(
            time_major(clips()), model.chunks(clips()), waves(8, 3, 3), torch.ones(3, 1) > 0
        )
    clip = clips()
    given = clip.context(model.config.seen)
    ours = model.sample(given, num_samples=2, generator=Streams(5, [7, 8, 9]), rows_at_once=4)
    assert model.training
    model.eval()
    noise = Streams(5, [7, 8, 9]).normal(2, 8, 3)
    chunks = model.chunks(clip)
    for row in range(6):
        theirs = reference.rollout(
            model,
            given.video[row // 2 : row // 2 + 1],
            None if chunks is None else chunks[:, row // 2 : row // 2 + 1],
            noise[row][:, None],
        )
        torch.testing.assert_close(ours.video[row], theirs[0], atol=1e-5, rtol=0)


def test_sample_is_the_same_in_any_batch():
    model = model_of().eval()
    given = clips().context(3)
    together = model.sample(given, num_samples=3, generator=Streams(1, [4, 5, 6]))
    alone = model.sample(given[1:2], num_samples=2, generator=Streams(1, [5]), rows_at_once=1)
    torch.testing.assert_close(together.video[3:5], alone.video, atol=1e-5, rtol=0)
    assert together.video.shape == (9, 9, 1, 16, 16)
    assert torch.equal(together.video[:3, :3], given.video[:1].expand(3, -1, -1, -1, -1))


def test_samples_differ_and_temperature_zero_does_not():
    model = model_of().eval()
    given = clips(1).context(3)
    warm = model.sample(given, num_samples=2, generator=Streams(0, [0])).video
    cold = model.sample(given, num_samples=2, generator=Streams(0, [0]), temperature=0.0).video
    assert (warm[0] - warm[1]).abs().max() > 1e-4
    torch.testing.assert_close(cold[0], cold[1], atol=1e-6, rtol=0)


def test_sound_sets_the_horizon():
    model = model_of()
    longer = clips(1, SPEC.with_frames(12))
    sampled = model.sample(longer.context(3), num_samples=1, generator=Streams(0, [0]))
    assert sampled.video.shape[1] == sampled.spec.frames == 12


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="9 seen frames of 9"):
        model_of().sample(clips(), num_samples=1, generator=Streams(0, [0, 1, 2]))


def test_a_hearing_model_needs_sound():
    deaf = clips().replace(audio=None)
    with pytest.raises(ValueError, match="needs clips with sound"):
        model_of().sample(deaf.context(3), num_samples=1, generator=Streams(0, [0, 1, 2]))
    video = model_of(audio=False).sample(
        deaf.context(3), num_samples=1, generator=Streams(0, [0, 1, 2])
    )
    assert video.video.shape[1] == 9


# ---- Losses --------------------------------------------------------------------------------------


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4))
@settings(max_examples=25, deadline=None)
def test_kl_equals_torch_distributions(numbers):
    q = Gaussian(torch.full((2, 3, 4), numbers[0]), torch.full((2, 3, 4), numbers[1]))
    p = Gaussian(torch.full((2, 3, 4), numbers[2]), torch.full((2, 3, 4), numbers[3]))
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(
        normal(q.mean, torch.exp(q.logvar / 2)), normal(p.mean, torch.exp(p.logvar / 2))
    )
    torch.testing.assert_close(kl_divergence(q, p), expected.sum() / 3, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("n", "b", "mixed"), [(8, 4, False), (8, 4, True), (8, 1, True), (4, 3, True)]
)
def test_mismatched_sound_is_never_the_own(n, b, mixed):
    sound = torch.arange(n * b).reshape(n, b, 1).float()  # Entry (time, clip) is time * b + clip.
    kinds = set()
    for seed in range(50):
        wrong = mismatched(sound, torch.Generator().manual_seed(seed), mixed)
        assert (wrong != sound).all()
        time, clip = wrong[..., 0] // b, wrong[..., 0] % b
        same = clip == torch.arange(b)
        apart = (time - torch.arange(n)[:, None]).abs()
        apart = torch.minimum(apart, n - apart)
        assert (apart[same] >= 3).all()
        assert (apart[~same] == 0).all()
        kinds |= {bool(x) for x in same.flatten()}
    assert kinds == ({True} if b == 1 else {False} if not mixed or n < 6 else {True, False})


def run_phases(model, clip, step=10_000):
    gradients = {}
    for name, loss in model.losses(clip, step=step, generator=torch.Generator().manual_seed(0)):
        parameters = list(model.phases()[name].named_parameters())
        loss.total.backward(inputs=[p for _, p in parameters])
        gradients[name] = {k: p.grad for k, p in parameters}
        elsewhere = [
            p for k, m in model.phases().items() if k not in gradients for p in m.parameters()
        ]
        assert all(p.grad is None for p in elsewhere)
    return gradients


def test_every_part_of_the_fixed_discriminator_learns():
    gradients = run_phases(model_of(), clips())
    assert list(gradients) == ["generator", "discriminator"]
    for name, gradient in gradients["discriminator"].items():
        # A convolution's bias before batch norm has no effect, and no gradient but rounding.
        if not name.endswith("conv.bias"):
            assert gradient is not None, name
            assert gradient.abs().max() > 1e-9, name


def test_the_released_discriminators_encoders_do_not_learn():
    gradients = run_phases(model_of(fidelity="paper"), clips())["discriminator"]
    for name, gradient in gradients.items():
        frozen = name.startswith(("frames.", "sound."))
        assert (gradient is None) == frozen, name


def test_every_part_of_the_generator_learns():
    for fidelity in FIDELITY:
        gradients = run_phases(model_of(fidelity=fidelity), clips())["generator"]
        for name, gradient in gradients.items():
            assert gradient is not None, (fidelity, name)
            # Before batch norm a bias has no effect; keys are compared, so theirs is one too.
            if not name.endswith(("conv.bias", "first.bias", "in_proj_bias")):
                assert gradient.abs().max() > 0, (fidelity, name)


def test_released_posterior_learns_only_to_be_the_prior():
    """With z from the prior, pixels send the posterior nothing; with z from it, they do."""
    for source, learns in (("prior", False), ("posterior", True)):
        model = model_of(z_source=source, beta=0.0, discriminator="none")
        ((_, loss),) = model.losses(clips(), step=0, generator=torch.Generator().manual_seed(0))
        loss.total.backward()
        gradient = model.generator.posterior.mean.weight.grad
        assert bool(gradient.abs().max() > 0) == learns


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        (
            {},
            {
                "real_still",
                "fake_still",
                "real_motion",
                "fake_motion",
                "real_foreign",
                "fake_foreign",
            },
        ),
        ({"alignment": False}, {"real_still", "fake_still", "real_motion", "fake_motion"}),
        ({"audio": False}, {"real_still", "fake_still", "real_motion", "fake_motion"}),
        ({"motion": False, "alignment": False}, {"real_still", "fake_still"}),
        (
            {"discriminator": "convlstm"},
            {
                "real_still",
                "fake_still",
                "real_motion",
                "fake_motion",
                "real_foreign",
                "fake_foreign",
            },
        ),
    ],
)
def test_ablations_drop_their_terms(changes, terms):
    model = model_of(**changes)
    losses = dict(model.losses(clips(), step=10_000, generator=torch.Generator().manual_seed(0)))
    assert set(losses["discriminator"].terms) == terms
    assert torch.isfinite(losses["discriminator"].total)


def test_without_discriminator_there_is_one_phase():
    model = model_of(discriminator="none")
    assert list(model.phases()) == ["generator"]
    assert [n for n, _ in model.losses(clips(), step=9_999, generator=torch.Generator())] == [
        "generator"
    ]


def test_discriminator_starts_an_epoch_before_the_adversarial_loss():
    model = model_of(gan_from_epoch=2, steps_per_epoch=10)
    phases = {
        step: [
            (n, set(loss.terms))
            for n, loss in model.losses(clips(), step=step, generator=torch.Generator())
        ]
        for step in (9, 10, 20)
    }
    assert phases[9] == [("generator", {"mse", "kl"})]
    assert [n for n, _ in phases[10]] == ["generator", "discriminator"]
    assert phases[10][0][1] == {"mse", "kl"}
    assert "still" in phases[20][0][1]


def test_released_gamma_schedule():
    by_epoch = [scheduled_weight("schedule", e) for e in (0, 300, 301, 600, 601, 900, 901)]
    assert by_epoch == [1e-4, 1e-4, 5e-4, 5e-4, 1e-3, 1e-3, 1e-2]
    assert scheduled_weight("paper", 600) == pytest.approx(1e-2)


def test_adaptive_gamma_makes_the_gradient_a_tenth():
    reference_gradient, adversarial = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 1000.0])
    assert adaptive_weight(reference_gradient, adversarial) == pytest.approx(0.1 * 5 / 1000)
    assert adaptive_weight(reference_gradient, adversarial / 1e6) == pytest.approx(1e-2)


def test_adaptive_gamma_hands_on_the_weighed_gradient():
    """The generator's gradient is that of mse + beta kl + gamma adversarial, gamma held fixed."""
    clip, step = clips(), 10_000
    surrogate, plain = model_of().eval(), model_of().eval()
    (_, loss), _ = list(
        surrogate.losses(clip, step=step, generator=torch.Generator().manual_seed(0))
    )
    loss.total.backward()
    seen = {}

    def weighed(adversarial, mse, fake, epoch):
        (g,) = torch.autograd.grad(adversarial, fake, retain_graph=True)
        (r,) = torch.autograd.grad(mse, fake, retain_graph=True)
        seen["gamma"] = adaptive_weight(r, g)
        return seen["gamma"] * adversarial

    plain.weighed = weighed
    (_, expected), _ = list(
        plain.losses(clip, step=step, generator=torch.Generator().manual_seed(0))
    )
    expected.total.backward()
    assert 0 < seen["gamma"] <= 1e-2
    torch.testing.assert_close(loss.total, expected.total)
    for p, q in zip(surrogate.generator.parameters(), plain.generator.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, atol=1e-6, rtol=1e-3)


def test_realness_says_what_the_discriminator_says():
    model = model_of()
    real = model.realness(clips())
    assert real["frame"].shape == real["window"].shape == (3, 6)
    assert ((real["frame"] > 0) & (real["frame"] < 1)).all()
    torch.nn.init.constant_(model.discriminator.still.bias, 100.0)
    torch.nn.init.constant_(model.discriminator.head.bias, -100.0)
    real = model.realness(clips())
    assert (real["frame"] > 0.99).all()
    assert (real["window"] < 0.01).all()


def test_it_is_a_model():
    model = model_of()
    assert isinstance(model, Model)
    assert isinstance(model, Sound2Sight)
    assert model.takes == {"audio", "context"}
    assert model_of(audio=False).takes == {"context"}


def test_training_needs_more_than_the_seen_frames():
    with pytest.raises(ValueError, match="more than seen=3"):
        next(model_of().losses(clips(2, SPEC.with_frames(3)), step=0, generator=torch.Generator()))


def test_unknown_fields_are_refused():
    with pytest.raises(ValueError, match="zdim"):
        Config(zdim=3)


@pytest.mark.slow
def test_overfits_eight_clips():
    """Eight clips, teacher-forced, above 30 dB."""
    spec = ClipSpec(8, size=16)
    from soundsight.data.m3so import M3SO

    world = M3SO(canvas=16, digit=8, speeds=(1, 2)).build(spec, "train")
    clip = world.clips(range(8))
    torch.manual_seed(0)
    config = Config(seen=3, frame_channels=16, audio_channels=8, rnn_size=64, discriminator="none")
    model = config.build(spec)
    for module in model.modules():
        if hasattr(module, "position_dropout"):
            module.position_dropout = module.dropout = 0.0
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(600):
        generator = torch.Generator().manual_seed(step)
        ((_, loss),) = model.losses(clip, step=step, generator=generator)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
    assert 10 * torch.log10(7 / loss.terms["mse"]) > 30


def test_first_weights():
    """As released N(0, 0.02) everywhere; fixed: linear maps as torch makes them, 1/sqrt(fan-in)."""
    torch.manual_seed(0)
    spec = ClipSpec(6, size=32)
    released, fixed = Config(fidelity="paper").build(spec), Config().build(spec)
    for model in (released, fixed):
        assert model.generator.encoder.blocks[1].conv.weight.std().item() == pytest.approx(
            0.02, rel=0.05
        )
        assert model.generator.decoder.first_norm.weight.mean().item() == pytest.approx(1, abs=0.02)
    assert released.generator.prior.embed.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert fixed.generator.prior.embed.weight.std().item() == pytest.approx(1 / 768**0.5, rel=0.05)


def test_dropout_is_a_field():
    model = Config(dropout=0.0, position_dropout=0.3).build(ClipSpec(6, size=32))
    past = model.generator.prior_past
    assert past.position_dropout == 0.3
    assert past.layers[0].dropout == 0.0
