import copy
import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Generator, nn

from soundsight.contract import Model, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.models import sa_cmgan
from soundsight.models.sa_cmgan import (
    FIDELITY,
    Attention,
    Config,
    SameConv,
    SameDeconv,
    discriminator_loss,
    generator_loss,
    map_widths,
)
from soundsight.nn.augment import augment_maps, vary
from soundsight.nn.mismatch import wrong_partner
from soundsight.nn.pairs import SIZES
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import Learner, TrainConfig

SPEC = ClipSpec(1, fps=4, size=16, channels=1, sample_rate=2000)
SMALL = {
    "classes": 3, "channels": 8, "z": 5, "features": 6, "condition": 4, "encoder_steps": 2,
    "n_mels": 8, "n_fft": 128, "hop_length": 32,
}  # fmt: skip
PAPERS = ClipSpec(1, fps=2, size=64, channels=3, sample_rate=44100)
DIRECTIONS = ("sound_to_image", "image_to_sound")
GAN = SMALL["encoder_steps"]
"""The first step of the GAN."""


def model_of(spec=SPEC, seed=0, **changes):
    torch.manual_seed(seed)
    return Config(**SMALL | changes).build(spec)


def clips(batch=6, spec=SPEC):
    """Smooth numbers that need no random generator; neighbors differ in class."""
    shape = (batch, 1, spec.channels, spec.size, spec.size)
    video = torch.cos(torch.arange(math.prod(shape)) * 0.37).reshape(shape) / 2 + 0.5
    pitch = 0.2 + 0.4 * torch.arange(batch)[:, None]
    audio = torch.sin(pitch * torch.arange(spec.samples)) / 2
    return Clip(spec, video=video, audio=audio, label=torch.arange(batch) % 3)


def seeded(seed=0):
    return Generator().manual_seed(seed)


def phases_at(model, step, clip=None):
    return [name for name, _ in model.losses(clip or clips(), step=step, generator=seeded())]


def learner_of(model, **changes):
    adam = OptimConfig(lr=2e-3, betas=(0.5, 0.999))
    optim = dict.fromkeys(model.phases(), adam)
    config = TrainConfig(steps=20, batch_size=6, optim=optim, device="cpu", **changes)
    return Learner(model, config, torch.device("cpu"))


def state_of(module):
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def differing(before, module):
    return {name for name, value in module.state_dict().items() if not before[name].equal(value)}


def count(module):
    return sum(p.numel() for p in module.parameters())


# ---- Sizes ---------------------------------------------------------------------------------------


def conv(i, o, norm=True):
    return 16 * i * o + 2 * o * norm


def full(i, o, norm=True):
    return i * o + o + 2 * o * norm


ATTENTION = 2 * conv(64, 8) + conv(64, 64) + 1
TRUNK = ATTENTION + conv(64, 128) + conv(128, 256) + conv(256, 256) + conv(256, 512)


def test_published_sizes():
    """The tables of the released networks at 64 px, layer by layer."""
    with torch.device("meta"):
        model = Config(fidelity="paper", spectral_norm=False).build(PAPERS)
        back = Config(fidelity="paper", spectral_norm=False, direction="image_to_sound").build(
            PAPERS
        )
    after = full(4 * 4 * 512, 1024) + full(1024, 128) + full(128, 64) + full(128, 13, norm=False)
    assert count(model.encoders["image"]) == conv(3, 64, norm=False) + TRUNK + after == 12_421_742
    assert count(model.encoders["sound"]) == conv(1, 64, norm=False) + TRUNK + after
    deconvs = conv(512, 256) + conv(256, 256) + conv(256, 128, norm=False)
    deconvs += conv(128, 64, norm=False) + ATTENTION
    first = full(64 + 62, 4 * 4 * 512)
    assert count(model.generator) == first + deconvs + conv(64, 3, norm=False) == 4_944_033
    judge = TRUNK + full(4 * 4 * (512 + 64), 1024) + full(1024, 1, norm=False)
    assert count(model.discriminator) == conv(3, 64, norm=False) + judge == 13_329_826
    # The other way, one channel is made and judged.
    assert count(back.generator) == first + deconvs + conv(64, 1, norm=False)
    assert count(back.discriminator) == conv(1, 64, norm=False) + judge


