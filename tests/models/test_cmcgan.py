import copy
import math
import warnings
from pathlib import Path

import pytest
import torch
from torch import Generator, nn

from soundsight.contract import Model, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.models import cmcgan
from soundsight.models.cmcgan import FIDELITY, PATHS, Config, pair_loss, shows
from soundsight.nn.augment import vary
from soundsight.nn.contrast import Product
from soundsight.nn.log_mel import LogMel, resize
from soundsight.nn.pairs import SIZES
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import Learner, TrainConfig

SPEC = ClipSpec(1, fps=2, size=16, channels=3, sample_rate=4000)
SMALL = {
    "classes": 3, "feature": 6, "z": 4, "channels": 4, "classifier_channels": 2,
    "n_mels": 12, "n_fft": 256, "hop_length": 100,
}  # fmt: skip
LABELS = (0, 1, 2, 1)


def model_of(spec=SPEC, seed=0, **changes):
    torch.manual_seed(seed)
    return Config(**SMALL | changes).build(spec)


def clips(labels=LABELS, spec=SPEC):
    """Smooth pictures and tones that need no random generator."""
    b = len(labels)
    shape = (b, 1, spec.channels, spec.size, spec.size)
    video = torch.cos(torch.arange(math.prod(shape)) * 0.37).reshape(shape) / 2 + 0.5
    hertz = 200 * torch.arange(1, b + 1)[:, None]
    audio = 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(spec.samples) / spec.sample_rate)
    return Clip(spec, video=video, audio=audio, label=torch.tensor(labels))


def inputs(model, clip=None):
    clip = clips() if clip is None else clip
    return model.images(clip), model.sounds(clip)


def seeded(seed=0):
    return Generator().manual_seed(seed)


def learner_of(model, **changes):
    adam = OptimConfig(lr=2e-3, betas=(0.5, 0.999))
    optim = dict.fromkeys(model.phases(), adam)
    config = TrainConfig(steps=20, batch_size=4, optim=optim, device="cpu", **changes)
    return Learner(model, config, torch.device("cpu"))


def count(module):
    return sum(p.numel() for p in module.parameters())


def states(module):
    return {name: x.detach().clone() for name, x in module.state_dict().items()}


def same(before, after):
    return before.keys() == after.keys() and all(torch.equal(before[n], after[n]) for n in before)


def undecided(model):
    """Make D say 0 of everything, which no spectral norm could."""
    join = model.discriminator.join
    for layer in [join.see, join.real] if isinstance(join, Product) else [join[-1]]:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias) if layer.bias is not None else None
    return model


# ---- Sizes ---------------------------------------------------------------------------------------


def test_sizes_of_the_table():
    """By hand, 4 x 4 kernels: 64 c + 64 128 + 128 256 + 256 512 + 512 256 of an encoder, and so on;
    a norm has two numbers a channel."""
    spec = ClipSpec(1, fps=2, size=64, channels=3, sample_rate=44100)
    with torch.device("meta"):
        fixed = Config(classifier_from=0).build(spec)
        paper = Config(fidelity="paper").build(spec)
    table = {
        "enc_sound": 16 * (64 + 64 * 128 + 128 * 256 + 2 * 256 * 512) + 2 * 896,
        "enc_image": 16 * (3 * 64 + 64 * 128 + 128 * 256 + 2 * 256 * 512) + 2 * 896,
        "dec_sound": 16 * (356 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64) + 2 * 960,
        "dec_image": 16 * (356 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 3 * 64) + 2 * 960,
    }
    for model in (fixed, paper):
        assert {name: count(net) for name, net in model.generator.items()} == table
        assert count(model.generator) == 21_052_672
        assert model.mel.columns == 44
    assert count(paper.discriminator) == 3_685_888
    # Two codes of 64 and a linear layer of all, in the place of two convolutions.
    late, product = 512 * 512 + 512 + 512 * 16 + 1, 2 * (256 * 16 * 64 + 64) + 512 * 16 + 1
    assert count(fixed.discriminator) == 3_684_225 - late + product
    assert paper.classifier is None
    assert count(fixed.classifier) == 4_895_271


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fidelity", FIDELITY)
def test_pictures_of_many_sizes(size, fidelity):
    spec = ClipSpec(1, fps=2, size=size, channels=1, sample_rate=4000)
    model = model_of(spec, channels=2, fidelity=fidelity)
    clip = clips((0, 1), spec)
    made = model.paths(*inputs(model, clip), seeded())
    assert {x.shape for x in made.values()} == {(2, 1, size, size)}
    assert all(loss.total.isfinite() for _, loss in model.losses(clip, step=0, generator=seeded()))
    streams = Streams(0, [0, 1])
    image = model.sample(clip.replace(video=None), num_samples=2, generator=streams)
    assert image.video.shape == (4, 1, 1, size, size)
    assert image.audio is None


