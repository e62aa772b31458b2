import dataclasses
import math
import warnings

import pytest
import torch
from torch import Generator, nn

from soundsight.contract import Model, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.models import crossmodal_gan
from soundsight.models.crossmodal_gan import (
    FIDELITY,
    AutoencoderEncoder,
    ClassifierEncoder,
    Config,
    discriminator_loss,
    generator_loss,
)
from soundsight.nn.augment import augment_maps, vary
from soundsight.nn.contrast import MatchingEncoder, info_nce
from soundsight.nn.gan_cls import Bottleneck
from soundsight.nn.log_mel import resize
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import Learner, TrainConfig

SPEC = ClipSpec(frames=1, fps=2, size=16, channels=1, sample_rate=4000)
SMALL = {
    "classes": 4, "encoder_steps": 2, "encoder_widths": (4, 4), "encoder_hidden": 8, "encoding": 12,
    "condition": 6, "z": 4, "generator_channels": 2, "discriminator_channels": 2, "n_mels": 64,
    "n_fft": 512, "hop_length": 100, "phase_steps": 2,
}  # fmt: skip
PAPER = ClipSpec(frames=1, fps=2, size=64, channels=3, sample_rate=44100)
DIRECTIONS = ["sound_to_image", "image_to_sound"]


def model_of(spec=SPEC, seed=0, **changes):
    torch.manual_seed(seed)
    return Config(**SMALL | changes).build(spec)


def clips(batch=6, spec=SPEC):
    """A tone for each clip, of one of four classes, and a bar at its class's height."""
    label = torch.arange(batch) % 4
    pitch = 200 * (1 + label) + 20 * (torch.arange(batch) // 4)
    time = torch.arange(spec.samples) / spec.sample_rate
    audio = 0.1 * torch.sin(2 * math.pi * pitch[:, None] * time)
    rows = torch.arange(spec.size) * 4 // spec.size
    bars = (rows == label[:, None]).float()[:, None, None, :, None]
    video = bars.expand(-1, 1, spec.channels, spec.size, spec.size).contiguous()
    return Clip(spec, video=video, audio=audio, label=label)


def seeded(seed=0):
    return Generator().manual_seed(seed)


def learner_of(model, lr=2e-3):
    adam = OptimConfig(lr=lr, betas=(0.5, 0.999))
    optim = dict.fromkeys(model.phases(), adam)
    config = TrainConfig(steps=1000, batch_size=6, optim=optim, device="cpu")
    return Learner(model, config, torch.device("cpu"))


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def unchanged(before, module):
    return all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def count(module):
    return sum(p.numel() for p in module.parameters())


# ---- Sizes: the paper's tables -------------------------------------------------------------------


def on_meta(**changes):
    with torch.device("meta"):
        return Config(fidelity="paper", **changes).build(PAPER)


def rows(layers, *inputs):
    """Channels, height and width after each layer that changes them, by one pass without data."""
    sizes = []

    def note(module, _, out):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.MaxPool2d | Bottleneck):
            sizes.append(tuple(out.shape[1:]))

    handles = [layer.register_forward_hook(note) for layer in layers]
    layers(*inputs)
    for handle in handles:
        handle.remove()
    return sizes