def test_fixed_sizes():
    """SAGAN's attention, norms for the sigmoids, and a projection each for both players."""
    with torch.device("meta"):
        paper = Config(fidelity="paper", spectral_norm=False).build(PAPERS)
        fixed = Config(spectral_norm=False).build(PAPERS)
        without = Config(attention=False, spectral_norm=False).build(PAPERS)
    sagan = 4 * 64 * 8 + 1
    change = sagan - ATTENTION
    assert count(fixed.encoders["image"]) == 12_421_742 + change - full(128, 64)
    assert count(fixed.generator) == 4_944_033 + change + full(128, 64) + 2 * (128 + 64)
    assert count(fixed.discriminator) == 13_329_826 + change + full(128, 64)
    assert count(paper) - count(fixed) == -4 * change - 2 * (128 + 64)
    assert count(fixed) - count(without) == 4 * sagan


def shapes_of(net, run):
    """Shapes (c, h, w) or (d,) that the layers of a network give, where they change."""
    shapes = []
    for layer in net:
        layer.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape[1:])))
    run()
    return [s for n, s in enumerate(shapes) if n == 0 or s != shapes[n - 1]]


def test_published_shapes():
    with torch.device("meta"):
        model = Config(fidelity="paper", spectral_norm=False).build(PAPERS)
        maps, told, z = torch.empty(2, 3, 64, 64), torch.empty(2, 64), torch.empty(2, 62)
        encoder = model.encoders["image"]
        trunk, *after = encoder.to_features
        down = shapes_of(trunk, lambda: encoder(maps))
        up = shapes_of(model.generator.layers, lambda: model.generator(told, z))
        flat = shapes_of([*after, encoder.to_logits], lambda: encoder.logits(maps))
        assert encoder(maps).shape == (2, 64)
        assert model.discriminator(maps, told).shape == (2,)
    assert down == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    assert len([m for m in trunk.modules() if isinstance(m, SameConv)]) == 5 + 3
    assert flat == [(8192,), (1024,), (128,), (13,)]
    assert up == [
        (8192,), (512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32), (3, 64, 64),
    ]  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fidelity", FIDELITY)
def test_other_sizes_end_at_4_and_attend_at_half_the_side(size, fidelity):
    model = model_of(dataclasses.replace(SPEC, size=size), fidelity=fidelity)
    seen, maps = [], torch.zeros(2, 1, size, size)
    for module in model.modules():
        if isinstance(module, Attention):
            module.register_forward_hook(lambda _, x, __: seen.append(tuple(x[0].shape[1:])))
    with torch.no_grad():
        told = model.encoders["sound"](maps)
        made = model.generator(told, torch.ones(2, 5))
        assert made.shape == maps.shape
        assert model.discriminator(made, told).shape == (2,)
    assert seen == 3 * [(8, size // 2, size // 2)]
    sigmoids = [m for m in model.modules() if isinstance(m, nn.Sigmoid)]
    assert len(sigmoids) == (SIZES.index(size) if fidelity == "paper" else 0)


def test_widths():
    assert map_widths(16, 8) == [8, 16]
    assert map_widths(128, 3) == [3, 6, 12, 24, 24]


def test_it_is_a_model():
    forth, back = (model_of(direction=direction) for direction in DIRECTIONS)
    assert isinstance(forth, Model)
    assert (forth.takes, forth.makes) == ({"audio"}, {"image"})
    assert (back.takes, back.makes) == ({"image"}, {"audio"})


def test_first_weights():
    """Glorot's, uniform; no bias to begin with; the attention is shut."""
    model = model_of(spectral_norm=False)
    for name, value in model.named_parameters():
        if name.endswith("gamma") or (value.ndim == 1 and name.endswith("bias")):
            assert not value.any(), name
        elif value.ndim > 1:
            window = value[0, 0].numel()
            bound = math.sqrt(6 / (window * (value.shape[0] + value.shape[1])))
            assert value.abs().max() <= bound
            assert value.abs().max() > bound / 2, name
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-5, 0.1)}