@pytest.mark.parametrize("size", [8, 48, 256])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match=rf"size={size}: .*\[16, 32, 64, 128\]"):
        model_of(ClipSpec(1, fps=2, size=size, sample_rate=4000))


def test_it_is_a_model_of_single_pictures():
    model = model_of()
    assert isinstance(model, Model)
    assert model.takes == model.makes == {"audio", "image"}
    with pytest.raises(ValueError, match="frames=2"):
        model_of(SPEC.with_frames(2))


def test_what_the_networks_see():
    model, clip = model_of(), clips()
    image, sound = inputs(model, clip)
    torch.testing.assert_close((image + 1) / 2, clip.video[:, 0])
    mel = LogMel(SPEC, n_mels=12, n_fft=256, hop_length=100)
    torch.testing.assert_close(sound, resize(mel(clip.audio), 16, 16))
    silent = clip.replace(audio=torch.zeros_like(clip.audio))
    assert (model.sounds(silent) == -1).all()


def test_the_norm_of_fixed_keeps_clips_apart_in_training():
    alone = []
    for fidelity in ("fixed", "paper"):
        model = model_of(fidelity=fidelity, z=1)
        image, _ = inputs(model)
        z = torch.ones(4, 1)
        code = model.generator["enc_image"](image)
        whole = model.decode("sound", code, z)[:1]
        part = model.decode("sound", model.generator["enc_image"](image[:2]), z[:2])[:1]
        alone.append(torch.allclose(whole, part, atol=1e-5))
    assert alone == [True, False]


def largest(weight):
    """The largest singular value of a convolution's weights as a matrix."""
    return float(torch.linalg.matrix_norm(weight.detach().flatten(1), 2))


def test_spectral_norm_of_the_discriminator():
    model = model_of()
    image, sound = inputs(model)
    for _ in range(20):
        model.discriminator.see(image), model.discriminator.hear(sound)
    convs = [m for m in model.discriminator.see if isinstance(m, nn.Conv2d)]
    norms = [largest(m.weight) for m in convs]
    assert norms == pytest.approx([1.0] * 2, abs=0.05)
    plain = model_of(fidelity="paper").discriminator.see[0].weight
    assert largest(plain) < 0.5


# ---- Paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "passed"),
    [
        ("rf_sound", {"enc_sound", "dec_image", "enc_image", "dec_sound"}),
        ("fr_sound", {"enc_image", "dec_image", "dec_sound"}),
        ("fr_image", {"enc_sound", "dec_sound", "dec_image"}),
        ("rf_image", {"enc_image", "dec_sound", "enc_sound", "dec_image"}),
    ],
)
def test_a_cycle_loss_reaches_what_its_path_passes(end, passed):
    model = model_of()
    image, sound = inputs(model)
    made = model.paths(image, sound, seeded())
    (made[end] - (image if shows(end) == "image" else sound)).abs().mean().backward()
    reached = {
        name
        for name, net in model.generator.items()
        if any(p.grad is not None and p.grad.any() for p in net.parameters())
    }
    assert reached == passed


