import dataclasses
import json
import math

import pytest
import torch
from safetensors.torch import load_file
from torch import Generator

from soundsight.contract import Model, Streams
from soundsight.data.bounce_tone import BounceTone
from soundsight.media.clip import Clip, ClipSpec
from soundsight.models.joint_gan import (
    FIDELITY,
    Config,
    Pair,
    discriminator_1_loss,
    discriminator_2_loss,
    fake_loss,
    generator_loss,
    real_loss,
)
from soundsight.nn.jitter import Jitter
from soundsight.nn.wavegan import STEP
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import Learner, TrainConfig, train

SPEC = ClipSpec(8, fps=10, size=16, channels=1, sample_rate=4000)
SMALL = {
    "content": 6, "motion": 3, "sound": 8, "shared": 4,
    "image_channels": 4, "audio_channels": 2, "joint_channels": 2,
}  # fmt: skip
D1_D2 = {"pairs": ("eq2", "gg")}
"""Both joint discriminators, as repaired, in the matcher's place."""
PRESETS = {"paper": {"fidelity": "paper"}, "d1 d2": D1_D2, "fixed": {}}
PHASES = ["audio_discriminator", "video_discriminators", "joint_discriminators", "generators"]


def model_of(spec=SPEC, seed=0, **changes):
    torch.manual_seed(seed)
    return Config(**SMALL | changes).build(spec)


def clips(batch=4, spec=SPEC):
    """Smooth numbers that need no random generator."""
    shape = (batch, spec.frames, spec.channels, spec.size, spec.size)
    video = torch.cos(torch.arange(math.prod(shape)) * 0.37).reshape(shape) / 2 + 0.5
    audio = torch.sin(torch.arange(batch * spec.samples) ** 1.1).reshape(batch, -1)
    return Clip(spec, video=video, audio=audio)


def seeded(seed=0):
    return Generator().manual_seed(seed)


def losses_of(model, clip, step=0, seed=0):
    """Each phase's last loss; nothing is updated."""
    return dict(model.losses(clip, step=step, generator=seeded(seed)))


def config_of(model, **changes):
    adam = OptimConfig(lr=2e-3, betas=(0.5, 0.999))
    optim = dict.fromkeys(model.phases(), adam)
    return TrainConfig(steps=20, batch_size=4, optim=optim, device="cpu", **changes)


def learner_of(model, **changes):
    return Learner(model, config_of(model, **changes), torch.device("cpu"))


def weights(module):
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def differing(before, module):
    return {name for name, p in module.named_parameters() if not torch.equal(before[name], p)}


def count(module):
    return sum(p.numel() for p in module.parameters())


# ---- Sizes ---------------------------------------------------------------------------------------


def test_published_sizes():
    spec = ClipSpec(25, fps=25, size=64, channels=3, sample_rate=16_000)
    with torch.device("meta"):
        model = Config(fidelity="paper", image_discriminator="full").build(spec)
        patches = Config(video_discriminator="patch").build(spec)
    g, d = model.generators, model.video_discriminators
    assert model.steps == 16
    assert count(g["audio"]) == 19_065_345
    assert count(g["video"]) == 3_576_704 + 660
    assert count(model.audio_discriminator) == 17_427_969
    assert count(d["image"]) == 2_765_568
    assert count(d["video"]) == 11_056_896
    assert {name: count(net) for name, net in model.joint_discriminators.items()} == {
        "d1": 3_736_802,
        "d2": 3_736_802,
    }
    # Fixed: without the two batch norms of each, and with the map from motion to 1024 channels.
    d = patches.video_discriminators
    assert count(d["image"]) == 663_296 - 2 * (128 + 256)
    assert count(d["video"]) == 2_650_880 - 2 * (128 + 256)
    assert count(patches.generators["audio"]) == 19_065_345 + 1024 * 11


@pytest.mark.parametrize(
    ("frames", "fps", "steps"),
    [(8, 10, 13), (10, 10, 16), (16, 10, 25), (16, 25, 10), (25, 25, 16)],
)
@pytest.mark.parametrize("fidelity", FIDELITY)
def test_clips_of_many_lengths(frames, fps, steps, fidelity):
    spec = ClipSpec(frames, fps=fps, size=64, channels=3, sample_rate=16_000)
    model = model_of(spec, fidelity=fidelity, audio_channels=1, image_channels=2, joint_channels=1)
    fake = model.fakes(2, seeded())
    assert fake.video.shape == (2, frames, 3, 64, 64)
    assert fake.audio.shape == (2, steps * STEP)
    assert not fake.audio[:, spec.samples :].any()
    real = model.real(clips(2, spec))
    assert [x.shape for x in real] == [x.shape for x in fake]
    made = model.sample(Clip.nothing(spec, 1), num_samples=2, generator=Streams(0, [0]))
    assert made.video.shape == fake.video.shape
    assert made.audio.shape == (2, spec.samples)
    assert all(loss.total.isfinite() for _, loss in losses_of(model, clips(2, spec)).items())


@pytest.mark.parametrize("preset", ["paper", "d1 d2"])
def test_a_batch_of_one(preset):
    losses = losses_of(model_of(**PRESETS[preset]), clips(1), step=5000)
    assert list(losses) == PHASES
    assert all(loss.total.isfinite() for loss in losses.values())


@pytest.mark.parametrize(
    "changes", [{}, {"pairs": ("gg", "mm")}, {"fidelity": "paper", "shuffle_pairs": True}]
)
def test_pairs_of_two_clips_need_two(changes):
    with pytest.raises(ValueError, match="need a batch of at least 2"):
        losses_of(model_of(**changes), clips(1))
    assert list(losses_of(model_of(**changes), clips(2))) == PHASES