def test_the_papers_sound_encoder():
    model = on_meta()
    given, net = torch.zeros(2, 1, 128, 44, device="meta"), model.encoders
    assert (model.log_mel.n_mels, model.log_mel.columns) == (128, 44)
    assert rows(net.layers, given) == [
        (4, 126, 42), (8, 124, 40), (16, 122, 38), (16, 120, 36)
    ]  # fmt: skip
    linear = [m for m in net.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [
        (69120, 1024), (1024, 128), (128, 13)
    ]  # fmt: skip
    assert linear[0].weight.numel() == 70_778_880
    assert count(net) == pytest.approx(70.9e6, rel=1e-3)
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [0.3, 0.2]
    assert net(given).shape == (2, 128)


def test_the_papers_image_encoder():
    net = on_meta(direction="image_to_sound").encoders
    picture = torch.zeros(2, 3, 64, 64, device="meta")
    assert rows(net.layers, picture) == [
        (16, 64, 64), (16, 64, 64), (16, 32, 32), (32, 32, 32), (32, 32, 32), (64, 32, 32),
        (64, 32, 32), (64, 16, 16),
    ]  # fmt: skip
    assert count(net) == pytest.approx(17.0e6, rel=5e-3)
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [0.3, 0.2]


def test_the_papers_autoencoder():
    net = on_meta(encoder="autoencoder").encoders
    x = torch.zeros(2, 1, 128, 44, device="meta")
    sizes = [net(x, stacks).shape[1:] for stacks in range(5)]
    assert sizes == [(1, 128, 44), (4, 124, 40), (8, 122, 38), (1, 120, 36), (128,)]
    assert count(net) == 1_111_314
    for index, back in enumerate(net.backs):
        assert back(net(x, index + 1)).shape[1:] == sizes[index]


def test_the_papers_pictures():
    model = on_meta()
    phi, z = torch.zeros(2, 128, device="meta"), torch.zeros(2, 10, device="meta")
    code = torch.zeros(2, 74, 1, 1, device="meta")
    assert rows(model.generator.layers, code) == [
        (1024, 4, 4), (1024, 4, 4), (512, 8, 8), (512, 8, 8), (256, 16, 16), (128, 32, 32),
        (3, 64, 64),
    ]  # fmt: skip
    assert count(model.generator) == pytest.approx(16.3e6, rel=5e-3)
    made = model.generator(phi, z)
    assert made.shape == (2, 3, 64, 64)
    assert rows(model.discriminator.look, made) == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 4, 4)
    ]  # fmt: skip
    joined = torch.zeros(2, 512 + 64, 4, 4, device="meta")
    assert rows(model.discriminator.join, joined) == [(512, 4, 4), (1, 1, 1)]
    assert count(model.discriminator) == pytest.approx(3.9e6, rel=1e-2)
    assert model.discriminator(made, phi).shape == (2,)


def test_the_papers_sounds():
    model = on_meta(direction="image_to_sound", extra_layers=False)
    assert model.shape == (1, 128, 34)
    code = torch.zeros(2, 74, 1, 1, device="meta")
    assert rows(model.generator.layers, code)[-3:] == [(128, 32, 32), (64, 64, 33), (1, 128, 34)]
    assert count(model.generator) == pytest.approx(16.4e6, rel=5e-3)
    assert rows(model.discriminator.look, torch.zeros(2, 1, 128, 34, device="meta")) == [
        (32, 64, 33), (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 4, 4)
    ]  # fmt: skip
    assert count(model.discriminator) == pytest.approx(3.9e6, rel=1e-2)


def test_the_papers_extra_layers_of_sounds():
    model, without = (on_meta(direction="image_to_sound", extra_layers=x) for x in (None, False))

    def convolutions(module):
        return sum(isinstance(m, nn.Conv2d) for m in module.modules())

    assert convolutions(model.generator) == convolutions(without.generator) + 2
    assert convolutions(model.discriminator) == convolutions(without.discriminator) + 12
    assert count(model.discriminator) == pytest.approx(7.1e6, rel=1e-2)
    assert count(model.generator) - count(without.generator) == 2 * (128 * 128 * 9 + 2 * 128)


@pytest.mark.parametrize("fidelity", FIDELITY)
@pytest.mark.parametrize(("size", "n_mels", "made"), [
    (16, 64, (64, 33)), (32, 128, (128, 34)), (128, 256, (256, 35))
])  # fmt: skip
def test_other_sizes(fidelity, size, n_mels, made):
    spec = dataclasses.replace(SPEC, size=size, channels=3, sample_rate=8000)
    sizes = SMALL | {"n_mels": n_mels, "n_fft": 2048, "hop_length": 400, "fidelity": fidelity}
    for direction, shape in zip(DIRECTIONS, [(3, size, size), (1, *made)], strict=True):
        with torch.device("meta"):
            model = Config(**sizes, direction=direction).build(spec)
            phi = torch.zeros(2, 12)
            x = model.generator(phi, torch.zeros(2, 4))
            assert model.shape == shape
            assert x.shape[1:] == shape
            assert model.discriminator.look(x).shape[2:] == (4, 4)
            assert model.discriminator(x, phi).shape == (2,)