def test_a_path_begins_with_its_own_modality():
    """Of the picture depend V -> V -> A and V -> A -> V alone, in both hops."""
    model = model_of()
    image, sound = inputs(model)
    before, after = (model.paths(x, sound, seeded()) for x in (image, -image))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"f_sound", "rf_image", "r_image", "fr_sound"}


def test_every_decoding_has_a_noise_of_its_own():
    model = model_of(generator_updates=3)
    drawn = []
    for name in ("dec_sound", "dec_image"):
        net = model.generator[name]
        net.register_forward_pre_hook(lambda _, args: drawn.append(args[0][:, -4:].detach()))
    phases = [phase for phase, _ in model.losses(clips(), step=0, generator=seeded())]
    assert phases == ["discriminator", "generator", "generator", "generator"]
    assert len(drawn) == 2 + 3 * 8
    assert len(torch.cat(drawn).unique(dim=0)) == 4 * len(drawn)


def test_each_update_of_the_generator_passes_forward_anew():
    model, clip = model_of(), clips()
    steps = model.losses(clip, step=0, generator=seeded())
    next(steps)
    before = next(steps)[1].terms["l1_f_image"].item()
    for p in model.generator["dec_image"].parameters():  # What an optimizer does meanwhile.
        nn.init.zeros_(p)
    after = next(steps)[1].terms["l1_f_image"].item()
    assert after == pytest.approx(float(model.images(clip).abs().mean()))
    assert before != after
    assert next(steps, None) is None


# ---- Losses --------------------------------------------------------------------------------------


def test_pair_loss_by_hand():
    """Logits log 3, 0 and -log 3 are probabilities 3/4, 1/2 and 1/4."""
    x = math.log(3) * torch.tensor([1.0, 1.0, -1.0])
    real, zero = x[:2], torch.zeros(2)
    assert float(pair_loss(zero, zero, zero)) == pytest.approx(2 * math.log(2))
    expected = -math.log(3 / 4) - (math.log(1 / 2) + math.log(3 / 4)) / 2
    assert float(pair_loss(real, zero, x[[2, 2]])) == pytest.approx(expected)
    other = torch.tensor([5.0, -math.log(3)])
    valid = torch.tensor([False, True])
    assert float(pair_loss(real, zero, other, valid)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ablation", "expected"), [("none", 4 * math.log(2)), ("standard_loss", 2 * math.log(2))]
)
def test_a_discriminator_that_cannot_tell(ablation, expected):
    model = undecided(model_of(fidelity="paper", ablation=ablation))
    steps = model.losses(clips(), step=0, generator=seeded())
    phase, loss = next(steps)
    assert phase == "discriminator"
    assert loss.total.item() == pytest.approx(expected)
    terms = next(steps)[1].terms
    assert terms["f_image"].item() == pytest.approx(math.log(2))
    assert terms["f_sound"].item() == pytest.approx(math.log(2))


class Watched(nn.Module):
    """A discriminator that keeps what it is shown, and says its only weight of it."""

    def __init__(self):
        super().__init__()
        self.pairs, self.weight = [], nn.Parameter(torch.zeros(()))
        self.see = self.hear = nn.Identity()

    def judge(self, seen, heard):
        self.pairs.append((seen, heard))
        return self.weight + 0 * seen.flatten(1).mean(1) + 0 * heard.flatten(1).mean(1)


