"""CMCGAN: A Uniform Framework for Cross-Modal Visual-Audio Mutual Generation (AAAI 2018).

Hao, Zhang and Guan, arXiv 1711.08102.  One network makes pictures of sounds and sounds of pictures.
Two encoders and two decoders make four paths of two hops each, all weights shared; L1 compares the
ends of the paths with what went in, and one discriminator looks at pairs.  A classifier of pairs
fills in a missing half by the network (section "Dynamic multimodal classification").

The paper's tables of layers, optimizers and weights of losses were not found: the sizes here are
ours.  `fidelity="paper"` has the losses and the order of updates as published, and the networks of
its time; `fidelity="fixed"` has (1) no batch statistics, (2) a spectrally normalized discriminator
(3) that multiplies what it sees and hears, (4) an L1 on the first hops, too, which the paper leaves
to the discriminator.

A "pair" is a clip of one frame.  Inside, pictures and sounds are both square maps in [-1, 1].
"""

import itertools
import math
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from pydantic import ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from soundsight.contract import Loss, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.nn.adversarial import mode_seeking_loss, real_loss, shares
from soundsight.nn.augment import vary
from soundsight.nn.contrast import Product
from soundsight.nn.dcgan import init_weights
from soundsight.nn.log_mel import LogMel, resize
from soundsight.nn.mismatch import masked_mean, wrong_partner
from soundsight.nn.pairs import (
    check_spec,
    class_labels,
    evaluating,
    fitting_vocoder,
    one_by_one,
    pictures,
    sound_maps,
)

FIDELITY: dict[str, dict[str, Any]] = {
    "paper": {"norm": "batch", "spectral_norm": False, "join": "late", "lambda_hop1": 0.0},
    "fixed": {"norm": "group", "spectral_norm": True, "join": "product", "lambda_hop1": 2.0},
}
"""What each fidelity makes of the fields of `Config` that are None."""
PATHS = {
    "f_image": "rf_sound",  # A -> V -> A
    "r_image": "fr_sound",  # V -> V -> A
    "r_sound": "fr_image",  # A -> A -> V
    "f_sound": "rf_image",  # V -> A -> V
}
"""Outputs of each path's two hops, by the paper's names, which end in what they show."""
Norm = Literal["batch", "group", "none"]