def test_it_is_a_model():
    model = model_of()
    assert isinstance(model, Model)
    assert (model.takes, model.makes) == (frozenset(), {"video", "audio"})


def test_real_clips_as_the_networks_see_them():
    """Pictures in [-1, 1], sound with silence behind."""
    clip = clips(2)
    real = model_of().real(clip)
    torch.testing.assert_close((real.video + 1) / 2, clip.video)
    assert torch.equal(real.audio[:, :3200], clip.audio)
    assert real.audio.shape == (2, 4096)
    assert not real.audio[:, 3200:].any()


# ---- Losses --------------------------------------------------------------------------------------


def logits(seed, n=7):
    return 2 * torch.randn(n, generator=seeded(seed), dtype=torch.float64)


def test_losses_are_binary_cross_entropies():
    x = logits(0).float()
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    torch.testing.assert_close(real_loss(x), bce(x, torch.ones(7)))
    torch.testing.assert_close(fake_loss(x), bce(x, torch.zeros(7)))
    torch.testing.assert_close(generator_loss(x), bce(x, torch.ones(7)))
    torch.testing.assert_close(generator_loss(x, saturating=True), -bce(x, torch.zeros(7)))


def test_equation_2_is_one_cross_entropy_of_three_classes():
    """Triangle-GAN: q_real = D_1, q_âv = (1 - D_1) D_2, q_av̂ = (1 - D_1) (1 - D_2)."""
    d1 = {kind: logits(i).float() for i, kind in enumerate(("real", "sound", "video"))}
    d2 = {kind: logits(i + 3).float() for i, kind in enumerate(("real", "sound", "video"))}
    ours = discriminator_1_loss(d1["real"], [d1["sound"], d1["video"]], average=False)
    ours = ours + discriminator_2_loss(d2["sound"], d2["video"])
    expected = 0.0
    for target, kind in enumerate(("real", "sound", "video")):
        one, two = d1[kind].double().sigmoid(), d2[kind].double().sigmoid()
        q = torch.stack([one, (1 - one) * two, (1 - one) * (1 - two)])
        torch.testing.assert_close(q.sum(0), torch.ones(7, dtype=torch.float64))
        expected = expected - q[target].log().mean()
    torch.testing.assert_close(ours.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("kinds", "average", "expected"),
    [(2, False, 1.9095), (3, False, 2.2493), (2, True, 1.3863), (3, True, 2 * math.log(2))],
)
def test_balance_of_d1(kinds, average, expected):
    """The best that one number can do where nothing can be told apart."""
    share = 1 / 2 if average else 1 / (kinds + 1)
    at = torch.full((4,), math.log(share / (1 - share)), requires_grad=True)
    loss = discriminator_1_loss(at, [at] * kinds, average=average)
    assert loss.item() == pytest.approx(expected, abs=5e-5)
    loss.backward()
    torch.testing.assert_close(at.grad, torch.zeros(4), atol=1e-6, rtol=0)


def test_balance_of_d2():
    assert discriminator_2_loss(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(
        1.3863, 1e-4
    )


class Judge(torch.nn.Module):
    """Says of a pair the mean of its sound, and a number for its video, which is constant."""

    def __init__(self, offset=0.0):
        super().__init__()
        self.offset = torch.nn.Parameter(torch.tensor(offset))

    def hear(self, audio, jitter):
        return audio.mean(1)[:, None, None]

    def see(self, video):
        return video.mean((1, 2, 3, 4))[:, None, None]

    def join(self, heard, seen):
        return (10 * heard + seen)[:, :, 0] + self.offset


def constant_pairs():
    """A pair whose logit is 10 a + v tells which sound and which video it was made of."""

    def pair(audio, video):
        audio, video = torch.tensor(audio), torch.tensor(video)
        return Pair(
            audio[:, None].expand(-1, 4096), video[:, None, None, None, None].expand(-1, 8, 1, 2, 2)
        )

    return pair([0.1, 0.2, 0.3], [0.01, 0.02, 0.03]), pair([0.5, 0.6, 0.7], [0.05, 0.06, 0.07])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("real", [1.01, 2.02, 3.03]),
        ("eq2_sound", [5.01, 6.02, 7.03]),
        ("eq2_video", [1.05, 2.06, 3.07]),
        ("gg", [5.05, 6.06, 7.07]),
        ("mm", [1.03, 2.01, 3.02]),
    ],
)
def test_pairs_are_made_of_what_they_should(kind, expected):
    model = model_of(ears="waveform")
    model.joint_discriminators = torch.nn.ModuleDict({"d1": Judge()})
    said = model.judged(*constant_pairs(), 0, seeded(), [kind])[kind]
    torch.testing.assert_close(said, torch.tensor(expected))