def test_the_five_kinds_of_pairs():
    model, clip = model_of(), clips()
    model.discriminator = watched = Watched()
    image, sound = inputs(model, clip)
    steps = model.losses(clip, step=0, generator=seeded())
    next(steps)
    torch.testing.assert_close(watched.pairs[0], (image, sound))
    seen, heard = zip(*watched.pairs[1:], strict=True)
    fake = model.paths(image, sound, seeded(), cross=True)
    torch.testing.assert_close((seen[0], heard[0]), (image, fake["f_sound"]))
    torch.testing.assert_close((seen[1], heard[1]), (fake["f_image"], sound))
    torch.testing.assert_close((seen[2], heard[3]), (image, sound))
    for real, wrong in ((sound, heard[2]), (image, seen[3])):
        for label, one in zip(LABELS, wrong, strict=True):
            (whose,) = [i for i in range(4) if torch.equal(real[i], one)]
            assert LABELS[whose] != label
    watched.pairs.clear()
    made = model.paths(image, sound, copy_of(steps))
    next(steps)
    assert len(watched.pairs) == 2
    torch.testing.assert_close(watched.pairs[0], (image, made["f_sound"]))
    torch.testing.assert_close(watched.pairs[1], (made["f_image"], sound))


def copy_of(steps):
    """The generator of noise of losses under way, as it is now."""
    return Generator().set_state(steps.gi_frame.f_locals["generator"].get_state())


def test_wrong_pictures_and_wrong_sounds_are_drawn_apart():
    model = model_of()
    model.discriminator = watched = Watched()
    clip = clips(tuple(range(3)) * 4)
    image, sound = inputs(model, clip)
    model.d_loss(clip, image, sound, seeded())
    whose = [
        [int((real == one).flatten(1).all(1).nonzero()[0]) for one in wrong]
        for real, wrong in ((sound, watched.pairs[3][1]), (image, watched.pairs[4][0]))
    ]
    assert whose[0] != whose[1]


@pytest.mark.parametrize(("fidelity", "hop_1"), [("paper", 0), ("fixed", 2)])
def test_which_outputs_are_compared_with_what(fidelity, hop_1, monkeypatch):
    """Every output is off by another number, so that the total tells which count."""
    model = undecided(model_of(fidelity=fidelity, spectral_norm=False))
    given = dict(zip(("image", "sound"), inputs(model), strict=True))
    firsts, ends = list(PATHS), list(PATHS.values())
    off = {name: 0.1 * 2**i for i, name in enumerate([*firsts, *ends])}
    made = {name: given[shows(name)] - x for name, x in off.items()}
    monkeypatch.setattr(model, "paths", lambda *_: made)
    loss = model.g_loss(given["image"], given["sound"], seeded())
    assert {n: x.item() for n, x in loss.terms.items() if n.startswith("l1_")} == pytest.approx(
        {f"l1_{name}": x for name, x in off.items()}
    )
    expected = 10 * sum(off[n] for n in ends) + hop_1 * sum(off[n] for n in firsts)
    assert loss.total.item() == pytest.approx(2 * math.log(2) + expected, rel=1e-5)


# ---- Mode seeking --------------------------------------------------------------------------------


def test_mode_seeking_is_of_both_first_hops_that_cross(monkeypatch):
    """By the same condition and two noises, in the generator's step alone."""
    seen = []
    monkeypatch.setattr(
        cmcgan, "mode_seeking_loss", lambda *args: seen.append(args) or args[0].mean()
    )
    kinds = {"generator_updates": 1, "fidelity": "paper"}
    model = model_of(mode_seeking=0.5, **kinds)
    image, sound = inputs(model)
    (_, first), (_, second) = model.losses(clips(), step=0, generator=seeded())
    for (made, other, z, z_other), part, given in zip(
        seen, ("image", "sound"), (sound, image), strict=True
    ):
        source = "sound" if part == "image" else "image"
        code = model.generator[f"enc_{source}"](given).repeat(2, 1)
        both = model.decode(part, code, torch.cat([z, z_other]))
        torch.testing.assert_close(torch.cat([made, other]), both)
        assert not torch.equal(z, z_other)
    (_, plain_first), (_, plain) = model_of(**kinds).losses(clips(), step=0, generator=seeded())
    assert first.total == plain_first.total
    extra = {name: x for name, x in second.terms.items() if name not in plain.terms}
    assert set(extra) == {"seek_f_image", "seek_f_sound"}
    torch.testing.assert_close(second.total, plain.total + 0.5 * sum(extra.values()))