# ---- Layers --------------------------------------------------------------------------------------


def same_matrix(n, stride):
    """TensorFlow's "SAME" in one dimension, as (output, input, tap): which input meets which tap.

    out = ceil(n / stride); the padding is (out - 1) stride + k - n in all, the smaller half before.
    """
    out, k = -(-n // stride), 4
    before = ((out - 1) * stride + k - n) // 2
    meets = np.zeros((out, n, k))
    for row in range(out):
        for tap in range(k):
            at = row * stride + tap - before
            if 0 <= at < n:
                meets[row, at, tap] = 1
    return meets


@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_pad_as_tensorflow_does(stride):
    torch.manual_seed(0)
    layer, x = SameConv(2, 3, stride).double(), torch.randn(2, 2, 6, 8, dtype=torch.float64)
    rows, columns = same_matrix(6, stride), same_matrix(8, stride)
    weight = layer.conv.weight.detach().numpy()
    expected = np.einsum("iyp,jxq,dcpq,bcyx->bdij", rows, columns, weight, x.numpy())
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_deconvolutions_are_their_transposes(stride):
    """TensorFlow defines its transposed convolution as the gradient of the one with "SAME"."""
    torch.manual_seed(0)
    layer, x = SameDeconv(2, 3, stride).double(), torch.randn(2, 2, 3, 4, dtype=torch.float64)
    rows, columns = same_matrix(3 * stride, stride), same_matrix(4 * stride, stride)
    weight = layer.conv.weight.detach().numpy()
    expected = np.einsum("iyp,jxq,cdpq,bcij->bdyx", rows, columns, weight, x.numpy())
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("layers", ["convolution", "pointwise"])
def test_attention(layers):
    """Against the equations, one place at a time; at first it changes nothing."""
    torch.manual_seed(0)
    block = Attention(Config(channels=16, attention_layers=layers)).double().eval()
    x = torch.randn(2, 16, 3, 5, dtype=torch.float64)
    assert torch.equal(block(x), x)
    block.gamma.data.fill_(0.7)
    f, g, h = (net(x).flatten(2) for net in (block.f, block.g, block.h))
    assert f.shape == g.shape == (2, 2, 15)
    s = torch.einsum("bci,bcj->bij", f, g)
    beta = s.exp() / s.exp().sum(1, keepdim=True)
    o = torch.einsum("bij,bci->bcj", beta, h).unflatten(2, (3, 5))
    if layers == "pointwise":
        o = torch.einsum("dc,bcij->bdij", block.v.weight[:, :, 0, 0], o)
    torch.testing.assert_close(block(x), x + 0.7 * o)
    assert not torch.allclose(block(x), x)


# ---- Losses --------------------------------------------------------------------------------------


def test_hinge_by_hand():
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0, 0.5])
    mismatch, valid = torch.tensor([1.0, 9.0, -0.5]), torch.tensor([True, False, True])
    # Real: 0, 0.5, 2. Fake: 0, 1, 1.5. Mismatch: 2, -, 0.5.
    expected = 2.5 / 3 + 0.5 * (2.5 / 3 + 2.5 / 2)
    assert discriminator_loss(real, fake, mismatch, valid).item() == pytest.approx(expected)
    none = discriminator_loss(real, fake, mismatch, torch.zeros(3, dtype=torch.bool))
    assert none.item() == pytest.approx(2.5 / 3 + 0.5 * 2.5 / 3)
    nought = torch.zeros(4)
    everyone = torch.ones(4, dtype=torch.bool)
    assert discriminator_loss(nought, nought, nought, everyone).item() == 2
    ones = torch.ones(4)
    assert discriminator_loss(ones, -ones, -ones, everyone).item() == 0
    assert generator_loss(fake).item() == pytest.approx(2.5 / 3)