def test_first_weights():
    """G and the paper's D as GAN-CLS; a D without norms keeps the signal's power."""
    for fidelity in FIDELITY:
        model = model_of(fidelity=fidelity, generator_channels=16, discriminator_channels=16)
        ups = [m for m in model.generator.layers if isinstance(m, nn.ConvTranspose2d)]
        assert ups[1].weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert all(m.bias is None for m in ups)
        convs = [m for m in model.discriminator.look if isinstance(m, nn.Conv2d)]
        std = 0.02 if fidelity == "paper" else (2 / convs[1].weight[0].numel()) ** 0.5
        assert convs[1].weight.std().item() == pytest.approx(std, rel=0.05)
        norms = [m for m in model.discriminator.modules() if isinstance(m, nn.BatchNorm2d)]
        assert bool(norms) == (fidelity == "paper")


# ---- Losses --------------------------------------------------------------------------------------


def test_a_discriminator_that_cannot_tell_has_2_log_2():
    zero = torch.zeros(5)
    none = torch.zeros(5, dtype=torch.bool)
    for loss in (discriminator_loss(zero, zero, zero), discriminator_loss(zero, None, zero)):
        assert float(loss) == pytest.approx(2 * math.log(2))
    # Rows without a wrong partner say nothing.
    assert float(discriminator_loss(zero, zero, zero, none)) == pytest.approx(1.5 * math.log(2))
    assert float(generator_loss(zero)) == pytest.approx(math.log(2))


def test_losses_by_hand():
    """S is the logistic function: logit log(p / (1 - p)) is the score p."""
    scores = {"right": [0.9, 0.6], "wrong": [0.3, 0.5], "fake": [0.2, 0.4]}
    logits = {k: torch.logit(torch.tensor(v)) for k, v in scores.items()}
    right = -(math.log(0.9) + math.log(0.6)) / 2
    fake = -(math.log(0.8) + math.log(0.6)) / 2
    both, first = -(math.log(0.7) + math.log(0.5)) / 2, -math.log(0.7)
    assert float(discriminator_loss(**logits)) == pytest.approx(right + (both + fake) / 2)
    valid = torch.tensor([True, False])
    assert float(discriminator_loss(**logits, valid=valid)) == pytest.approx(
        right + (first + fake) / 2
    )
    without = logits | {"wrong": None}
    assert float(discriminator_loss(**without)) == pytest.approx(right + fake)
    assert float(generator_loss(logits["fake"])) == pytest.approx(
        -(math.log(0.2) + math.log(0.4)) / 2
    )


def test_a_classifiers_loss_by_hand():
    model = model_of(fidelity="paper", direction="image_to_sound")
    model.encoders.eval()  # Without dropout.
    clip = clips()
    loss = model.encoders.loss(model.given(clip), clip.label)
    logits = model.encoders.to_logits(model.encoders(model.given(clip)))
    entropy = -logits.log_softmax(1)[torch.arange(6), clip.label].mean()
    assert float(loss.terms["cross_entropy"].detach()) == pytest.approx(float(entropy.detach()))
    linear = [m.weight for m in model.encoders.modules() if isinstance(m, nn.Linear)]
    assert len(linear) == 3  # Not the convolutions', not the biases.
    squares = sum(float(w.detach().square().sum()) for w in linear)
    assert float(loss.terms["l2"].detach()) == pytest.approx(0.015 / 2 * squares)
    total = float(loss.total.detach())
    assert total == pytest.approx(float(entropy.detach()) + 0.0075 * squares)


def test_the_condition_is_kept_and_the_data_are_swapped(monkeypatch):
    """What is scored as wrong: real data of another class, with the clip's own encoding."""
    model, clip, seen = model_of(), clips(), []
    scored = model.discriminator.score
    monkeypatch.setattr(
        model.discriminator, "score", lambda h, phi: seen.append((h, phi)) or scored(h, phi)
    )
    next(model.losses(clip, step=2, generator=seeded()))
    (right, own), _, (wrong, kept) = seen
    assert torch.equal(own, kept)
    for i in range(6):
        (source,) = {int(clip.label[j]) for j in range(6) if torch.equal(wrong[i], right[j])}
        assert source != int(clip.label[i])