def test_mode_seeking_needs_a_z():
    with pytest.raises(
        ValueError, match=r'^mode_seeking=0[.]5 needs a z: ablation="no_z" has none'
    ):
        model_of(mode_seeking=0.5, ablation="no_z")


def test_a_vocoder_takes_the_place_of_the_search(tmp_path):
    path = str(tmp_path / "vocoder.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quiet = torch.jit.trace(lambda x: 0.25 + 0 * x.sum((1, 2))[:, None].expand(-1, 2000), MAP)
        quiet.save(path)
    given, streams = clips().replace(audio=None), Streams(0, range(4))
    made = model_of(vocoder=path).sample(given, num_samples=1, generator=streams)
    torch.testing.assert_close(made.audio, torch.full((4, SPEC.samples), 0.25))
    with pytest.raises(ValueError, match="there is no such file"):
        model_of(vocoder=path + "?")


MAP = torch.zeros(1, 12, 21)


def test_phase_steps_are_those_of_the_search():
    given, made = clips((0, 1)).replace(audio=None), []
    for steps in (2, 2, 3):
        model = model_of(phase_steps=steps)
        made.append(model.sample(given, num_samples=1, generator=Streams(0, [0, 1])).audio)
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


# ---- Augmentation --------------------------------------------------------------------------------


def all_losses(model, seed=0):
    steps = model.losses(clips(), step=0, generator=seeded(seed))
    return [float(loss.total.detach()) for _, loss in steps]


@pytest.mark.parametrize("fidelity", FIDELITY)
def test_augmented_losses_differ_and_are_the_same_again(fidelity):
    plain, off, augmented, again, other = (
        all_losses(model_of(fidelity=fidelity, **options), seed)
        for options, seed in (
            ({}, 0), ({"augment": False}, 0), *(({"augment": True}, n) for n in (0, 0, 1))
        )
    )  # fmt: skip
    assert plain == off
    assert augmented == again
    assert all(a != b for a, b in zip(plain, augmented, strict=True))
    assert all(a != b for a, b in zip(other, augmented, strict=True))


def test_augmentations_that_change_nothing_leave_the_losses(monkeypatch):
    """Where the paths begin varies, in each of both steps."""
    varied = []
    monkeypatch.setattr(cmcgan, "vary", lambda x, part, _: varied.append((part, x)) or x)
    model = model_of(augment=True, generator_updates=1)
    assert all_losses(model) == all_losses(model_of(generator_updates=1))
    image, sound = inputs(model)
    assert [part for part, _ in varied] == ["image", "sound"] * 2
    torch.testing.assert_close([x for _, x in varied], [image, sound] * 2)


def test_targets_and_what_the_discriminator_sees_stay():
    """L1 compares paths that begin with varied halves with the halves as they are."""
    model, clip = model_of(augment=True), clips()
    model.discriminator = watched = Watched()
    image, sound = inputs(model, clip)
    loss = model.g_loss(image, sound, seeded())
    draws = seeded()
    begin = vary(image, "image", draws), vary(sound, "sound", draws)
    made = model.paths(*begin, draws)
    given = {"image": image, "sound": sound}
    for name, x in made.items():
        l1 = (x - given[shows(name)]).abs().mean()
        torch.testing.assert_close(loss.terms[f"l1_{name}"], l1)
    torch.testing.assert_close(watched.pairs, [(image, made["f_sound"]), (made["f_image"], sound)])


def test_samples_and_classes_are_not_augmented():
    streams = [Streams(0, range(4)) for _ in range(4)]
    given = clips().replace(video=None)
    models = [model_of(augment=x, classifier_from=0) for x in (False, True)]
    made = [m.sample(given, num_samples=1, generator=streams.pop()).video for m in models]
    assert torch.equal(*made)
    assert torch.equal(*(m.classify(given, streams.pop()) for m in models))


# ---- Ablations -----------------------------------------------------------------------------------


def test_lcgan_has_neither_a2a_nor_v2v():
    model = model_of(ablation="lcgan")
    made = model.paths(*inputs(model), seeded())
    assert set(made) == {"f_image", "f_sound", "rf_sound", "rf_image"}
    *_, (_, loss) = model.losses(clips(), step=0, generator=seeded())
    assert {n for n in loss.terms if n.startswith("l1_")} == {f"l1_{name}" for name in made}
    cross = loss.terms["f_image"] + loss.terms["f_sound"]
    weight = {name: 2 if name in PATHS else 10 for name in made}
    weighted = sum(weight[name] * loss.terms[f"l1_{name}"] for name in made)
    torch.testing.assert_close(loss.total, cross + weighted)


def test_without_z_nothing_is_random():
    given = clips().replace(video=None)
    spread = {}
    for ablation in ("none", "no_z"):
        model = model_of(ablation=ablation, fidelity="paper")  # Without spectral norm's steps.
        made = model.sample(given, num_samples=2, generator=Streams(0, range(4))).video
        losses = [x.total for _, x in model.losses(clips(), step=0, generator=seeded())]
        spread[ablation] = (torch.equal(made[::2], made[1::2]), bool(losses[1] == losses[2]))
    assert spread == {"none": (False, False), "no_z": (True, True)}
    assert model.generator["dec_image"][1].in_channels == SMALL["feature"]


def test_the_standard_loss_needs_no_labels():
    clip = clips().replace(label=None)
    losses = dict(model_of(ablation="standard_loss").losses(clip, step=0, generator=seeded()))
    assert "l_dw" not in losses["discriminator"].terms
    with pytest.raises(ValueError, match="class labels are needed: these clips have none"):
        next(model_of().losses(clip, step=0, generator=seeded()))


def test_mismatch_by_pose_needs_no_labels():
    _, loss = next(model_of(mismatch="pose").losses(
        clips().replace(label=None), step=0, generator=seeded()
    ))  # fmt: skip
    assert loss.terms["l_dw"] > 0


# ---- Training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fidelity", FIDELITY)
def test_the_gan_is_frozen_while_the_classifier_learns(fidelity):
    model = model_of(fidelity=fidelity, classifier_from=2)
    learner, clip = learner_of(model), clips()
    assert list(model.phases()) == ["discriminator", "generator", "classifier"]
    moved = []
    for _ in range(4):
        before = {name: states(net) for name, net in model.phases().items()}
        learner.step(clip)
        now = {name: states(net) for name, net in model.phases().items()}
        moved.append([name for name in now if not same(before[name], now[name])])
    assert moved == [["discriminator", "generator"]] * 2 + [["classifier"]] * 2
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("fidelity", FIDELITY)
def test_a_state_goes_on_to_the_bit(fidelity):
    """Spectral norm's vectors, batch norm's averages and the moving average of all are in it."""
    first = learner_of(model_of(fidelity=fidelity, classifier_from=3), ema=0.9)
    for _ in range(2):
        first.step(clips())
    state = copy.deepcopy(first.state({}))
    second = learner_of(model_of(seed=1, fidelity=fidelity, classifier_from=3), ema=0.9)
    second.load(state, Path("state"))
    for learner in (first, second):
        learner.step(clips())
        learner.step(clips())
    assert same(states(first.model), states(second.model))
    assert same(states(first.sampled), states(second.sampled))


def test_half_of_the_pairs_are_real(monkeypatch):
    model = model_of(classifier_from=0)
    shown = []

    class Shown(nn.Module):
        image = sound = staticmethod(lambda x: x.flatten(1)[:, :3])

        def forward(self, image, sound):
            shown.append((image, sound))
            return image.flatten(1)[:, :3]

    clip = clips((0, 1, 2, 0) * 250)
    real = torch.zeros(1000, 3, 2, 2), torch.zeros(1000, 1, 2, 2)
    monkeypatch.setattr(model, "trained_classifier", Shown)
    monkeypatch.setattr(model, "paths", lambda i, s, *_, **__: {"f_image": i + 1, "f_sound": s + 1})
    model.c_loss(clip, *real, seeded())
    image, sound = (x.flatten(1).mean(1) for x in shown[0])
    assert not (image * sound).any()
    shares = [float(x) for x in (((image + sound) == 0).float().mean(), image.mean(), sound.mean())]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.04)