def test_encoders_learn_by_cross_entropy():
    model, clip = model_of().eval(), clips()
    ((_, loss),) = model.losses(clip, step=0, generator=seeded())
    expected = 0
    for name, seen in (("image", 2 * clip.video[:, 0] - 1), ("sound", model.maps(clip, "sound"))):
        shares = model.encoders[name].logits(seen).softmax(1)
        expected = expected - shares[torch.arange(6), clip.label].log().mean()
    assert loss.total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert set(loss.terms) == {
        f"{part}_{term}" for part in ("image", "sound") for term in ("cross_entropy", "accuracy")
    }


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_mismatches_are_real_maps_of_another_class_with_the_same_condition(direction):
    model, clip, seen = model_of(direction=direction), clips(), []
    model.discriminator.register_forward_pre_hook(lambda _, given: seen.append(given))
    assert phases_at(model, GAN, clip) == ["discriminator", "generator"]
    (real, told), (fake, told_fake), (mismatch, told_mismatch), (again, told_again) = seen
    own = model.maps(clip, model.made)
    assert torch.equal(real, own)
    assert all(torch.equal(t, told) for t in (told_fake, told_mismatch, told_again))
    assert not fake.requires_grad
    assert again.requires_grad
    assert torch.equal(fake, again)
    for row, label in zip(mismatch, clip.label, strict=True):
        (source,) = [j for j in range(6) if torch.equal(row, own[j])]
        assert clip.label[source] != label


def test_a_batch_of_one_class_warns_and_teaches_what_it_can():
    model, clip = model_of(), clips().replace(label=torch.full((6,), 2))
    with pytest.warns(UserWarning, match="mismatch='class': no wrong partner among 6 clips"):
        losses = dict(model.losses(clip, step=GAN, generator=seeded()))
    assert list(losses) == ["discriminator", "generator"]
    assert all(loss.total.isfinite() for loss in losses.values())
    assert losses["discriminator"].terms["mismatch"] == 0


# ---- Mode seeking --------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_mode_seeking_is_of_two_noises_and_in_the_generators_step_alone(direction, monkeypatch):
    model, clip, seen = model_of(direction=direction, mode_seeking=0.5), clips(), []
    monkeypatch.setattr(
        sa_cmgan, "mode_seeking_loss", lambda *args: seen.append(args) or args[0].mean()
    )
    drawn = []
    model.generator.register_forward_pre_hook(lambda _, given: drawn.append(given))
    losses = dict(model.losses(clip, step=GAN, generator=seeded()))
    ((fake, other, z, z_other),) = seen
    ((told, both),) = drawn
    assert fake.shape == other.shape == model.maps(clip, model.made).shape
    assert not torch.equal(fake, other)
    torch.testing.assert_close(torch.cat([z, z_other]), both)
    torch.testing.assert_close(told[:6], told[6:])
    assert "mode_seeking" not in losses["discriminator"].terms
    terms = losses["generator"].terms
    total = terms["hinge"] + 0.5 * terms["mode_seeking"]
    torch.testing.assert_close(losses["generator"].total, total)
    plain = dict(model_of(direction=direction).losses(clip, step=GAN, generator=seeded()))
    assert "mode_seeking" not in plain["generator"].terms


# ---- Augmentation --------------------------------------------------------------------------------