def shows(name: str) -> str:
    """What an output of a path is: "image" or "sound"."""
    return name.split("_")[1]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Config:
    """Sizes, losses and variants; sizes are not the paper's, of which none were found."""

    kind: Literal["cmcgan"] = "cmcgan"
    fidelity: Literal["paper", "fixed"] = "fixed"
    """`paper`: as published; `fixed`: so that what is given is listened to."""
    classes: PositiveInt = 13
    """Labels of the data are 0 to classes - 1."""
    feature: PositiveInt = 256
    """Width of the feature F, what encoders make of either modality."""
    z: PositiveInt = 100
    """Width of the noise z that is appended before each decoding."""
    channels: PositiveInt = 64
    """Channels of the outermost layers; they double at each halving, up to eight times as many."""
    classifier_channels: PositiveInt = 32
    """The same of the classifier's branches."""
    n_mels: PositiveInt = 128
    """Mel bins of a sound's map, before it is made as large as the picture."""
    n_fft: PositiveInt = 2048
    """Window of the spectrogram, samples."""
    hop_length: PositiveInt = 512
    """Samples from one window to the next."""
    phase_steps: PositiveInt = 60
    """Steps of Griffin and Lim's algorithm from generated maps to waveforms."""
    vocoder: str = ""
    """A TorchScript file that makes waveforms of decibels in its place, see
    `soundsight.nn.log_mel.open_vocoder`; nothing: none."""
    mismatch: Literal["class", "pose"] = "class"
    """What a wrong partner is: of another class, or (not the paper's) of the same class at another
    moment."""
    ablation: Literal["none", "lcgan", "no_z", "standard_loss"] = "none"
    """The paper's: "lcgan" has no paths through A -> A and V -> V; "no_z" has decoders without z;
    "standard_loss" shows no mismatched pairs, and needs no labels."""
    lambda_cons: NonNegativeFloat = 10.0
    """Weight of L_Cons, the mean L1 of an element, beside L_G's 1."""
    lambda_hop1: NonNegativeFloat | None = None
    """Weight of the same L1 on the outputs of the first hops.  paper: 0; fixed: 2."""
    generator_updates: PositiveInt = 2
    """K of Algorithm 1: updates of the generator for each of the discriminator."""
    norm: Literal["batch", "group"] | None = None
    """Norm of the generator's and the classifier's layers.  paper: batch; fixed: group."""
    spectral_norm: bool | None = None
    """paper: False, D has the norm of `norm`; fixed: True, in its place."""
    join: Literal["late", "product"] | None = None
    """How D joins what it sees and hears.  paper: late, convolutions of both; fixed: product, that
    of a code of each, beside a linear layer."""
    mode_seeking: NonNegativeFloat = 0.0
    """Weight of the mode seeking loss, not the paper's: above 0, z changes what is generated."""
    augment: bool = False
    """For little data, not the paper's: vary what the paths begin with.  Not where the place in a
    picture, or the moment, says something."""
    classifier_from: NonNegativeInt | None = None
    """Step at which the GAN is frozen and the classifier begins to learn; None: there is none."""

    def choice(self, field: str) -> Any:
        """The value of a field, or what `fidelity` makes of it."""
        value = getattr(self, field)
        return FIDELITY[self.fidelity][field] if value is None else value

    def build(self, spec: ClipSpec) -> "CMCGAN":
        """The model with fresh weights for clips of this spec.

        Raises:
            ValueError: if clips have more than one frame, the side is not of `SIZES`, or the
                spectrogram cannot be made of such sounds.
        """
        return CMCGAN(self, spec)


# ---- Networks ------------------------------------------------------------------------------------


def widths(size: int, channels: int, most: int = 8) -> list[int]:
    """Channels after each halving, down to 4 x 4."""
    return [channels * min(2**level, most) for level in range(int(math.log2(size)) - 2)]


def norm_layer(norm: Norm, width: int) -> nn.Module:
    """A normalization of feature maps; groups are eight if they divide the width."""
    if norm == "none":
        return nn.Identity()
    return nn.BatchNorm2d(width) if norm == "batch" else nn.GroupNorm(math.gcd(8, width), width)


def halvings(inputs: int, outputs: list[int], norm: Norm) -> list[nn.Module]:
    """Convolutions (4 x 4, stride 2) and LeakyReLUs to a map of 4 x 4; no norm after the first."""
    layers: list[nn.Module] = []
    for level, (i, o) in enumerate(itertools.pairwise([inputs, *outputs])):
        layers.append(nn.Conv2d(i, o, 4, 2, 1, bias=norm == "none"))
        layers += [norm_layer(norm if level else "none", o), nn.LeakyReLU(0.2)]
    return layers


def encoder(inputs: int, outputs: list[int], feature: int, norm: Norm) -> nn.Sequential:
    """Enc: a picture, or a sound's map, (b, c, s, s) to the feature F, (b, d)."""
    last = nn.Conv2d(outputs[-1], feature, 4, bias=False)
    return nn.Sequential(*halvings(inputs, outputs, norm), last, nn.Flatten()).apply(init_weights)


def decoder(code: int, inputs: list[int], colors: int, norm: Norm) -> nn.Sequential:
    """Dec: F of either modality and z, (b, code), to a picture, or a sound's map, (b, c, s, s)."""
    layers: list[nn.Module] = [nn.Unflatten(1, (code, 1, 1))]
    layers.append(nn.ConvTranspose2d(code, inputs[0], 4, bias=False))
    for i, o in itertools.pairwise([*inputs, colors]):
        layers += [norm_layer(norm, i), nn.ReLU(), nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False)]
    return nn.Sequential(*layers, nn.Tanh()).apply(init_weights)