def test_the_classifier_learns_its_batch():
    model = model_of(classifier_from=0)
    learner = learner_of(model)
    for _ in range(60):
        learner.step(clips())
    columns = model.classify_columns(clips(), Streams(0, range(4)))
    assert list(columns) == ["V", "A", "V-A", "GV-A", "GA-V"]
    for name in ("V", "A", "V-A"):
        assert columns[name].argmax(1).tolist() == list(LABELS)


# ---- Classification and sampling -----------------------------------------------------------------


def test_columns_depend_on_what_they_are_given():
    model, streams = model_of(classifier_from=0), Streams(0, range(4))

    def columns(clip):
        return model.classify_columns(clip, Streams(0, range(4)))

    clip = clips()
    before = columns(clip)
    seen = columns(clip.replace(video=1 - clip.video))
    heard = columns(clip.replace(audio=clip.audio.flip(0)))
    changed = [{n for n in before if not torch.equal(before[n], x[n])} for x in (seen, heard)]
    assert changed == [{"V", "V-A", "GA-V"}, {"A", "V-A", "GV-A"}]
    filled = model.classify(clip.replace(video=None, label=None), streams)
    with torch.no_grad():
        model.eval()
        image, sound = inputs(model, clip)
        z = Streams(0, range(4)).normal(1, 4)
        made = model.decode("image", model.generator["enc_sound"](sound), z)
        torch.testing.assert_close(filled, model.classifier(made, sound))
        torch.testing.assert_close(before["V-A"], model.classifier(image, sound))
        torch.testing.assert_close(before["A"], model.classifier.sound(sound))