def all_losses(model, seed=0):
    """Totals of the encoders' step and of both players', each with the same draws."""
    totals = {}
    for step in (0, GAN):
        losses = model.losses(clips(), step=step, generator=seeded(seed))
        totals |= {name: float(loss.total.detach()) for name, loss in losses}
    return totals


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("fidelity", FIDELITY)
def test_augmented_losses_differ_and_are_the_same_again(direction, fidelity):
    kinds = {"direction": direction, "fidelity": fidelity}
    plain, off, augmented, again, other = (
        all_losses(model_of(**kinds, **options), seed)
        for options, seed in (
            ({}, 0), ({"augment": False}, 0), *(({"augment": True}, n) for n in (0, 0, 1))
        )
    )  # fmt: skip
    assert plain == off
    assert augmented == again
    assert all(plain[name] != augmented[name] for name in plain)
    assert augmented["encoders"] != other["encoders"]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_is_augmented_is_what_is_shown_and_nothing_else(direction, monkeypatch):
    """With augmentations that change nothing, and draw nothing, the losses are the plain ones."""
    shown, varied = [], []
    monkeypatch.setattr(sa_cmgan, "augment_maps", lambda x, _: shown.append(x) or x)
    monkeypatch.setattr(sa_cmgan, "vary", lambda x, part, _: varied.append((part, x)) or x)
    model, clip = model_of(direction=direction, augment=True), clips()
    assert all_losses(model) == all_losses(model_of(direction=direction))
    real, fake, again = shown
    assert torch.equal(real, model.maps(clip, model.made))
    assert not fake.requires_grad
    assert again.requires_grad
    assert [part for part, _ in varied] == ["image", "sound"]
    assert all(torch.equal(x, model.maps(clip, part)) for part, x in varied)


def test_shifted_and_varied_by_the_draws():
    model, clip, seen, encoded = model_of(augment=True), clips(), [], []
    model.discriminator.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for name in ("image", "sound"):
        trunk = model.encoders[name].to_features
        trunk.register_forward_pre_hook(lambda _, given: encoded.append(given[0]))
    phases_at(model, 0, clip)
    draws = seeded()
    for x, part in zip(encoded, ("image", "sound"), strict=True):
        assert torch.equal(x, vary(model.maps(clip, part), part, draws))
    steps = model.losses(clip, step=GAN, generator=(draws := seeded()))
    next(steps)
    mine = seeded()
    torch.randn(6, 5, generator=mine)  # z.
    wrong_partner(clip, "class", mine)
    real = augment_maps(model.maps(clip, "image"), mine)
    assert torch.equal(seen[0], real)
    # A mismatch is one of the shifted ones; the condition is of what is given as it is.
    assert all(any(torch.equal(x, y) for y in real) for x in seen[2])
    assert torch.equal(encoded[-1], model.maps(clip, "sound"))


# ---- Spectral norm -------------------------------------------------------------------------------


def normed_layers(model):
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    return [m for m in model.discriminator.modules() if isinstance(m, kinds)]


@pytest.mark.parametrize("fidelity", FIDELITY)
def test_largest_singular_values_are_1(fidelity):
    model, clip = model_of(fidelity=fidelity), clips()
    for _ in range(10):
        phases_at(model, GAN, clip)
    model.eval()
    layers = normed_layers(model)
    # Convolutions, of these the attention's, and fully connected ones.
    assert len(layers) == (3 + 3 + 2 if fidelity == "paper" else 3 + 4 + 3)
    for layer in layers:
        top = torch.linalg.svdvals(layer.weight.detach().flatten(1))[0].item()
        assert top == pytest.approx(1, abs=0.02)
    plain = model_of(fidelity=fidelity, spectral_norm=False)
    assert "parametrizations" not in "".join(plain.state_dict())
    elsewhere = {name.split(".")[0] for name in model.state_dict() if "parametrizations" in name}
    assert elsewhere == {"discriminator"}


def test_one_power_iteration_for_all_passes_of_a_step():
    model = model_of()
    layer = model.discriminator.trunk[0].conv
    norm, weight = layer.parametrizations.weight[0], layer.parametrizations.weight.original
    u = norm._u.clone()
    matrix = weight.detach().flatten(1)
    seen = []
    for phase, _ in model.losses(clips(), step=GAN, generator=seeded()):
        # By hand, one more each time: v = W'u / |W'u| was found with u.
        u = nn.functional.normalize(matrix @ nn.functional.normalize(matrix.T @ u, dim=0), dim=0)
        torch.testing.assert_close(norm._u, u)
        seen.append(phase)
    assert seen == ["discriminator", "generator"]