@pytest.mark.parametrize(
    ("changes", "d1", "total"),
    [
        ({"fidelity": "paper"}, ["real", "eq2_sound", "eq2_video"], "sum"),
        (D1_D2, ["real", "eq2_sound", "eq2_video", "gg"], "mean"),
        ({"pairs": ("gg",)}, ["real", "gg"], "mean"),
        ({"pairs": ("gg", "mm")}, ["real", "gg", "mm"], "mean"),
    ],
)
def test_joint_loss_is_that_of_its_pairs(changes, d1, total):
    model = model_of(r1_video=0.0, ears="waveform", **changes)
    nets = {"d1": Judge(0.3), "d2": Judge(-0.2)}
    model.joint_discriminators = torch.nn.ModuleDict(nets)
    values = {"real": (1, 0), "eq2_sound": (5, 0), "eq2_video": (1, 4), "gg": (5, 4)}

    def loss_of(kind, offset, real):
        rows = []
        for i in range(3):
            heard, seen = values.get(kind, (1, 0))
            other = (i - 1) % 3 if kind == "mm" else i
            logit = heard + i + (seen + other + 1) / 100 + offset
            rows.append(math.log1p(math.exp(-logit if real else logit)))
        return sum(rows) / 3

    fakes = [loss_of(kind, 0.3, False) for kind in d1[1:]]
    expected = loss_of("real", 0.3, True) + sum(fakes) / (len(fakes) if total == "mean" else 1)
    if "eq2_sound" in d1:
        expected += loss_of("eq2_sound", -0.2, True) + loss_of("eq2_video", -0.2, False)
    loss = model.joint_loss(*constant_pairs(), 1, seeded())
    assert loss.total.item() == pytest.approx(expected, rel=1e-5)


def test_shuffled_pairs_are_of_different_clips():
    model = model_of(shuffle_pairs=True, r1_video=0.0, pairs=("gg",), ears="waveform")
    model.joint_discriminators = torch.nn.ModuleDict({"d1": Judge()})
    real, fake = constant_pairs()
    loss = model.joint_loss(real, fake, 1, seeded()).total
    mixed = Pair(real.audio, real.video.roll(1, 0))
    told = model.judged(mixed, fake, 1, seeded(), ["real", "gg"])
    expected = discriminator_1_loss(told["real"], [told["gg"]], average=True)
    torch.testing.assert_close(loss, expected)
    assert not torch.equal(told["real"], model.judged(real, fake, 1, seeded(), ["real"])["real"])


@pytest.mark.parametrize("preset", PRESETS)
def test_r1_comes_every_few_steps(preset):
    model = model_of(r1_every=4, **PRESETS[preset])
    seen = ["waveform", "spectrum", "image", "video", *(["d1"] if preset == "d1 d2" else [])]
    for step in (0, 1, 3, 4):
        terms = {name: loss.terms for name, loss in losses_of(model, clips(), step).items()}
        found = {name for part in terms.values() for name in part if "r1" in name}
        due = preset != "paper" and step % 4 == 0
        assert found == ({f"{of}_r1" for of in seen} if due else set())
    assert model.r1("r1_audio", 0) == (10.0 / 2 * 4 if preset != "paper" else 0)


def test_r1_is_part_of_the_loss():
    model = model_of(**D1_D2)
    part = losses_of(model, clips(), step=0)["joint_discriminators"]
    plain = part.terms["d1_bce"] + part.terms["d2_bce"]
    expected = plain + 5.0 / 2 * 16 * part.terms["d1_r1"]
    torch.testing.assert_close(part.total, expected)


RISES = {
    "ramp": ({"ramp": 100}, {0: 0, 25: 0.25, 100: 1, 300: 1}),
    "later": ({"ramp": 100, "joint_from": 40}, {0: 0, 40: 0, 65: 0.25, 139: 0.99, 140: 1, 300: 1}),
    "at once": ({"ramp": 0, "joint_from": 40}, {0: 0, 39: 0, 40: 1, 300: 1}),
}


@pytest.mark.parametrize("how", RISES)
@pytest.mark.parametrize("pairs", [("eq2", "gg"), ("match",), ("eq2", "gg", "match")])
def test_the_ramp_and_the_weights(pairs, how):
    changes, rises = RISES[how]
    model = model_of(pairs=pairs, lambda_1=2.0, lambda_eq2=0.5, lambda_match=3.0, **changes)
    for step, rise in rises.items():
        loss = losses_of(model, clips(), step)["generators"]
        t = loss.terms
        expected = t["waveform"] + t["spectrum"] + t["image"] + t["video"]
        if rise and "gg" in pairs:
            d1 = 2.0 * (t["d1_gg"] + 0.5 * (t["d1_eq2_sound"] + t["d1_eq2_video"]))
            expected = expected + rise * (d1 + 0.1 * (t["d2_sound"] + t["d2_video"]))
        if rise and "match" in pairs:
            expected = expected + rise * 3.0 * t["match_nce"]
        torch.testing.assert_close(loss.total, expected)
        assert ("d1_gg" in t) == bool(rise and "gg" in pairs)
        assert ("match_nce" in t) == bool(rise and "match" in pairs)


def test_weight_decay_is_of_the_video_generator_alone():
    """The gradient that Adam's weight decay would add."""
    gradients = []
    for decay in (0.0, 0.5):
        model = model_of(fidelity="paper", weight_decay=decay)
        loss = losses_of(model, clips())["generators"].total
        parameters = dict(model.generators.named_parameters())
        found = torch.autograd.grad(loss, [*parameters.values()])
        gradients.append(dict(zip(parameters, found, strict=True)))
    for name, p in parameters.items():
        added = 0.5 * p if name.startswith("video") else torch.zeros_like(p)
        torch.testing.assert_close(
            gradients[1][name] - gradients[0][name], added, atol=1e-5, rtol=1e-4
        )


def test_instance_noise_fades():
    sigma = {
        step: [model_of(fidelity=f, noise_until=100).jitter(step, seeded()).sigma for f in FIDELITY]
        for step in (0, 25, 100, 999)
    }
    assert sigma == {
        0: [0.1, 0.1],
        25: pytest.approx([0.075] * 2),
        100: [0.0, 0.0],
        999: [0.0, 0.0],
    }
    assert model_of(fidelity="paper").jitter(10**6, seeded()).sigma == 0.1
    assert model_of().jitter(25_000, seeded()).sigma == pytest.approx(0.05)