@pytest.mark.parametrize("fidelity", FIDELITY)
def test_the_same_bits_in_any_batch(fidelity):
    model = model_of(fidelity=fidelity, classifier_from=9)
    learner_of(model).step(clips())
    clip, ids = clips((0, 1, 2) * 6), list(range(20, 38))
    for given in (clip.replace(video=None), clip.replace(audio=None)):
        whole = model.sample(given, num_samples=2, generator=Streams(5, ids))
        alone = model.sample(given[7:8], num_samples=2, generator=Streams(5, ids[7:8]))
        for name, part in alone.parts().items():
            assert torch.equal(part, whole.parts()[name][14:16])
        logits = model.classify(given, Streams(5, ids))
        assert torch.equal(logits[7:8], model.classify(given[7:8], Streams(5, ids[7:8])))
    assert model.training


def test_samples_are_the_missing_half():
    model, clip, streams = model_of(), clips(), Streams(0, range(4))
    picture = model.sample(clip.replace(video=None), num_samples=3, generator=streams)
    assert set(picture.parts()) == {"video", "label"}
    assert picture.video.shape == (12, 1, 3, 16, 16)
    assert 0 <= picture.video.min() < picture.video.max() <= 1
    assert picture.label.tolist() == [x for x in LABELS for _ in range(3)]
    sound = model.sample(clip.replace(audio=None, label=None), num_samples=1, generator=streams)
    assert set(sound.parts()) == {"audio"}
    assert sound.audio.shape == (4, SPEC.samples)
    assert sound.audio.abs().max() <= 1
    assert not picture.video.requires_grad