# ---- Who learns when -----------------------------------------------------------------------------


def test_schedule():
    paper, fixed = model_of(fidelity="paper"), model_of()
    both, generator = ["discriminator", "generator"], ["generator"]
    assert [phases_at(paper, step) for step in range(5)] == [
        ["encoders"], ["encoders"], both, generator, both,
    ]  # fmt: skip
    assert [phases_at(fixed, step) for step in (1, 2, 3)] == [["encoders"], both, both]
    odd = model_of(fidelity="paper", encoder_steps=3)
    assert [phases_at(odd, step) for step in (2, 3, 4)] == [["encoders"], both, generator]
    assert phases_at(model_of(encoder_steps=0), 0) == both
    assert list(paper.phases()) == ["encoders", "discriminator", "generator"]


def moved(model, step, clip):
    """Names of parameters that one step changes."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    learner = learner_of(model)
    learner.done = step
    learner.step(clip)
    return {name for name, p in model.named_parameters() if not torch.equal(before[name], p)}


@pytest.mark.parametrize("fidelity", FIDELITY)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_each_phase_moves_its_own(fidelity, direction):
    model, clip = model_of(fidelity=fidelity, direction=direction), clips()
    names = {name for name, _ in model.named_parameters()}
    fc8 = {name for name in names if ".project." in name}
    # What γ = 0 hides learns nothing at first, nor does a bias before a norm; the last bias of the
    # discriminator is in balance.
    hidden = {n for n in names if any(f".{net}." in n for net in ("f", "g", "h", "v"))}
    hidden |= {n for n in names if n.endswith((".0.bias", "join.2.bias"))}
    first = moved(model, 0, clip)
    assert {name.split(".")[0] for name in first} == {"encoders"}
    assert first >= {n for n in names - fc8 - hidden if n.startswith("encoders.")}
    second = moved(model, GAN, clip)
    assert {name.split(".")[0] for name in second} == {"discriminator", "generator"}
    assert second >= {n for n in names - hidden if not n.startswith("encoders.")}
    if fidelity == "paper":
        assert fc8
        assert {name.split(".")[0] for name in fc8} == {"encoders"}
        assert not fc8 & (first | second)
        assert not any(p.requires_grad for n, p in model.named_parameters() if n in fc8)
    else:
        assert {name.split(".")[0] for name in fc8} == {"discriminator", "generator"}
        assert fc8 - hidden <= second


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_fixed_encoders_are_frozen_with_their_statistics(direction):
    model, clip = model_of(direction=direction), clips()
    learner = learner_of(model)
    for _ in range(GAN):
        learner.step(clip)
    before = state_of(model.encoders)
    assert any((v != 0).any() for name, v in before.items() if name.endswith("running_mean"))
    for _ in range(2):
        learner.step(clip)
        assert not any(module.training for module in model.encoders.modules())
        assert model.generator.training
    assert not differing(before, model.encoders)
    # Back in the first stage (another training of the same model) they learn again.
    phases_at(model, 0, clip)
    assert all(module.training for module in model.encoders.modules())


@pytest.mark.parametrize(
    ("direction", "given"), [*zip(DIRECTIONS, ("sound", "image"), strict=True)]
)
def test_statistics_of_the_papers_encoder_drift(direction, given):
    """Of the one that gives the condition, fc8's among them; its weights stay."""
    model = model_of(fidelity="paper", direction=direction)
    before = state_of(model.encoders)
    phases_at(model, GAN)
    changed = differing(before, model.encoders)
    assert changed == {
        name
        for name in before
        if name.startswith(f"{given}.") and name.rpartition(".")[2].startswith(("running", "num_"))
    }
    assert f"{given}.project.1.running_mean" in changed