class Discriminator(nn.Module):
    """D: a picture and a sound's map to one logit, whether they are real and belong together."""

    def __init__(
        self, colors: int, outputs: list[int], norm: Norm, *, spectral: bool, join: str
    ) -> None:
        super().__init__()
        norm, both = "none" if spectral else norm, 2 * outputs[-1]
        self.see = nn.Sequential(*halvings(colors, outputs, norm))
        self.hear = nn.Sequential(*halvings(1, outputs, norm))
        self.join: nn.Module = Product(outputs[-1])
        if join == "late":
            bias = norm == "none"
            inner = nn.Conv2d(both, both, 1, bias=bias), norm_layer(norm, both), nn.LeakyReLU(0.2)
            self.join = nn.Sequential(*inner, nn.Conv2d(both, 1, 4, bias=bias))
        self.apply(init_weights)
        for layer in list(self.modules()):
            if spectral and isinstance(layer, nn.Conv2d):
                spectral_norm(layer)

    def judge(
        self, seen: Float[Tensor, "b d i j"], heard: Float[Tensor, "b d i j"]
    ) -> Float[Tensor, " b"]:
        """Logits of pairs of what `see` and `hear` made of them."""
        return self.join(torch.cat([seen, heard], dim=1)).flatten()


class Classifier(nn.Module):
    """The dynamic multimodal classifier and, sharing no weight, one of each modality alone."""

    def __init__(self, colors: int, outputs: list[int], norm: Norm, classes: int) -> None:
        super().__init__()
        see, hear = (encoder(inputs, outputs, 128, norm) for inputs in (colors, 1))
        self.see, self.hear = see, hear
        self.join = nn.Sequential(
            nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, classes)
        )
        self.image, self.sound = (
            nn.Sequential(encoder(inputs, outputs, 128, norm), nn.ReLU(), nn.Linear(128, classes))
            for inputs in (colors, 1)
        )

    def forward(
        self, image: Float[Tensor, "b c h w"], sound: Float[Tensor, "b 1 h w"]
    ) -> Float[Tensor, "b k"]:
        """Logits of pairs, either half of which may be generated."""
        return self.join(torch.cat([self.see(image), self.hear(sound)], dim=1))


# ---- Losses, on logits ---------------------------------------------------------------------------


def pair_loss(
    real: Float[Tensor, " b"],
    other_sound: Float[Tensor, " b"],
    other_image: Float[Tensor, " b"],
    valid: Bool[Tensor, " b"] | None = None,
) -> Float[Tensor, ""]:
    """-L_Dw (equation 1) if the others are mismatched, -L_Df (equation 2) if they are generated.

    It is -E log S_rvra - E [log(1 - S_rvxa) + log(1 - S_xvra)] / 2.

    Args:
        real: logits of real pairs; S is the logistic function.
        other_sound: of the same pictures with other sounds, S_rvxa.
        other_image: of other pictures with the same sounds, S_xvra.
        valid: which of the others count; None: all.

    **Reference value**: 2 log 2 where nothing can be told apart; L_D, the sum of both: 4 log 2.
    """
    valid = torch.ones_like(real, dtype=torch.bool) if valid is None else valid
    sounds, images = (masked_mean(F.softplus(x.float()), valid) for x in (other_sound, other_image))
    return real_loss(real) + (sounds + images) / 2


# ---- The model -----------------------------------------------------------------------------------