@pytest.mark.parametrize("lacking", ["video", "audio"])
def test_what_is_given_is_moved_to_the_model_first(lacking, monkeypatch):
    """Labels too: a clip that is moved gets other labels here, to be known by."""
    moved = torch.arange(4) % 3 + 7
    monkeypatch.setattr(Clip, "to", lambda clip, _: clip.replace(label=moved))
    given = clips().replace(**{lacking: None})
    made = model_of().sample(given, num_samples=2, generator=Streams(0, range(4)))
    assert torch.equal(made.label, moved.repeat_interleave(2))


def test_a_sample_is_decoded_from_what_was_given():
    """By hand: A2V of the encoded sound and of the stream's noise."""
    model, clip = model_of(), clips()
    made = model.sample(clip.replace(video=None), num_samples=2, generator=Streams(3, range(4)))
    z = Streams(3, range(4)).normal(2, 4)
    with torch.no_grad():
        code = model.eval().generator["enc_sound"](model.sounds(clip)).repeat_interleave(2, 0)
        image = model.generator["dec_image"](torch.cat([code, z], 1))
    torch.testing.assert_close(made.video[:, 0], (image + 1) / 2)


# ---- What is refused -----------------------------------------------------------------------------


def test_sampling_needs_one_half():
    model, clip = model_of(), clips()
    for given, words in (
        (clip, "both picture and sound"),
        (clip.replace(video=None, audio=None), "no picture and sound"),
    ):
        with pytest.raises(ValueError, match=words):
            model.sample(given, num_samples=1, generator=Streams(0, range(4)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"video": None}, "the picture of each clip is needed: these have none"),
        ({"audio": None}, "the sound of each clip is needed: these have none"),
        ({"label": None}, "class labels are needed: these clips have none"),
        ({"label": torch.tensor([0, 1, 3, 0])}, "label 3: classes=3 allows 0 to 2"),
        ({"label": torch.tensor([0, 1, -1, 0])}, "label -1: class labels are needed"),
        ({"audio": torch.zeros(4, 1999)}, "sounds of 1999 samples: these maps are of 2000"),
        ({"video": torch.zeros(4, 2, 3, 16, 16)}, r"\(2, 3, 16, 16\) .* must be \(1, 3, 16, 16\)"),
    ],
)
def test_clips_that_cannot_be_learned_from(changes, words):
    with pytest.raises(ValueError, match=words):
        next(model_of().losses(clips().replace(**changes), step=0, generator=seeded()))


def test_a_batch_of_one_class_warns_and_teaches_what_it_can():
    """Without a wrong pair L_Dw is the real pair's part alone."""
    model, clip = undecided(model_of(fidelity="paper")), clips((1, 1, 1, 1))
    with pytest.warns(UserWarning, match="mismatch='class': no wrong partner among 4 clips"):
        losses = [*model.losses(clip, step=0, generator=seeded())]
    assert all(loss.total.isfinite() for _, loss in losses)
    terms = losses[0][1].terms
    assert terms["l_dw"].item() == pytest.approx(math.log(2))
    assert terms["l_df"].item() == pytest.approx(2 * math.log(2))


def test_clips_of_another_spec_are_refused():
    other = ClipSpec(1, fps=2, size=16, channels=3, sample_rate=8000)
    with pytest.raises(ValueError, match="sample_rate=8000: must be 4000, as in training"):
        model_of().sounds(clips(spec=other))


def test_the_classifier_needs_labels_and_a_stage():
    steps = model_of(classifier_from=0).losses(
        clips().replace(label=None), step=0, generator=seeded()
    )
    with pytest.raises(ValueError, match="class labels are needed: these clips have none"):
        next(steps)
    model = model_of()
    assert list(model.phases()) == ["discriminator", "generator"]
    with pytest.raises(ValueError, match="classifier_from=None"):
        model.classify(clips(), Streams(0, range(4)))