def test_a_model_in_eval_mode_stays_as_it_is():
    model = model_of(fidelity="paper").eval()
    before = state_of(model)
    for step in (0, GAN):
        phases_at(model, step)
    assert not differing(before, model)
    assert not any(module.training for module in model.modules())


def test_a_resumed_training_goes_on_to_the_bit():
    """Spectral norm's vectors and the average of the weights included."""
    clip = clips()
    one, two = (learner_of(model_of(seed=seed, fidelity="paper"), ema=0.9) for seed in (0, 1))
    for _ in range(GAN + 2):
        one.step(clip)
    two.load(copy.deepcopy(one.state({})), source=Path("state"))
    for learner in (one, two):
        learner.step(clip)
        learner.step(clip)
    assert not differing(state_of(one.model), two.model)
    assert not differing(state_of(one.ema.model), two.ema.model)


# ---- Sampling ------------------------------------------------------------------------------------


def trained(direction, fidelity="fixed"):
    """A model whose statistics are not the first ones, in train mode."""
    model, clip = model_of(direction=direction, fidelity=fidelity), clips()
    learner = learner_of(model)
    for _ in range(GAN + 2):
        learner.step(clip)
    return model


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("fidelity", FIDELITY)
def test_samples_are_the_same_to_the_bit_in_any_batch(direction, fidelity):
    model, given = trained(direction, fidelity), clips(4)
    before, modes = state_of(model), [m.training for m in model.modules()]
    torch.manual_seed(3)
    chance = torch.random.get_rng_state()
    made = model.sample(given, num_samples=2, generator=Streams(7, range(len(given))))
    assert torch.equal(chance, torch.random.get_rng_state())
    assert not differing(before, model)
    assert modes == [m.training for m in model.modules()]
    part = "video" if direction == "sound_to_image" else "audio"
    assert set(made.parts()) == {part, "label"}
    assert torch.equal(made.label, given.label.repeat_interleave(2))
    samples = made.parts()[part]
    if part == "video":
        assert samples.shape == (2 * len(given), 1, 1, 16, 16)
        assert samples.min() >= 0
    else:
        assert samples.shape == (2 * len(given), SPEC.samples)
    assert samples.abs().max() <= 1
    assert not samples.requires_grad
    for index in (0, 3):
        alone = model.sample(given[index : index + 1], num_samples=1, generator=Streams(7, [index]))
        assert torch.equal(alone.parts()[part][0], samples[2 * index])
    assert not torch.equal(samples[0], samples[1])


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("fidelity", FIDELITY)
def test_the_condition_is_heard_and_nothing_else(direction, fidelity):
    model, given = trained(direction, fidelity), clips(2)
    part, other = ("audio", "video") if direction == "sound_to_image" else ("video", "audio")

    def sample(**parts):
        made = model.sample(given.replace(**parts), num_samples=1, generator=Streams(7, [0, 0]))
        return made.parts()["audio" if "audio" in made.parts() else "video"]

    first = sample()
    assert not torch.allclose(first[0], first[1], atol=1e-5), "same noise, another condition"
    assert torch.equal(first, sample(**{other: None}))
    assert torch.equal(first, sample(**{other: 1 - given.parts()[other].flip(0)}))
    assert torch.equal(first, sample(label=None))
    turned = sample(**{part: given.parts()[part].flip(0)})
    assert torch.equal(turned, first.flip(0))


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


@pytest.fixture
def vocoder(tmp_path):
    """A file that makes 500 samples of maps of 8 bins and 16 columns."""
    network = torch.jit.trace(lambda x: x.mean((1, 2))[:, None].expand(-1, 500) / 100, MAP)
    network.save(str(tmp_path / "vocoder.pt"))
    return str(tmp_path / "vocoder.pt")