@pytest.mark.parametrize("fidelity", FIDELITY)
def test_fidelity_fills_in_what_is_left_open(fidelity):
    config = Config(fidelity=fidelity)
    for field, value in FIDELITY[fidelity].items():
        assert getattr(config, field) is None
        assert config.choice(field) == value
    assert Config(fidelity=fidelity, lambda_2=0.0).choice("lambda_2") == 0.0
    assert Config(fidelity=fidelity, pairs=()).choice("pairs") == ()


def test_glorot_is_the_papers_first_weights():
    last = {f: model_of(fidelity=f).audio_discriminator.waveform.last for f in FIDELITY}
    bound = (6 / (32 * 4 + 1)) ** 0.5
    assert 0.9 * bound < last["paper"].weight.abs().max() <= bound
    assert last["fixed"].weight.abs().max() > bound  # Normal, of deviation 1 / sqrt(inputs / 2).


# ---- Who depends on whom -------------------------------------------------------------------------


def gradient_of_sound(model, clip):
    """The generators' loss with respect to the sound generator's weights."""
    loss = losses_of(model, clip, step=10**6)["generators"].total
    parameters = [*model.generators["audio"].parameters()]
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])


@pytest.mark.parametrize(
    ("changes", "depends"),
    [
        ({"fidelity": "paper"}, False),
        ({"fidelity": "paper", "latent_mode": "shared"}, False),
        ({"latent_mode": "shared", "pairs": ("eq2",), "lambda_2": 1.0}, False),
        ({"latent_mode": "shared", "pairs": ("eq2", "mm")}, False),
        ({"latent_mode": "shared", "lambda_match": 0.0}, False),
        ({"latent_mode": "shared", "pairs": ("gg",)}, True),
        ({"latent_mode": "shared", "pairs": ("eq2", "gg")}, True),
        ({"latent_mode": "shared"}, True),
        ({"fidelity": "paper", "pairs": ("eq2", "gg")}, True),
        ({"fidelity": "paper", "pairs": ("match",)}, True),
    ],
)
def test_equation_2_teaches_the_sound_nothing_of_the_generated_video(changes, depends):
    """As published, G_A's gradient is the same whatever G_V is."""
    model = model_of(**changes)
    before = gradient_of_sound(model, clips())
    with torch.no_grad():
        for p in model.generators["video"].parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=seeded(1)))
    after = gradient_of_sound(model, clips())
    assert before.abs().max() > 0
    assert torch.equal(before, after) != depends


@pytest.mark.parametrize(
    ("changes", "depends"),
    [
        ({"fidelity": "paper"}, False),
        ({"pairs": ("eq2",), "lambda_2": 1.0}, False),
        ({"pairs": ("gg",)}, True),
        ({}, True),
    ],
)
def test_who_asks_which_sound_was_generated_with_which_video(changes, depends):
    """The same sounds and videos in other pairs: G_A's gradient changes only if they matter."""
    model = model_of(**{"latent_mode": "shared"} | changes)
    before = gradient_of_sound(model, clips())
    model.generators["video"].register_forward_hook(lambda _, __, video: video.roll(1, 0))
    after = gradient_of_sound(model, clips())
    assert torch.equal(before, after) != depends


def test_equation_2_teaches_the_video_nothing_of_the_generated_sound():
    model, found = model_of(fidelity="paper"), []
    for scale in (1.0, 0.3):
        with torch.no_grad():
            for p in model.generators["audio"].parameters():
                p.mul_(scale)
        loss = losses_of(model, clips())["generators"].total
        parameters = [*model.generators["video"].parameters()]
        found.append(torch.autograd.grad(loss, parameters))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("changes", [*PRESETS.values(), {"pairs": ("gg", "mm", "match")}])
def test_discriminators_phases_see_generated_clips_as_data(changes):
    """Their losses depend on no parameter of another phase, and on no real tensor."""
    model, clip = model_of(**changes), clips()
    model.train()
    tensors = [clip.video, clip.audio]
    for x in tensors:
        x.requires_grad_()
    for name, loss in model.losses(clip, step=0, generator=seeded()):
        others = [m for other, m in model.phases().items() if other != name]
        parameters = [p for m in others for p in m.parameters()]
        wanted = parameters + tensors if name != "generators" else []
        if wanted:
            found = torch.autograd.grad(loss.total, wanted, allow_unused=True, retain_graph=True)
            assert all(g is None for g in found), name
        mine = [*model.phases()[name].parameters()]
        found = torch.autograd.grad(loss.total, mine, retain_graph=True)
        assert all(g.isfinite().all() for g in found)
        assert any(g.abs().max() > 0 for g in found)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("share_trunk", [False, True])
def test_every_weight_of_every_phase_learns(preset, share_trunk):
    model = model_of(share_trunk=share_trunk, audio_channels=4, **PRESETS[preset])
    for name, loss in model.losses(clips(), step=10_000, generator=seeded()):
        parameters = dict(model.phases()[name].named_parameters())
        found = torch.autograd.grad(loss.total, [*parameters.values()], retain_graph=True)
        for p, g in zip(parameters, found, strict=True):
            assert g.abs().max() > 0, (name, p)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_trainer_updates_one_phase_at_a_time(preset):
    model = model_of(ramp=0, **PRESETS[preset])
    original, seen = model.losses, []

    def watched(clip, *, step, generator):
        for name, loss in original(clip, step=step, generator=generator):
            before = weights(model)
            yield name, loss
            prefixes = {changed.split(".")[0] for changed in differing(before, model)}
            seen.append((name, prefixes))
            assert all(p.grad is None for p in model.parameters())

    model.losses = watched
    clip = clips()
    learner_of(model).step(clip)
    assert seen == [(name, {name}) for name in PHASES]
    assert clip.video.grad is None
    assert clip.audio.grad is None