class CMCGAN(nn.Module):
    """Of a picture and its sound, make whichever is missing."""

    takes = frozenset({"audio", "image"})
    makes = frozenset({"audio", "image"})

    def __init__(self, config: Config, spec: ClipSpec) -> None:
        super().__init__()
        c, self.config, self.spec = config, config, spec
        check_spec(spec)
        if c.mode_seeking and c.ablation == "no_z":
            raise ValueError(f'mode_seeking={c.mode_seeking:g} needs a z: ablation="no_z" has none')
        self.z, norm, colors = c.z * (c.ablation != "no_z"), c.choice("norm"), spec.channels
        outer, code = widths(spec.size, c.channels), c.feature + self.z
        self.mel = LogMel(spec, n_mels=c.n_mels, n_fft=c.n_fft, hop_length=c.hop_length)
        self.vocoder = fitting_vocoder(c.vocoder, self.mel, wanted=True)
        parts = {
            "enc_sound": encoder(1, outer, c.feature, norm),  # EncA
            "enc_image": encoder(colors, outer, c.feature, norm),  # EncV
            "dec_sound": decoder(code, outer[::-1], 1, norm),  # DecA
            "dec_image": decoder(code, outer[::-1], colors, norm),  # DecV
        }
        self.generator = nn.ModuleDict(parts)
        judged, how = widths(spec.size, c.channels, most=4), {"join": c.choice("join")}
        how["spectral"] = c.choice("spectral_norm")
        self.discriminator = Discriminator(colors, judged, norm, **how)
        small, built = widths(spec.size, c.classifier_channels), c.classifier_from is not None
        self.classifier = Classifier(colors, small, norm, c.classes) if built else None

    def phases(self) -> dict[str, nn.Module]:
        """The discriminator, the generator, and the classifier if there is one."""
        names = ("discriminator", "generator", "classifier")
        return {name: net for name in names if (net := getattr(self, name)) is not None}

    # ---- What the networks see, and the paths through them ---------------------------------------

    def images(self, clip: Clip) -> Float[Tensor, "b c h w"]:
        """Pictures in [-1, 1].  Raises: as `pictures`."""
        return pictures(clip, self.spec)

    def sounds(self, clip: Clip) -> Float[Tensor, "b 1 h w"]:
        """Log-mel maps in [-1, 1], as large as the pictures.  Raises: as `sound_maps`."""
        return resize(sound_maps(clip, self.mel), self.spec.size, self.spec.size)

    def decode(
        self, part: str, code: Float[Tensor, "b d"], z: Generator | Tensor
    ) -> Float[Tensor, "b c h w"]:
        """DecV to an "image" or DecA to a "sound", with z, or with a fresh one of a generator."""
        if isinstance(z, Generator):
            z = torch.randn(len(code), self.z, generator=z, device=code.device)
        return self.generator[f"dec_{part}"](torch.cat([code, z], dim=1))

    def paths(
        self, image: Tensor, sound: Tensor, generator: Generator, *, cross: bool = False
    ) -> dict[str, Tensor]:
        """The outputs of both hops of all paths, with a fresh z for each.

        LCGAN has neither R_Image nor R_Sound, nor what comes of them; with `cross` there are
        F_Image = A2V(sound) and F_Sound = V2A(image) alone.
        """
        # Hop 1: each modality is encoded once, and decoded to either.
        code_v, code_a = self.generator["enc_image"](image), self.generator["enc_sound"](sound)
        made = {
            "f_image": self.decode("image", code_a, generator),
            "f_sound": self.decode("sound", code_v, generator),
        }
        if cross:
            return made
        if self.config.ablation != "lcgan":
            made["r_image"] = self.decode("image", code_v, generator)
            made["r_sound"] = self.decode("sound", code_a, generator)

        # Hop 2: what was made is encoded, and decoded to the modality that the path ends in.
        for first in list(made):
            code = self.generator[f"enc_{shows(first)}"](made[first])
            made[PATHS[first]] = self.decode(shows(PATHS[first]), code, generator)
        return made

    def varied(self, image: Tensor, sound: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """What the paths begin with."""
        if not self.config.augment:
            return image, sound
        return vary(image, "image", generator), vary(sound, "sound", generator)

    # ---- Training: one iteration of Algorithm 1 --------------------------------------------------

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        """D once, the generator K times, each after its own forward pass; later the classifier.

        Raises:
            ValueError: as `images`, `sounds` and `class_labels`.
        """
        c = self.config
        image, sound = self.images(clip), self.sounds(clip)
        if c.classifier_from is not None and step >= c.classifier_from:
            yield "classifier", self.c_loss(clip, image, sound, generator)
            return
        yield "discriminator", self.d_loss(clip, image, sound, generator)
        for _ in range(c.generator_updates):
            yield "generator", self.g_loss(image, sound, generator)

    def d_loss(self, clip: Clip, image: Tensor, sound: Tensor, generator: Generator) -> Loss:
        """-L_D = -L_Dw - L_Df, on five kinds of pairs; "standard_loss" has L_Df alone."""
        d = self.discriminator
        with torch.no_grad():
            fake = self.paths(*self.varied(image, sound, generator), generator, cross=True)
        seen, heard = d.see(image), d.hear(sound)
        real = d.judge(seen, heard)
        others = {
            "f_sound": d.judge(seen, d.hear(fake["f_sound"])),
            "f_image": d.judge(d.see(fake["f_image"]), heard),
        }
        total = pair_loss(real, others["f_sound"], others["f_image"])
        terms = {"l_df": total}
        if self.config.ablation != "standard_loss":
            by = self.config.mismatch
            if by == "class":
                class_labels(clip, self.config.classes)
            drawn = (wrong_partner(clip, by, generator) for _ in range(2))
            (whose_sound, valid), (whose_image, _) = drawn
            others["w_sound"] = d.judge(seen, heard[whose_sound])
            others["w_image"] = d.judge(seen[whose_image], heard)
            terms["l_dw"] = pair_loss(real, others["w_sound"], others["w_image"], valid)
            total = total + terms["l_dw"]
        return Loss(total, terms | shares(real, others))

    def g_loss(self, image: Tensor, sound: Tensor, generator: Generator) -> Loss:
        """-L_G + λ L_Cons: what crosses in the first hop looks real, what ends a path is right."""
        c, d, given = self.config, self.discriminator, {"image": image, "sound": sound}
        begin = self.varied(image, sound, generator)
        made = self.paths(*begin, generator)
        with torch.no_grad():
            seen, heard = d.see(image), d.hear(sound)
        terms = {
            "f_sound": real_loss(d.judge(seen, d.hear(made["f_sound"]))),
            "f_image": real_loss(d.judge(d.see(made["f_image"]), heard)),
        }
        total = terms["f_sound"] + terms["f_image"]
        for hops, weight in ((PATHS, c.choice("lambda_hop1")), (PATHS.values(), c.lambda_cons)):
            l1 = {f"l1_{n}": F.l1_loss(made[n], given[shows(n)]) for n in hops if n in made}
            terms |= l1
            if weight:
                total = total + weight * torch.stack([*l1.values()]).sum()
        if c.mode_seeking:
            seek = self.mode_seeking(*begin, generator)
            terms |= seek
            total = total + c.mode_seeking * torch.stack([*seek.values()]).sum()
        return Loss(total, terms)

    def mode_seeking(self, image: Tensor, sound: Tensor, generator: Generator) -> dict[str, Tensor]:
        """How little z changes F_Image and F_Sound."""
        terms = {}
        for part, other, given in (("image", "sound", sound), ("sound", "image", image)):
            code = self.generator[f"enc_{other}"](given)
            z = torch.randn(2 * len(code), self.z, generator=generator, device=code.device)
            made = self.decode(part, code.repeat(2, 1), z).chunk(2)
            terms[f"seek_f_{part}"] = mode_seeking_loss(*made, *z.chunk(2))
        return terms

    # ---- Dynamic multimodal classification -------------------------------------------------------

    def c_loss(self, clip: Clip, image: Tensor, sound: Tensor, generator: Generator) -> Loss:
        """Cross-entropy of real pairs (half of the clips), GV-A and GA-V (a quarter each).

        The classifiers of one modality alone see real ones.
        """
        network, labels = self.trained_classifier(), class_labels(clip, self.config.classes)
        with evaluating(self.generator):
            fake = self.paths(image, sound, generator, cross=True)
        chance = torch.rand(len(image), 1, 1, 1, generator=generator, device=image.device)
        pair = (
            torch.where((chance >= 0.5) & (chance < 0.75), fake["f_image"], image),
            torch.where(chance >= 0.75, fake["f_sound"], sound),
        )
        logits = {"both": network(*pair), "image": network.image(image)}
        logits["sound"] = network.sound(sound)
        terms = {name: F.cross_entropy(x.float(), labels) for name, x in logits.items()}
        total = torch.stack([*terms.values()]).sum()
        right = {f"{n}_right": (x.argmax(1) == labels).float().mean() for n, x in logits.items()}
        return Loss(total, terms | right)

    def trained_classifier(self) -> Classifier:
        """The classifier; a ValueError if there is none."""
        if self.classifier is None:
            raise ValueError("classifier_from=None: this model has no classifier; set it to a step")
        return self.classifier

    def classify(self, clip: Clip, generator: Streams) -> Float[Tensor, "b k"]:
        """Logits of clips that have a picture, a sound, or both; what is missing is generated.

        Raises:
            ValueError: if there is no classifier, or clips have neither or are of another spec.
        """
        network, clip = self.trained_classifier(), clip.to(self.mel.low_db.device)
        fill = partial(self.translate, clip, num_samples=1, streams=generator)
        with evaluating(self):
            image = fill(to="image") if clip.video is None else one_by_one(self.images, clip)
            sound = fill(to="sound") if clip.audio is None else one_by_one(self.sounds, clip)
            return one_by_one(network, image, sound)

    def classify_columns(self, clip: Clip, generator: Streams) -> dict[str, Float[Tensor, "b k"]]:
        """Logits by the columns of the paper's table: V, A, V-A, GV-A and GA-V.

        V and A are of the classifiers of one modality alone, V-A of both real ones; GV-A has a
        generated picture and a real sound, GA-V the reverse.  Raises: as `classify`.
        """
        network, clip = self.trained_classifier(), clip.to(self.mel.low_db.device)
        with evaluating(self):
            v = one_by_one(network.image, one_by_one(self.images, clip))
            a = one_by_one(network.sound, one_by_one(self.sounds, clip))
        pairs = {"V-A": clip, "GV-A": clip.replace(video=None), "GA-V": clip.replace(audio=None)}
        return {"V": v, "A": a} | {name: self.classify(x, generator) for name, x in pairs.items()}

    # ---- Sampling --------------------------------------------------------------------------------

    def translate(self, clip: Clip, *, to: str, num_samples: int, streams: Streams) -> Tensor:
        """Maps in [-1, 1] of the "image" or "sound" that clips lack, sample index fastest."""
        part, read = ("sound", self.sounds) if to == "image" else ("image", self.images)
        code = one_by_one(lambda rows: self.generator[f"enc_{part}"](read(rows)), clip)
        code = code.repeat_interleave(num_samples, dim=0)
        z = streams.normal(num_samples, self.z).to(code)
        return one_by_one(lambda *rows: self.decode(to, *rows), code, z)

    def sample(self, given: Clip, *, num_samples: int, generator: Streams) -> Clip:
        """The picture or the sound that clips lack, alone, `num_samples` times each.

        Raises:
            ValueError: if clips have both or neither, or are not of this model's spec.
        """
        if (given.video is None) == (given.audio is None):
            have = "no" if given.video is None else "both"
            raise ValueError(
                f"clips have {have} picture and sound: give one, CMCGAN makes the other"
            )
        given = given.to(self.mel.low_db.device)
        make = partial(self.translate, given, num_samples=num_samples, streams=generator)
        label = None if given.label is None else given.label.repeat_interleave(num_samples)
        with evaluating(self):
            if given.video is None:
                image = make(to="image")
                return Clip(self.spec, video=(image[:, None] + 1) / 2, label=label)
            maps, steps = make(to="sound"), self.config.phase_steps
            audio = self.mel.inverse(maps, iterations=steps, vocoder=self.vocoder)
            return Clip(self.spec, audio=audio, label=label)