MAP = torch.zeros(1, 8, 16)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_vocoder_takes_the_place_of_the_search(vocoder):
    model, given = model_of(direction="image_to_sound", vocoder=vocoder), clips(2)
    heard = []
    model.vocoder.network = lambda x: heard.append(x.shape) or torch.full((len(x), 500), 0.25)
    made = model.sample(given, num_samples=1, generator=Streams(0, [0, 1]))
    assert torch.equal(made.audio, torch.full((2, SPEC.samples), 0.25))
    assert heard == 2 * [MAP.shape]


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_vocoder_that_does_not_go_is_refused_when_the_model_is_built(vocoder):
    with pytest.raises(ValueError, match='is for direction="image_to_sound" alone'):
        model_of(vocoder=vocoder)
    with pytest.raises(ValueError, match="no such file"):
        model_of(direction="image_to_sound", vocoder=vocoder + "?")
    longer = dataclasses.replace(SPEC, fps=2)
    with pytest.raises(ValueError, match="vocoder"):
        model_of(longer, direction="image_to_sound", vocoder=vocoder)


# ---- Bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"frames": 2}, "frames=2: pairs of a picture and a sound have 1 frame"),
        ({"size": 48}, r"size=48: .* one of \[16, 32, 64, 128\]"),
        ({"size": 8}, "size=8"),
    ],
)
def test_clips_that_it_cannot_make(spec, message):
    with pytest.raises(ValueError, match=message):
        model_of(dataclasses.replace(SPEC, **spec))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": None}, "class labels are needed: these clips have none"),
        ({"label": torch.tensor([0, -1, 1, 2, 0, 1])}, "label -1: class labels are needed"),
        ({"label": torch.tensor([0, 3, 1, 2, 0, 1])}, "label 3: classes=3 allows 0 to 2"),
        ({"video": None}, "the picture of each clip is needed: these have none"),
        ({"audio": None}, "the sound of each clip is needed: these have none"),
        ({"audio": torch.zeros(6, 400)}, "sounds of 400 samples"),
        (
            {"spec": dataclasses.replace(SPEC, sample_rate=4000)},
            "sample_rate=4000: must be 2000, as in training",
        ),
        ({"video": torch.zeros(6, 2, 1, 16, 16)}, r"\(2, 1, 16, 16\) .* must be \(1, 1, 16, 16\)"),
    ],
)
@pytest.mark.parametrize("step", [0, GAN])
def test_clips_that_it_cannot_learn_from(change, message, step):
    with pytest.raises(ValueError, match=message):
        phases_at(model_of(), step, clips().replace(**change))


def test_a_batch_of_one_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        phases_at(model_of(), 0, clips(1))


@pytest.mark.parametrize(
    ("direction", "part"), [*zip(DIRECTIONS, ("sound", "picture"), strict=True)]
)
def test_what_is_given_must_be_there(direction, part):
    given = Clip(SPEC, label=torch.zeros(2, dtype=torch.long))
    with pytest.raises(ValueError, match=f"the {part} of each clip is needed"):
        model_of(direction=direction).sample(given, num_samples=1, generator=Streams(0, [0, 1]))


def test_published_scores_and_their_intervals():
    """Every published share is a count of 64; the page shows Wilson's intervals of these."""
    page = Path(__file__).parents[2] / "docs" / "models" / "sa_cmgan.md"
    rows = re.findall(
        r"^\| (?:classifier of|sound to|image to).*\|$", page.read_text("utf-8"), re.MULTILINE
    )
    counts = {"images": (64, 60), "sounds": (62, 58), "sound to image": (60, 54)}
    counts["image to sound"] = (56, 38)
    assert len(rows) == len(counts)
    for row in rows:
        name, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        expected = []
        for k in next(c for end, c in counts.items() if name.endswith(end)):
            interval = scipy.stats.binomtest(k, 64).proportion_ci(method="wilson")
            expected += [f"{k / 64:.4f}", f"{interval.low:.2f} to {interval.high:.2f}"]
        assert cells == [cell.replace("0.", ".") for cell in expected]


def test_unknown_fields_are_refused():
    with pytest.raises(ValueError, match="direction"):
        Config(direction="image_to_image")
    with pytest.raises(ValueError, match="gama"):
        Config(gama=1)