# ---- The matcher ---------------------------------------------------------------------------------

LOOKS = [{}, {"ears": "waveform"}, {"position": True}, {"ears": "waveform", "position": True}]


@pytest.mark.parametrize("changes", LOOKS)
@pytest.mark.parametrize("shuffled", [False, True])
def test_the_matcher_learns_from_real_pairs(changes, shuffled):
    """Its loss by hand; the control's pairs are sounds with the video of the clip before."""
    model = model_of(shuffle_pairs=shuffled, **changes)
    real, fake = model.real(clips()), model.fakes(4, seeded(1))
    loss = model.joint_loss(real, fake, 0, seeded())
    net = model.joint_discriminators["match"]
    assert (net.position, net.audio.__class__.__name__) == (
        "position" in changes,
        "AudioTrunk" if "ears" in changes else "MelTrunk",
    )
    sound = real.audio if "ears" in changes else model.sound(real.audio)
    told = []
    for video in (real.video, real.video[[3, 0, 1, 2]]):
        jitter = Jitter(seeded(), radius=2)
        told.append(net(Pair(sound, video), jitter)["match_nce"])
    assert not torch.equal(*told)
    assert torch.equal(loss.total, told[shuffled])
    assert torch.equal(loss.terms["match_nce"], loss.total)
    assert set(loss.terms) == {"match_nce", "match_right"}


@pytest.mark.parametrize(("changes", "depends"), [({}, False), (D1_D2, True)])
def test_the_matcher_learns_nothing_from_generated_clips(changes, depends):
    """Its phase is the same to the bit whatever the generators are."""
    model, found = model_of(**changes), []
    for scale in (1.0, 1.5):
        with torch.no_grad():
            for p in model.generators.parameters():
                p.mul_(scale)
        loss = losses_of(model, clips())["joint_discriminators"].total
        gradients = torch.autograd.grad(loss, [*model.joint_discriminators.parameters()])
        found.append([loss.detach(), *gradients])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True)) != depends


def test_the_matcher_does_not_change_what_d1_learns():
    """Both together: its loss is added to theirs."""
    model, alone = model_of(pairs=("gg", "match")), model_of(pairs=("gg",))
    real, fake = model.real(clips()), model.fakes(4, seeded(1))
    loss, d1 = (net.joint_loss(real, fake, 1, seeded()) for net in (model, alone))
    assert torch.equal(loss.terms["d1_bce"], d1.total)
    torch.testing.assert_close(loss.total, d1.total + loss.terms["match_nce"])


@pytest.mark.parametrize("changes", [*LOOKS, {"latent_mode": "separate"}])
def test_generators_are_matched_by_the_matcher_as_it_is(changes):
    """Their term by hand, and whom it reaches."""
    model = model_of(ramp=0, noise=0.0, shuffle_radius=0, **changes)
    fake = model.fakes(4, seeded(1))
    real, apart = model.real(clips()), seeded(2)
    loss = model.generators_loss(real, fake, 1, seeded(), apart)
    heard = fake._replace(audio=model.sound(fake.audio))
    expected = model.joint_discriminators["match"](heard, Jitter(seeded(2)))
    assert torch.equal(loss.terms["match_nce"], expected["match_nce"])
    for name in ("audio", "video"):
        parameters = [*model.generators[name].parameters()]
        found = torch.autograd.grad(loss.terms["match_nce"], parameters, retain_graph=True)
        assert sum(g.abs().sum() for g in found) > 0


# ---- The baseline --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "silence"),
    [
        ({"fidelity": "paper"}, {"lambda_1": 0.0, "lambda_2": 0.0}),
        (D1_D2, {"lambda_1": 0.0, "lambda_2": 0.0}),
        ({}, {"lambda_match": 0.0}),
    ],
)
def test_joint_terms_of_weight_0_leave_the_rest_bit_identical(changes, silence):
    ends = []
    for arm in ({"pairs": ()}, silence, {}):
        model = model_of(**{"ramp": 0} | changes | arm)
        learner = learner_of(model)
        for seed in range(3):
            learner.step(clips(4).replace(audio=clips(4).audio.roll(seed, 1)))
        state = model.state_dict()
        ends.append({k: v for k, v in state.items() if not k.startswith("joint")})
    baseline, silent, loud = ends
    assert baseline.keys() == silent.keys()
    assert all(torch.equal(baseline[k], silent[k]) for k in baseline)
    assert any(not torch.equal(baseline[k], loud[k]) for k in baseline if "generators" in k)


def test_the_baseline_builds_no_joint_discriminator():
    model = model_of(pairs=())
    assert list(model.phases()) == [name for name in PHASES if name != "joint_discriminators"]
    assert not list(model.joint_discriminators.parameters())
    losses = losses_of(model, clips(), step=9999)
    assert set(losses["generators"].terms) == {"waveform", "spectrum", "image", "video"}
    assert list(losses) == list(model.phases())