def test_without_mismatch_no_wrong_pair_is_scored():
    """S2I-N, and a batch of one class."""
    loss = dict(model_of(mismatch="none").losses(clips(), step=2, generator=seeded()))
    assert "wrong" not in loss["discriminator"].terms
    clip = clips().replace(label=None)
    assert set(dict(model_of(mismatch="none").losses(clip, step=2, generator=seeded()))) == {
        "discriminator", "generator"
    }  # fmt: skip
    one = clips()[[0, 4]]
    with pytest.warns(UserWarning, match="mismatch='class': no wrong partner among 2 clips"):
        losses = dict(model_of().losses(one, step=2, generator=seeded()))
    loss = losses["discriminator"]
    assert float(loss.terms["wrong"]) == 0
    assert all(x.total.isfinite() for x in losses.values())
    pose = dict(model_of(mismatch="pose").losses(one, step=2, generator=seeded()))["discriminator"]
    assert not torch.equal(pose.terms["bce"], loss.terms["bce"])


def test_r1_is_computed_every_so_often():
    model = model_of(r1=1.0, r1_every=4)
    with_r1, without = (
        next(model.losses(clips(), step=step, generator=seeded()))[1] for step in (4, 5)
    )
    assert "r1" not in without.terms
    penalty = with_r1.terms["r1"]
    torch.testing.assert_close(with_r1.total, without.total + 2 * penalty)
    x = model.real(clips()).requires_grad_(True)
    (slope,) = torch.autograd.grad(
        model.discriminator(x, model.encode(model.given(clips()))).sum(), x
    )
    torch.testing.assert_close(penalty, slope.square().sum((1, 2, 3)).mean())


# ---- Stages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("fidelity", FIDELITY)
def test_first_the_encoder_then_the_game(direction, fidelity):
    model = model_of(direction=direction, fidelity=fidelity)
    assert isinstance(model, Model)
    assert list(model.phases()) == ["encoders", "discriminator", "generator"]
    learner, clip = learner_of(model), clips()
    before = weights(model)
    for _ in range(2):
        learner.step(clip)
    after = weights(model)
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"encoders"}
    assert model.encoders.training

    frozen = weights(model.encoders)
    players = [(module, weights(module)) for module in (model.discriminator, model.generator)]
    for _ in range(2):
        learner.step(clip)
    # Not its weights, nor the averages of its batch norm.
    assert unchanged(frozen, model.encoders)
    assert all(p.grad is None for p in model.encoders.parameters())
    assert not model.encoders.training
    assert not any(unchanged(old, module) for module, old in players)


def test_phases_by_step():
    model = model_of(encoder_steps=3)
    names = [[n for n, _ in model.losses(clips(), step=s, generator=seeded())] for s in (2, 3)]
    assert names == [["encoders"], ["discriminator", "generator"]]
    model = model_of(encoder_steps=0)
    assert next(model.losses(clips(), step=0, generator=seeded()))[0] == "discriminator"


def test_the_discriminator_gives_the_generator_no_gradient_in_its_own_step():
    model = model_of()
    for name, loss in model.losses(clips(), step=2, generator=seeded()):
        loss.total.backward(inputs=list(model.phases()[name].parameters()))
        if name == "discriminator":
            assert all(p.grad is None for p in model.generator.parameters())
            assert all(p.grad is not None for p in model.discriminator.parameters())
    assert all(p.grad is not None for p in model.generator.parameters())