@pytest.mark.parametrize(
    ("changes", "nets", "heads"),
    [
        ({"fidelity": "paper"}, ["d1", "d2"], 1),
        (D1_D2, ["d1", "d2"], 1),
        (D1_D2 | {"share_trunk": True}, ["d1"], 2),
        ({"pairs": ("gg",)}, ["d1"], 1),
        (D1_D2 | {"lambda_2": 0.0}, ["d1"], 1),
        ({}, ["match"], 0),
        ({"share_trunk": True}, ["match"], 0),
        ({"pairs": ("match", "gg")}, ["d1", "match"], 1),
        ({"pairs": ("eq2", "gg", "mm", "match")}, ["d1", "d2", "match"], 1),
    ],
)
def test_joint_networks_that_are_needed(changes, nets, heads):
    model = model_of(**changes)
    assert list(model.joint_discriminators) == nets
    if heads:
        assert model.joint_discriminators["d1"].clip_head.out_features == heads


# ---- Every option trains -------------------------------------------------------------------------

OPTIONS = {
    "everything": {
        "fusion": "global", "share_trunk": True, "position": True, "saturating": True,
        "pairs": ("eq2", "gg", "mm", "match"), "latent_mode": "shared", "window": 8,
        "shuffle_pairs": True, "image_discriminator": "full", "video_discriminator": "patch",
        "ramp": 0,
    },
    "wgan-gp": {"audio_loss": "wgan-gp", "ramp": 0},
    "wgan-gp paper": {"audio_loss": "wgan-gp", "fidelity": "paper"},
    "waveform": {"ears": "waveform", "ramp": 0},
    "ears paper": {"ears": "both", "fidelity": "paper"},
    "layers": {"audio_layers": 4, "ramp": 0},
    "d1 d2": {**D1_D2, "ramp": 0},
    "d1 d2 waveform": {**D1_D2, "ears": "waveform", "ramp": 0},
    "global": {**D1_D2, "fusion": "global", "ramp": 0},
    "share_trunk": {**D1_D2, "share_trunk": True, "ramp": 0},
    "position": {"position": True},
    "d1 d2 position": {**D1_D2, "position": True},
    "mm": {"pairs": ("eq2", "mm")},
    "gg match": {"pairs": ("gg", "match")},
    "match paper": {"pairs": ("match",), "fidelity": "paper"},
    "saturating": {"saturating": True, "fidelity": "paper"},
    "shared": {"latent_mode": "shared", "fresh_fakes": True},
    "separate": {"latent_mode": "separate", "ramp": 0},
    "shuffled": {"shuffle_pairs": True},
    "shuffled paper": {"shuffle_pairs": True, "fidelity": "paper"},
    "window": {"window": 8, "frames": 10},
    "quiet": {"noise": 0.0, "shuffle_radius": 0, "augment": ()},
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_option_trains(name):
    changes = dict(OPTIONS[name])
    spec = SPEC.with_frames(changes.pop("frames", SPEC.frames))
    model = model_of(spec, **changes)
    learner = learner_of(model, ema=0.99)
    before = weights(model)
    for _ in range(2):
        learner.step(clips(4, spec))
    learner.check_weights()
    assert {p.split(".")[0] for p in differing(before, model)} == set(model.phases())


def test_wgan_gp_has_five_critic_steps_with_fresh_sounds():
    model = model_of(audio_loss="wgan-gp", pairs=(), augment=())
    yielded = list(model.losses(clips(), step=1, generator=seeded()))
    names = [name for name, _ in yielded]
    assert names == ["audio_discriminator"] * 5 + ["video_discriminators", "generators"]
    distances = {loss.terms["waveform_distance"].item() for _, loss in yielded[:5]}
    assert len(distances) == 5
    for _, loss in yielded[:5]:
        t = loss.terms
        ears = [10 * t[f"{e}_gp"] - t[f"{e}_distance"] for e in ("waveform", "spectrum")]
        torch.testing.assert_close(loss.total, sum(ears))


def test_accumulated_batches_train():
    learner = learner_of(model_of(), accumulate=2)
    learner.step(clips(4))
    learner.check_weights()


# ---- Going on ------------------------------------------------------------------------------------


class Waves:
    spec = SPEC

    def __len__(self):
        return 12

    def clips(self, indices):
        return clips(12)[list(indices)]


def test_twenty_steps_are_ten_and_ten(tmp_path):
    model = model_of(batch_norm=True)
    config = config_of(model, ema=0.99, seed=3)
    options = {"recipe": {}, "progress": False}
    train(model, Waves(), config, tmp_path / "whole", **options)
    half = dataclasses.replace(config, steps=10)
    train(model_of(batch_norm=True), Waves(), half, tmp_path / "parts", **options)
    again = model_of(batch_norm=True, seed=5)
    train(again, Waves(), config, tmp_path / "parts", resume=True, **options)
    whole, parts = (load_file(tmp_path / run / "weights.safetensors") for run in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[k], parts[k]) for k in whole)
    line = json.loads((tmp_path / "whole" / "stats.jsonl").read_text())
    assert {f"{name}/total" for name in PHASES} <= set(line)


# ---- Sampling ------------------------------------------------------------------------------------


def trained(**changes):
    """A model whose batch norms have statistics and whose sound follows the motion."""
    model = model_of(audio_channels=4, **changes)
    model.fakes(8, seeded())
    path = model.generators["audio"].from_motion
    if path is not None:
        torch.nn.init.normal_(path.weight, generator=seeded())
    return model


@pytest.mark.parametrize("mode", ["separate", "shared", "partial"])
def test_a_clip_is_the_same_in_any_batch(mode):
    model = trained(latent_mode=mode)
    together = model.sample(Clip.nothing(SPEC, 3), num_samples=2, generator=Streams(5, [4, 9, 2]))
    alone = model.sample(Clip.nothing(SPEC, 1), num_samples=1, generator=Streams(5, [9]))
    assert len(together) == 6
    for name in ("video", "audio"):
        ours, theirs = together.parts()[name], alone.parts()[name]
        torch.testing.assert_close(ours[2:3], theirs, atol=1e-5, rtol=1e-5)
        assert (ours[3:4] - theirs).abs().max() > 1e-3
    assert together.video.min() >= 0
    assert together.video.max() <= 1
    assert together.audio.abs().max() <= 1


def test_generating_leaves_the_mode_and_the_statistics_alone():
    model = trained()
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    z = model.latents(Streams(0, [0]), 2, 8)
    first, second = model.generate(z), model.generate(z)
    assert model.training
    assert not first.video.requires_grad
    assert torch.equal(first.video, second.video)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_a_longer_clip_begins_with_the_shorter_video():
    model = trained()
    short = model.sample(Clip.nothing(SPEC, 2), num_samples=1, generator=Streams(1, [0, 1]))
    wanted = SPEC.with_frames(30)
    long = model.sample(Clip.nothing(wanted, 2), num_samples=1, generator=Streams(1, [0, 1]))
    assert long.spec == wanted
    assert long.audio.shape == (2, wanted.samples)
    assert long.video.shape[1] == 30
    torch.testing.assert_close(long.video[:, :8], short.video, atol=1e-6, rtol=1e-5)
    assert (long.video[:, 8:].diff(dim=1).abs().amax((2, 3, 4)) > 0).all()  # It moves on.


def test_too_long_a_clip_is_refused():
    with pytest.raises(ValueError, match=r"makes 3073 to 65536, at"):
        model_of().sample(
            Clip.nothing(SPEC.with_frames(170), 1), num_samples=1, generator=Streams(0, [0])
        )


class Heard(torch.nn.Module):
    """In place of a sound generator: keeps what it is given."""

    def forward(self, z, motion):
        self.z, self.codes = z, motion
        return torch.zeros(len(z), motion.shape[2] * STEP)


def noise_of_sound(model, count=400):
    model.generators["audio"] = Heard()
    z = model.latents(Streams(0, list(range(count))), 1, 8)
    with torch.no_grad():
        model.make(z, model.spec)
    return z, model.generators["audio"]


def test_separate_noise_of_the_sound_is_uniform():
    z, heard = noise_of_sound(model_of(latent_mode="separate"))
    values = heard.z.flatten().sort().values
    assert z.shared.shape == (400, 0)
    # Kolmogorov and Smirnov's distance to U(-1, 1), at 3200 numbers: 0.024 at 5 %.
    n = len(values)
    steps = torch.arange(n + 1) / n
    cdf = (values + 1) / 2
    assert torch.maximum(cdf - steps[:-1], steps[1:] - cdf).max() < 0.024


@pytest.mark.parametrize("mode", ["shared", "partial"])
def test_shared_noise_is_the_same_for_both_and_normal(mode):
    model, contents = model_of(latent_mode=mode), []
    model.generators["video"].register_forward_hook(
        lambda _, inputs, __: contents.append(inputs[0])
    )
    z, heard = noise_of_sound(model)
    (content,) = contents
    both = {"shared": 6, "partial": 4}[mode]
    assert (heard.z.shape, content.shape) == ((400, 8), (400, 6))
    assert torch.equal(heard.z[:, :both], content[:, :both])
    if mode == "partial":
        assert torch.equal(content[:, 4:], z.content)
        assert torch.equal(heard.z[:, 4:], z.sound)
        assert abs(torch.corrcoef(torch.stack([z.content[:, 0], z.sound[:, 0]]))[0, 1]) < 0.15
    assert heard.z.std().item() == pytest.approx(1, abs=0.05)


def test_motion_reaches_the_sound_at_its_time():
    model = model_of()
    z, heard = noise_of_sound(model, 2)
    codes = model.generators["video"].motion(z.start, z.motion)
    # 4 steps of 0.256 s, frames of 0.1 s: step 0 is between the middles of frames 0 and 1.
    share = (0.128 - 0.05) / 0.1
    expected = (1 - share) * codes[:, 0] + share * codes[:, 1]
    torch.testing.assert_close(heard.codes[:, :, 0], expected)
    assert heard.codes.shape == (2, 3, 4)


@pytest.mark.parametrize(("mode", "moves"), [("partial", True), ("shared", False)])
def test_what_the_motion_changes(mode, moves):
    """New motion noise changes the pictures; the sound only by the path between them."""
    model = trained(latent_mode=mode)
    here, there = (model.latents(Streams(seed, [0]), 1, 8) for seed in (0, 1))
    first = model.generate(here)
    second = model.generate(dataclasses.replace(here, motion=there.motion))
    assert not torch.equal(first.video, second.video)
    assert torch.equal(first.audio, second.audio) != moves