def test_an_autoencoders_stacks_are_trained_in_order():
    model = model_of(encoder="autoencoder", encoder_steps=8)
    assert isinstance(model.encoders, AutoencoderEncoder)
    learner, clip = learner_of(model), clips().replace(label=None)
    for step in range(8):
        before = weights(model.encoders)
        learner.step(clip)
        changed = {
            int(name.split(".")[1])
            for name, value in model.encoders.state_dict().items()
            if not torch.equal(before[name], value)
        }
        assert changed == {step // 2}


def test_an_autoencoder_learns_to_restore():
    model = model_of(encoder="autoencoder", encoder_steps=120, encoding=32)
    learner, clip = learner_of(model, lr=5e-3), clips()
    firsts, lasts = [], []
    for step in range(120):
        if step % 30 in (0, 29):
            loss = next(model.losses(clip, step=step, generator=seeded()))[1].total
            (lasts if step % 30 else firsts).append(float(loss.detach()))
        learner.step(clip)
    assert all(last < first / 2 for first, last in zip(firsts, lasts, strict=True))


# ---- A matcher in the classifier's place ---------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("mismatch", ["pose", "none"])
def test_a_matcher_needs_no_labels(direction, mismatch):
    model = model_of(direction=direction, encoder="matcher", mismatch=mismatch)
    assert isinstance(model.encoders, MatchingEncoder)
    clip = clips().replace(label=None)
    phases = []
    for step in (0, 2):
        for name, loss in model.losses(clip, step=step, generator=seeded()):
            phases.append(name)
            assert loss.total.isfinite()
    assert phases == ["encoders", "discriminator", "generator"]
    made = model.sample(clip, num_samples=1, generator=Streams(0, range(6)))
    assert set(made.parts()) == {"video" if direction == "sound_to_image" else "audio"}


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_matchers_loss_is_of_what_is_given_and_what_is_made(direction):
    """Its own part is encoded as for the GAN, the other one as the discriminator sees it."""
    model, clip = model_of(direction=direction, encoder="matcher").eval(), clips()
    ((name, loss),) = model.losses(clip, step=1, generator=seeded())
    codes = model.encoders(model.given(clip)), model.encoders.other(model.real(clip))
    assert codes[0].shape == codes[1].shape == (6, 12)
    assert name == "encoders"
    unit = (torch.nn.functional.normalize(code, dim=1) for code in codes)
    torch.testing.assert_close(loss.total, info_nce(*unit, 0.1)["nce"])
    assert set(loss.terms) == {"nce", "right"}
    for part in ("video", "audio"):
        with pytest.raises(ValueError, match="of each clip is needed: these have none"):
            next(model.losses(clip.replace(**{part: None}), step=0, generator=seeded()))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_matcher_learns_in_its_own_phase_alone(direction):
    model = model_of(direction=direction, encoder="matcher", mismatch="pose")
    learner, clip = learner_of(model), clips().replace(label=None)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    learner.step(clip)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    # Both of its networks, whole, but for biases that a norm takes out again.
    assert changed >= {n for n in before if n.startswith("encoders.") and n.endswith(".weight")}
    assert {name.split(".")[0] for name in changed} == {"encoders"}
    learner.step(clip)
    frozen = weights(model.encoders)
    for _ in range(2):
        learner.step(clip)
    assert unchanged(frozen, model.encoders)
    assert all(p.grad is None for p in model.encoders.parameters())
    assert not any(module.training for module in model.encoders.modules())


def test_the_other_parts_encoder_is_of_no_use_to_samples():
    model = model_of(encoder="matcher")
    given = clips(2).replace(video=None)
    before = model.sample(given, num_samples=1, generator=Streams(0, [0, 1]))
    for p in model.encoders.other.parameters():
        nn.init.constant_(p, math.nan)
    after = model.sample(given, num_samples=1, generator=Streams(0, [0, 1]))
    assert torch.equal(before.video, after.video)


# ---- Mode seeking --------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_mode_seeking_is_of_two_noises_and_in_the_generators_step_alone(direction, monkeypatch):
    model, clip, seen = model_of(direction=direction, mode_seeking=0.5), clips(), []
    monkeypatch.setattr(
        crossmodal_gan, "mode_seeking_loss", lambda *args: seen.append(args) or args[0].mean()
    )
    drawn = []
    model.generator.register_forward_pre_hook(lambda _, given: drawn.append(given))
    losses = dict(model.losses(clip, step=3, generator=seeded()))
    ((fake, other, z, z_other),) = seen
    ((told, both),) = drawn
    assert fake.shape == other.shape == model.real(clip).shape
    assert not torch.equal(fake, other)
    torch.testing.assert_close(torch.cat([z, z_other]), both)
    torch.testing.assert_close(told[:6], told[6:])
    assert "mode_seeking" not in losses["discriminator"].terms
    terms = losses["generator"].terms
    total = terms["bce"] + 0.5 * terms["mode_seeking"]
    torch.testing.assert_close(losses["generator"].total, total)
    plain = dict(model_of(direction=direction).losses(clip, step=3, generator=seeded()))
    assert "mode_seeking" not in plain["generator"].terms


# ---- Augmentation --------------------------------------------------------------------------------


def all_losses(model, clip=None, seed=0):
    """Totals of the encoder's step and of both players', each with the same draws."""
    clip, totals = clip or clips(), {}
    torch.manual_seed(0)  # Dropout.
    for step in (1, 2):
        losses = model.losses(clip, step=step, generator=seeded(seed))
        totals |= {name: float(loss.total.detach()) for name, loss in losses}
    return totals


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("encoder", ["classifier", "matcher"])
def test_augmented_losses_differ_and_are_the_same_again(direction, encoder):
    kinds = {"direction": direction, "encoder": encoder}
    plain, off, augmented, again, other = (
        all_losses(model_of(**kinds, **options), seed=seed)
        for options, seed in (
            ({}, 0),
            ({"augment": False}, 0),
            *(({"augment": True}, n) for n in (0, 0, 1)),
        )
    )
    assert plain == off
    assert augmented == again
    assert all(plain[name] != augmented[name] for name in plain)
    assert augmented["encoders"] != other["encoders"]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_is_augmented_is_what_is_shown_and_nothing_else(direction, monkeypatch):
    """With augmentations that change nothing, and draw nothing, the losses are the plain ones."""
    shown, varied = [], []
    monkeypatch.setattr(crossmodal_gan, "augment_maps", lambda x, _: shown.append(x) or x)
    monkeypatch.setattr(crossmodal_gan, "vary", lambda x, part, _: varied.append((part, x)) or x)
    model = model_of(direction=direction, augment=True)
    assert all_losses(model) == all_losses(model_of(direction=direction))
    real, fake, again = shown
    assert torch.equal(real, model.real(clips()))
    assert not fake.requires_grad
    assert again.requires_grad
    ((part, given),) = varied
    assert part == direction.split("_")[0]
    assert torch.equal(given, model.given(clips()))


def test_the_discriminator_sees_shifts_of_the_real(monkeypatch):
    """Those that the same draws make, after z's; wrong ones are of the shifted ones as well."""
    model, clip, seen, scored = model_of(augment=True), clips(), [], []
    model.discriminator.look.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    score = model.discriminator.score
    monkeypatch.setattr(
        model.discriminator, "score", lambda h, phi: scored.append(h) or score(h, phi)
    )
    next(model.losses(clip, step=3, generator=seeded()))
    draws = seeded()
    torch.randn(6, 4, generator=draws)
    assert torch.equal(seen[0], augment_maps(model.real(clip), draws))
    assert not torch.equal(seen[0], model.real(clip))
    assert len(seen) == 2
    looked, _, wrong = scored
    assert all(any(torch.equal(x, y) for y in looked) for x in wrong)


def test_samples_are_not_augmented():
    made = [
        model_of(augment=augment).generate_maps(
            clips(2), num_samples=1, generator=Streams(0, [0, 1])
        )
        for augment in (False, True)
    ]
    assert torch.equal(*made)


def test_encoders_learn_from_varied_parts():
    model = model_of(augment=True, encoder="matcher").eval()
    ((_, loss),) = model.losses(clips(), step=0, generator=seeded())
    heard = vary(model.given(clips()), "sound", seeded())
    torch.testing.assert_close(loss.total, model.encoders.loss(heard, model.real(clips())).total)


# ---- Sampling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("fidelity", FIDELITY)
def test_samples_have_the_right_parts_and_the_same_bits_in_any_batch(direction, fidelity):
    model, clip = model_of(direction=direction, fidelity=fidelity), clips(20)
    given = clip.replace(**{"video" if direction == "sound_to_image" else "audio": None})
    with torch.no_grad():
        for norm in model.modules():  # So that batch statistics would show.
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean.copy_(torch.linspace(-0.1, 0.1, norm.num_features))
    before = weights(model)
    made = model.sample(given, num_samples=2, generator=Streams(0, list(range(20))))
    assert unchanged(before, model)
    assert model.training
    assert len(made) == 40
    assert torch.equal(made.label, clip.label.repeat_interleave(2))
    assert made.spec == SPEC
    if direction == "sound_to_image":
        assert made.audio is None
        assert made.video.shape == (40, 1, 1, 16, 16)
        assert made.video.min() >= 0
        assert made.video.max() <= 1
        part = made.video
    else:
        assert made.video is None
        assert made.audio.shape == (40, SPEC.samples)
        assert made.audio.abs().max() <= 1
        part = made.audio
    assert not torch.equal(part[0], part[1])
    alone = model.sample(given[17:18], num_samples=1, generator=Streams(0, [17]))
    assert torch.equal((alone.audio if made.video is None else alone.video)[0], part[34])
    some = model.sample(given[[3, 17, 5]], num_samples=2, generator=Streams(0, [3, 17, 5]))
    assert torch.equal((some.audio if made.video is None else some.video)[3], part[35])
    bare = model.sample(given.replace(label=None)[:1], num_samples=1, generator=Streams(0, [0]))
    assert bare.label is None


def test_maps_can_be_looked_at_and_are_what_is_heard():
    model, clip = model_of(direction="image_to_sound"), clips(3)
    maps = model.generate_maps(clip, num_samples=2, generator=Streams(0, [0, 1, 2]))
    assert maps.shape == (6, 1, 64, 33)
    assert maps.abs().max() <= 1
    made = model.sample(clip, num_samples=2, generator=Streams(0, [0, 1, 2]))
    assert torch.equal(made.audio, model.log_mel.inverse(maps, iterations=2))


def test_real_sound_maps_are_resized_by_interpolation():
    """44 columns to 34 at the paper's sizes; here 21 to 33."""
    model, clip = model_of(direction="image_to_sound"), clips(2)
    assert model.log_mel.columns == 21
    assert torch.equal(model.real(clip), resize(model.log_mel(clip.audio), 64, 33))


def trained(steps, **changes):
    """A model that has seen the same six pairs again and again."""
    widths = {"encoder_widths": (8, 16, 16), "generator_channels": 4, "discriminator_channels": 8}
    model = model_of(encoder_steps=30, **widths, **changes)
    learner, clip = learner_of(model, lr=3e-3), clips()
    for _ in range(steps):
        learner.step(clip)
    return model, clip


def made_of(model, clip):
    """What is generated of clips at the same z, as the streams' ids are the same."""
    streams = Streams(0, [0] * len(clip))
    return model.generate_maps(clip, num_samples=1, generator=streams)


def test_the_condition_is_listened_to():
    """After a few steps: of another sound another picture; of the same sound the same."""
    model, clip = trained(110)
    first, second, same = made_of(model, clip[[0, 1, 0]])
    assert torch.equal(first, same)
    assert (first - second).abs().max() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_it_learns_what_belongs_together(direction):
    """Of each class, what is generated is nearest to that class's picture or sound."""
    model, clip = trained(320, direction=direction)
    made, real = made_of(model, clip[:4]), model.real(clip[:4])
    apart = torch.cdist(made.flatten(1), real.flatten(1))
    assert apart.argmin(1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_is_given_is_moved_to_the_model_first(direction, monkeypatch):
    """Labels too: a clip that is moved gets other labels here, to be known by."""
    moved = torch.arange(3) % 3 + 7
    monkeypatch.setattr(Clip, "to", lambda clip, _: clip.replace(label=moved))
    given = clips(3)
    made = model_of(direction=direction).sample(
        given, num_samples=2, generator=Streams(0, range(3))
    )
    assert torch.equal(made.label, moved.repeat_interleave(2))


def test_a_vocoder_is_opened_when_the_model_is_built(tmp_path):
    class Loud(nn.Module):
        def forward(self, decibels):
            return decibels.mean((1, 2))[:, None].expand(-1, 2000) / 160

    path = str(tmp_path / "vocoder.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Loud(), torch.zeros(1, 64, 21)).save(path)
    model = model_of(direction="image_to_sound", vocoder=path)
    made = model.sample(clips(2), num_samples=1, generator=Streams(0, [0, 1]))
    maps = model.generate_maps(clips(2), num_samples=1, generator=Streams(0, [0, 1]))
    levels = model.log_mel.decibels(resize(maps, 64, 21)).mean((1, 2)) / 160
    torch.testing.assert_close(made.audio[:, 0], levels)
    with pytest.raises(ValueError, match=r"makes \(1, 2000\)"):
        model_of(dataclasses.replace(SPEC, fps=1), direction="image_to_sound", vocoder=path)
    with pytest.raises(ValueError, match="there is no such file"):
        model_of(direction="image_to_sound", vocoder=path + "?")


# ---- Bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        ({"frames": 2}, {}, "frames=2: pairs of a picture and a sound have 1 frame"),
        ({"size": 48}, {}, r"size=48: pictures must have one of \[16, 32, 64, 128\] px"),
        ({}, {"direction": "image_to_sound", "n_mels": 40}, r"n_mels=40: .* \(64, 128, 256\) bins"),
        ({}, {"direction": "image_to_sound", "encoder": "autoencoder"}, 'encoder="autoencoder" is'),
        ({}, {"vocoder": "v.pt"}, r"vocoder='v.pt' is for direction=.image_to_sound. alone"),
        ({}, {"fidelity": "paper", "r1": 1.0}, "r1=1 needs batch_norm=False"),
        ({}, {"fidelity": "paper", "n_mels": 8}, "a sound map of 8 x 21: .* at least 9 x 9"),
        ({}, {"encoder": "autoencoder", "hop_length": 255}, "a sound map of 64 x 8"),
        ({}, {"hop_length": 300}, "hop_length=300 must be"),
    ],
)  # fmt: skip
def test_what_does_not_go_is_refused_when_the_model_is_built(spec, changes, message):
    with pytest.raises(ValueError, match=message):
        model_of(dataclasses.replace(SPEC, **spec), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": None}, "class labels are needed: these clips have none"),
        ({"label": torch.tensor([0, 1, 4, 0, 1, 2])}, "label 4: classes=4 allows 0 to 3"),
        (
            {"label": torch.tensor([0, 1, -1, 0, 1, 2])},
            "label -1: class labels are needed, there are clips without one",
        ),
        ({"audio": None}, "the sound of each clip is needed: these have none"),
        ({"video": None}, "the picture of each clip is needed: these have none"),
        ({"audio": torch.zeros(6, 1999)}, "sounds of 1999 samples: these maps are of 2000"),
        (
            {"video": torch.zeros(6, 2, 1, 16, 16)},
            r"video of \(2, 1, 16, 16\) .* must be \(1, 1, 16, 16\)",
        ),
        ({"spec": dataclasses.replace(SPEC, sample_rate=2000)}, "sample_rate=2000: must be 4000"),
    ],
)
def test_clips_that_do_not_go_are_refused_in_both_stages(changes, message):
    clip = clips().replace(**changes)
    stages = 0
    for step in (0, 2):
        if step == 0 and "video" in changes:
            continue  # A sound encoder needs no picture.
        stages += 1
        with pytest.raises(ValueError, match=message):
            next(model_of().losses(clip, step=step, generator=seeded()))
    assert stages


def test_a_part_that_is_not_given_is_missed():
    given = clips().replace(video=None)
    with pytest.raises(ValueError, match="the picture of each clip is needed"):
        model_of(direction="image_to_sound").sample(given, num_samples=1, generator=Streams(0, [0]))


def test_every_quirk_has_both_values():
    assert set(FIDELITY["paper"]) == set(FIDELITY["fixed"])
    fields = {f.name: f.default for f in dataclasses.fields(Config)}
    assert {name for name, default in fields.items() if default is None} == set(FIDELITY["paper"])
    assert isinstance(model_of(fidelity="fixed").encoders, ClassifierEncoder)
    assert Config(fidelity="paper", l2=0.5).choice("l2") == 0.5