# ---- Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "spec", "message"),
    [
        ({}, {"frames": 5, "sample_rate": 8000}, r"window=5 of frames=5.*at least 6"),
        ({"window": 9}, {}, r"window=9 of frames=8.*at most all"),
        ({"window": 5}, {}, r"window=5 of frames=8.*at least 6"),
        ({}, {"size": 48}, r"size=48.*\[16, 32, 64, 128\]"),
        ({}, {"sample_rate": 3000}, r"2400 samples.*3073 to 65536, .*1\.02 to 21\.85 s"),
        ({}, {"sample_rate": 96_000}, r"76800 samples.*3073 to 65536"),
        ({"shared": 7}, {}, r"shared=7 exceeds sound=8 or content=6"),
        ({"shared": 20, "content": 50}, {}, r"shared=20 exceeds sound=8 or content=50"),
    ],
)
def test_what_cannot_be_built_is_refused_with_what_can(changes, spec, message):
    with pytest.raises(ValueError, match=message) as caught:
        model_of(dataclasses.replace(SPEC, **spec), **changes)
    assert "\n" not in str(caught.value)


def test_shared_only_matters_where_noise_is_shared_in_part():
    model_of(latent_mode="separate", shared=100)
    model_of(latent_mode="shared", shared=100)


@pytest.mark.parametrize(("part", "missing"), [("video", "pictures"), ("audio", "sound")])
def test_training_needs_both_modalities(part, missing):
    clip = clips().replace(**{part: None})
    with pytest.raises(ValueError, match=f"these have no {missing}"):
        losses_of(model_of(), clip)


def test_training_clips_have_the_models_length():
    spec = SPEC.with_frames(9)
    with pytest.raises(ValueError, match=r"9 frames and 3600 samples.*8 and 3200"):
        losses_of(model_of(), clips(2, spec))


def test_unknown_values_are_refused():
    for kind in ("gv", "roll", "eq2_sound"):
        with pytest.raises(ValueError, match="pairs"):
            Config(pairs=(kind,))
    with pytest.raises(ValueError, match="z_dim"):
        Config(z_dim=3)


# ---- The relation can be seen --------------------------------------------------------------------


def accuracy(model, clip, others):
    """D_1's shares of real pairs taken for real, and of other pairs not."""
    model.eval()
    net = model.joint_discriminators["d1"]

    def right(pair):
        with torch.no_grad():
            return net.join(net.hear(model.sound(pair.audio), None), net.see(pair.video))[:, 0] > 0

    told = [~right(model.real(other)) for other in others]
    return right(model.real(clip)).float().mean(), torch.cat(told).float().mean()


def overfit(model, clip, steps):
    """Train D_1 alone on these clips, every time in another order.

    With first weights large enough that what it sees is not lost on the way.
    """
    with torch.no_grad():
        for p in model.joint_discriminators.parameters():
            p.mul_(1.7 if p.ndim > 1 else 1.0)
    optimizer = torch.optim.Adam(model.joint_discriminators.parameters(), 2e-3)
    for step in range(steps):
        random = seeded(step)
        batch = model.real(clip[torch.randperm(len(clip), generator=random)])
        optimizer.zero_grad()
        model.joint_loss(batch, batch, step + 1, random).total.backward()
        optimizer.step()


@pytest.mark.slow
@pytest.mark.parametrize("ears", ["waveform", "both"])
def test_d1_sees_which_sound_is_whose(ears):
    spec = ClipSpec(8, fps=10, size=16, channels=3, sample_rate=6000)
    clip = BounceTone(clips=(16, 0, 0)).build(spec, "train").clips(range(16))
    model = model_of(
        spec, pairs=("mm",), joint_channels=8, r1_pairs=0.0, ears=ears, shuffle_radius=0
    )
    overfit(model, clip, 700)
    others = [clip.replace(audio=clip.audio.roll(k, 0)) for k in range(1, 16)]
    real, other = accuracy(model, clip, others)
    assert (real + other) / 2 > 0.95  # Some of the 240 other pairs are of clips much alike.


def flashes(spec, count=16, seed=2):
    """A flash and a click at the same time, once a clip."""
    random = seeded(seed)
    video, audio = torch.zeros(count, spec.frames, 1, 16, 16), torch.zeros(count, spec.samples)
    for i in range(count):
        k = i % spec.frames
        video[i, k] = 1
        start = k * spec.samples_per_frame + 100
        audio[i, start : start + 300] = torch.randn(300, generator=random)
    return Clip(spec, video=video, audio=audio)


def test_d1_sees_that_sound_and_picture_are_together():
    spec = ClipSpec(8, fps=8, size=16, channels=1, sample_rate=4800)
    clip = flashes(spec, 8)
    model = model_of(spec, pairs=("mm",), joint_channels=4, r1_pairs=0.0)
    overfit(model, clip, 100)
    rolls = [round(0.3 * 4800), -round(0.3 * 4800)]
    others = [clip.replace(audio=clip.audio.roll(shift, 1)) for shift in rolls]
    real, other = accuracy(model, clip, others)
    assert real > 0.95
    assert other > 0.95


@pytest.mark.parametrize("ears", ["waveform", "both"])
def test_the_matcher_sees_that_sound_and_picture_are_together(ears):
    """Clicks never heard before find the flash at their time among eight."""
    spec = ClipSpec(8, fps=8, size=16, channels=1, sample_rate=4800)
    model = model_of(spec, joint_channels=4, audio_layers=4, ears=ears, shuffle_radius=0)
    optimizer = torch.optim.Adam(model.joint_discriminators.parameters(), 3e-3)
    for step in range(80):
        real, random = model.real(flashes(spec, 8, seed=step)), seeded(step)
        optimizer.zero_grad()
        model.joint_loss(real, real, 1, random).total.backward()
        optimizer.step()
    real = model.real(flashes(spec, 8, seed=1000))
    with torch.no_grad():
        terms = model.joint_loss(real, real, 1, seeded()).terms
    assert terms["match_right"] > 0.8
    assert terms["match_nce"] < math.log(8) / 2
