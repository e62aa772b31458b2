"""Deep Cross-Modal Audio-Visual Generation (Chen et al., ACM MM Workshops 2017, 1704.08292).

A sound -> a picture of what makes it (S2I), or a picture -> the log-mel spectrogram of what it
sounds like (I2S): two conditional GANs, each an encoder that is trained first and then frozen, a
generator, and a discriminator that also learns which real pairs do not belong together (GAN-CLS,
Reed et al., 2016).  Variants: S2I-C is `encoder="classifier"`, S2I-A `encoder="autoencoder"`, S2I-N
`mismatch="none"`; the pose-oriented one is `mismatch="pose"`.

`fidelity="paper"` is what was published, `fidelity="fixed"` is for small sizes and data; both
resize spectrograms bilinearly, and sounds come out as waveforms.  Pictures and maps inside are in
[-1, 1]; φ is the encoding of what is given, x the data, S_r, S_w, S_f the scores of a right, a
wrong and a generated one.
"""

import itertools
import math
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from pydantic import ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn

from soundsight.contract import Loss, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.nn.adversarial import fake_loss, kaiming, mode_seeking_loss, real_loss
from soundsight.nn.augment import augment_maps, vary
from soundsight.nn.contrast import MatchingEncoder
from soundsight.nn.dcgan import init_weights
from soundsight.nn.gan_cls import SIDE, ConditionalGenerator, MatchingDiscriminator, doublings
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
from soundsight.nn.penalty import r1_penalty
from soundsight.nn.residual import ResidualEncoder

FIDELITY: dict[str, dict[str, Any]] = {
    "paper": {
        "encoder_net": "plain", "l2": 0.015, "normalize": False, "extra_layers": True,
        "batch_norm": True, "r1": 0.0, "init": "dcgan",
    },
    "fixed": {
        "encoder_net": "residual", "l2": 1e-4, "normalize": True, "extra_layers": False,
        "batch_norm": False, "r1": 0.1, "init": "kaiming",
    },
}  # fmt: skip
"""What each fidelity makes of the fields of `Config` that are None."""

MELS = (64, 128, 256)
"""Bins of sound maps that the networks can make."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Config:
    """Sizes, losses and variants; the defaults are the paper's sizes."""

    kind: Literal["crossmodal_gan"] = "crossmodal_gan"
    fidelity: Literal["paper", "fixed"] = "fixed"
    """`paper`: as published; `fixed`: as it trains well."""
    direction: Literal["sound_to_image", "image_to_sound"] = "sound_to_image"
    """S2I or I2S."""
    encoder: Literal["classifier", "autoencoder", "matcher"] = "classifier"
    """What φ is learned for: to tell classes, or (S2I-A, sounds alone) to restore the map, or (not
    the paper's) to find the pair's other part among those of the batch."""
    mismatch: Literal["class", "pose", "none"] = "class"
    """Wrong data: of another class, of the same class at another moment, or (S2I-N) none."""
    classes: PositiveInt = 13
    """Labels of the data are 0 to classes - 1."""
    encoder_steps: NonNegativeInt = 5000
    """Steps in which the encoder alone is trained; then it is frozen, and the GAN begins."""
    encoder_net: Literal["plain", "residual"] | None = None
    """Classifier's layers.  paper: "plain", figures 4 and 5; fixed: "residual"."""
    encoder_widths: tuple[PositiveInt, ...] = (32, 64, 128, 128)
    """Channels of the stages of the residual encoder."""
    encoder_hidden: PositiveInt = 1024
    """Width of the plain encoder's first linear layer."""
    l2: NonNegativeFloat | None = None
    """Weight of half the classifier's squared linear weights.  paper: 0.015; fixed: 1e-4."""
    normalize: bool | None = None
    """Scale φ to a root mean square of 1.  paper: False; fixed: True."""
    encoding: PositiveInt = 128
    """Width of φ."""
    condition: PositiveInt = 64
    """Width to which generator and discriminator, each by itself, compress φ."""
    z: PositiveInt = 10
    """Width of the noise z ~ N(0, 1)."""
    generator_channels: PositiveInt = 128
    """Channels of the generator's largest square maps; the smallest have 8 times as many."""
    discriminator_channels: PositiveInt = 64
    """Channels of the discriminator's first square maps."""
    extra_layers: bool | None = None
    """I2S: two more convolutions in G, four more bottlenecks (12 convolutions) in D.  paper: True;
    fixed: False."""
    batch_norm: bool | None = None
    """Batch norm in the discriminator.  paper: True; fixed: False, as R1 needs."""
    r1: NonNegativeFloat | None = None
    """γ of R1 on real data.  paper: 0; fixed: 0.1."""
    r1_every: PositiveInt = 16
    """Steps between R1 penalties, which are that much larger."""
    init: Literal["dcgan", "kaiming"] | None = None
    """The discriminator's first weights, N(0, 0.02) or Kaiming's.  paper: dcgan; fixed: kaiming."""
    mode_seeking: NonNegativeFloat = 0.0
    """Weight of the mode seeking loss, not the paper's: above 0, z changes what is generated."""
    augment: bool = False
    """For little data, not the paper's: shift all that the discriminator sees, and vary what the
    encoder learns from.  Not where the place in a picture, or the moment, says something."""
    n_mels: PositiveInt = 128
    """Mel bins of sound maps; I2S: 64, 128 or 256."""
    n_fft: PositiveInt = 2048
    """Window of the spectrogram, samples."""
    hop_length: PositiveInt = 512
    """Samples from one window to the next."""
    phase_steps: PositiveInt = 60
    """Steps of Griffin and Lim's algorithm from generated maps to waveforms."""
    vocoder: str = ""
    """I2S: a TorchScript file that makes waveforms of decibels in its place, see
    `soundsight.nn.log_mel.open_vocoder`; nothing: none."""

    def choice(self, field: str) -> Any:
        """The value of a field, or what `fidelity` makes of it."""
        value = getattr(self, field)
        return FIDELITY[self.fidelity][field] if value is None else value

    def build(self, spec: ClipSpec) -> "CrossmodalGAN":
        """The model with fresh weights for clips of this spec.

        Raises:
            ValueError: if clips have more than one frame, if the networks cannot read or make such
                pictures or sounds, or if there is no such vocoder.
        """
        return CrossmodalGAN(self, spec)


# ---- Encoders (sections 3.1 and 4, figures 4 and 5) ----------------------------------------------


def inner(height: int, width: int) -> tuple[int, int]:
    """What is left of a map by convolutions without padding, four of 3 x 3 or a 5 x 5 and two.

    Raises:
        ValueError: if nothing is.
    """
    if min(height, width) < 9:
        raise ValueError(f"a sound map of {height} x {width}: the encoder needs at least 9 x 9")
    return height - 8, width - 8


def sound_convolutions(height: int, width: int) -> tuple[nn.Sequential, int]:
    """Figure 4's convolutions of a sound map, and how many numbers result.  Raises: as `inner`."""
    widths = (1, 4, 8, 16, 16)
    layers = [[nn.Conv2d(i, o, 3), nn.ReLU()] for i, o in itertools.pairwise(widths)]
    return nn.Sequential(*itertools.chain(*layers)), widths[-1] * math.prod(inner(height, width))


def image_convolutions(channels: int, size: int) -> tuple[nn.Sequential, int]:
    """Figure 5's convolutions of a picture, padded, pooled twice, and how many numbers result."""
    layers: list[nn.Module] = []
    widths = (channels, 16, 16, 32, 32, 64, 64)
    for index, (i, o) in enumerate(itertools.pairwise(widths)):
        layers += [nn.Conv2d(i, o, 3, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if index in (1, 5) else []
    return nn.Sequential(*layers), widths[-1] * (size // 4) ** 2


class ClassifierEncoder(nn.Module):
    """Layers -> linear layers -> φ -> a linear layer that tells the class, for training alone.

    Args:
        shape: channels, height and width of what is encoded.
        c: sizes.
    """

    def __init__(self, shape: tuple[int, int, int], c: Config) -> None:
        super().__init__()
        self.layers: nn.Module
        if c.choice("encoder_net") == "residual":
            self.layers = ResidualEncoder(shape[0], c.encoder_widths)
            features, hidden = self.layers.features, []
        else:
            sound = c.direction == "sound_to_image"
            self.layers, features = (
                sound_convolutions(*shape[1:]) if sound else image_convolutions(*shape[:2])
            )
            # "Dropout 0.7" and "0.8" in the figures are shares that are kept.
            hidden = [nn.Linear(features, c.encoder_hidden), nn.ReLU(), nn.Dropout(0.3)]
            features = c.encoder_hidden
        self.to_encoding = nn.Sequential(
            nn.Flatten(), *hidden, nn.Linear(features, c.encoding), nn.ReLU()
        )
        self.to_logits = nn.Sequential(nn.Dropout(0.2), nn.Linear(c.encoding, c.classes))
        self.l2 = c.choice("l2")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """φ of pictures or maps."""
        return self.to_encoding(self.layers(x))

    def loss(self, x: Float[Tensor, "b c h w"], labels: Int64[Tensor, " b"]) -> Loss:
        """Cross-entropy, and the penalty of the linear layers' weights."""
        logits = self.to_logits(self(x))
        entropy = F.cross_entropy(logits, labels)
        linear = [m.weight for m in self.modules() if isinstance(m, nn.Linear)]
        penalty = self.l2 / 2 * torch.stack([w.square().sum() for w in linear]).sum()
        right = (logits.argmax(1) == labels).float().mean()
        return Loss(entropy + penalty, {"cross_entropy": entropy, "l2": penalty, "accuracy": right})


class AutoencoderEncoder(nn.Module):
    """S2I-A: four stacks; each learns to restore, in the mean square, what those before it make.

    Three are a convolution without padding and its transpose, the last one is linear.  Widths and
    kernels are ours; the last one's array, 120 x 36 of a map of 128 x 44, is the paper's.

    Args:
        height: bins of the maps.
        width: columns of the maps.
        encoding: width of φ.

    Raises:
        ValueError: as `inner`.
    """

    def __init__(self, height: int, width: int, encoding: int) -> None:
        super().__init__()
        left = inner(height, width)
        sizes = [(1, 4, 5), (4, 8, 3), (8, 1, 3)]
        self.stacks = nn.ModuleList(nn.Sequential(nn.Conv2d(*s), nn.LeakyReLU()) for s in sizes)
        self.backs = nn.ModuleList(nn.ConvTranspose2d(o, i, kernel) for i, o, kernel in sizes)
        count = math.prod(left)
        self.stacks.append(nn.Sequential(nn.Flatten(), nn.Linear(count, encoding)))
        self.backs.append(nn.Sequential(nn.Linear(encoding, count), nn.Unflatten(1, (1, *left))))

    def forward(self, x: Float[Tensor, "b 1 f k"], stacks: int = 4) -> Float[Tensor, "b ..."]:
        """φ of maps, or what the first `stacks` stacks make of them."""
        for stack in self.stacks[:stacks]:
            x = stack(x)
        return x

    def loss(self, x: Float[Tensor, "b 1 f k"], index: int) -> Loss:
        """Mean squared error of one stack, 0 to 3; no other one gets a gradient."""
        with torch.no_grad():
            given = self(x, index)
        error = F.mse_loss(self.backs[index](self.stacks[index](given)), given)
        return Loss(error, {f"mse_{index + 1}": error})


# ---- Losses, on logits (equations 3 to 7) --------------------------------------------------------


def discriminator_loss(
    right: Float[Tensor, " b"],
    wrong: Float[Tensor, " b"] | None,
    fake: Float[Tensor, " b"],
    valid: Bool[Tensor, " b"] | None = None,
) -> Float[Tensor, ""]:
    """-E log S_r - E [log(1 - S_w) + log(1 - S_f)] / 2; without wrong ones (S2I-N) no half.

    Args:
        right: logits of real data with their own φ.
        wrong: of wrong data with the same φ.
        fake: of generated data with the same φ.
        valid: which wrong ones count; None: all.

    **Reference value**: 2 log 2 where nothing can be told apart, with and without wrong ones.
    """
    if wrong is None:
        return real_loss(right) + fake_loss(fake)
    every = torch.ones_like(wrong, dtype=torch.bool) if valid is None else valid
    mismatched = masked_mean(F.softplus(wrong.float()), every)
    return real_loss(right) + (mismatched + fake_loss(fake)) / 2


def generator_loss(fake: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """-E log S_f.  **Reference value**: log 2 where nothing can be told apart."""
    return real_loss(fake)


# ---- The model -----------------------------------------------------------------------------------


class CrossmodalGAN(nn.Module):
    """Generate the picture that belongs to a sound, or the sound that belongs to a picture."""

    def __init__(self, config: Config, spec: ClipSpec) -> None:
        super().__init__()
        c, self.config, self.spec = config, config, spec
        self.to_image = c.direction == "sound_to_image"
        parts = frozenset({"audio"}), frozenset({"image"})
        self.takes, self.makes = parts if self.to_image else parts[::-1]
        self._check()
        self.log_mel = LogMel(spec, n_mels=c.n_mels, n_fft=c.n_fft, hop_length=c.hop_length)
        picture = (spec.channels, spec.size, spec.size)
        heard = (1, c.n_mels, self.log_mel.columns)
        made = (1, c.n_mels, SIDE + doublings(c.n_mels, SIDE))
        self.shape = picture if self.to_image else made
        """Channels, height and width of what is generated."""
        given = heard if self.to_image else picture
        self.encoders: ClassifierEncoder | AutoencoderEncoder | MatchingEncoder
        if c.encoder == "autoencoder":
            self.encoders = AutoencoderEncoder(*heard[1:], c.encoding)
        elif c.encoder == "matcher":
            self.encoders = MatchingEncoder(given[0], self.shape[0], c.encoder_widths, c.encoding)
        else:
            self.encoders = ClassifierEncoder(given, c)
        sizes: dict[str, Any] = {"encoding": c.encoding, "condition": c.condition}
        sizes |= {"extra": c.choice("extra_layers")}
        self.discriminator = MatchingDiscriminator(
            self.shape, channels=c.discriminator_channels, norm=c.choice("batch_norm"), **sizes
        )
        self.generator = ConditionalGenerator(
            self.shape, channels=c.generator_channels, z=c.z, **sizes
        )
        first = partial(init_weights, linear=False)
        self.generator.apply(first)
        if c.choice("init") == "kaiming":
            kaiming(self.discriminator)
        else:
            self.discriminator.apply(first)
        self.vocoder = fitting_vocoder(c.vocoder, self.log_mel, wanted=not self.to_image)

    def _check(self) -> None:
        """Raise a ValueError if these clips, or these choices, do not go."""
        c = self.config
        check_spec(self.spec)
        if not self.to_image and c.n_mels not in MELS:
            raise ValueError(f"n_mels={c.n_mels}: generated sound maps have one of {MELS} bins")
        if not self.to_image and c.encoder == "autoencoder":
            raise ValueError(
                'encoder="autoencoder" is for sounds: direction="sound_to_image" alone'
            )
        if c.choice("r1") and c.choice("batch_norm"):
            raise ValueError(f"r1={c.choice('r1'):g} needs batch_norm=False: single gradients")

    def phases(self) -> dict[str, nn.Module]:
        """The encoder, trained first, then the two that play."""
        names = ("encoders", "discriminator", "generator")
        return {name: getattr(self, name) for name in names}

    def compile_parts(self) -> list[nn.Module]:
        """The generator: torch.compile cannot differentiate discriminators twice, as R1 does."""
        return [self.generator]

    # ---- What the networks see -------------------------------------------------------------------

    def given(self, clip: Clip) -> Float[Tensor, "b c h w"]:
        """What is encoded.  Raises: as `sound_maps` or `pictures`."""
        return sound_maps(clip, self.log_mel) if self.to_image else pictures(clip, self.spec)

    def real(self, clip: Clip) -> Float[Tensor, "b c h w"]:
        """What the discriminator takes for real.  Raises: as `pictures` or `sound_maps`."""
        if self.to_image:
            return pictures(clip, self.spec)
        return resize(sound_maps(clip, self.log_mel), *self.shape[1:])

    # ---- Training: one iteration -----------------------------------------------------------------

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        """The encoder alone for `encoder_steps` steps; then the discriminator and the generator.

        Raises:
            ValueError: if clips lack the picture, the sound or the label.
        """
        given = self.given(clip)
        if step < self.config.encoder_steps:
            self.encoders.train(self.training)
            yield "encoders", self.encoder_loss(given, clip, step, generator)
            return
        phi, x = self.encode(given), self.real(clip)
        pairs = 2 if self.config.mode_seeking else 1  # Of the same φ, with two z.
        z = torch.randn(pairs * len(clip), self.config.z, generator=generator, device=x.device)
        made = self.generator(phi.repeat(pairs, 1), z)
        fake = made[: len(clip)]
        loss = self.discriminators_loss(x, fake.detach(), phi, clip, step, generator)
        yield "discriminator", loss

        bce = generator_loss(self.discriminator(self.shifted(fake, generator), phi))
        total, terms = bce, {"bce": bce}
        if self.config.mode_seeking:
            terms["mode_seeking"] = mode_seeking_loss(fake, made[len(clip) :], *z.chunk(2))
            total = bce + self.config.mode_seeking * terms["mode_seeking"]
        yield "generator", Loss(total, terms)

    def shifted(
        self, x: Float[Tensor, "b c h w"], generator: Generator
    ) -> Float[Tensor, "b c h w"]:
        """What the discriminator is shown of data, real or generated."""
        return augment_maps(x, generator) if self.config.augment else x

    def encoder_loss(
        self, given: Float[Tensor, "b c h w"], clip: Clip, step: int, generator: Generator
    ) -> Loss:
        """A classifier's, a matcher's, or that of the autoencoder's stack whose turn it is."""
        if self.config.augment:
            given = vary(given, "sound" if self.to_image else "image", generator)
        if isinstance(self.encoders, MatchingEncoder):
            return self.encoders.loss(given, self.real(clip))
        if isinstance(self.encoders, AutoencoderEncoder):
            return self.encoders.loss(given, 4 * step // self.config.encoder_steps)
        return self.encoders.loss(given, class_labels(clip, self.config.classes))

    @torch.no_grad()
    def encode(self, given: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """φ by the frozen encoder, which it leaves in eval mode."""
        phi = self.encoders.eval()(given)
        normalize = self.config.choice("normalize")
        return F.rms_norm(phi, phi.shape[1:], eps=1e-8) if normalize else phi

    def discriminators_loss(
        self,
        x: Float[Tensor, "b c h w"],
        fake: Float[Tensor, "b c h w"],
        phi: Float[Tensor, "b d"],
        clip: Clip,
        step: int,
        generator: Generator,
    ) -> Loss:
        """Equations 4 to 7; wrong data are those of other clips of the batch, the φ is kept."""
        c, net = self.config, self.discriminator
        gamma = c.choice("r1") if step % c.r1_every == 0 else 0.0
        x, fake = (self.shifted(part, generator) for part in (x, fake))
        x = x.detach().requires_grad_(gamma > 0)
        looked = net.look(x)
        right, made, wrong, valid = net.score(looked, phi), net(fake, phi), None, None
        if c.mismatch != "none":
            if c.mismatch == "class":
                class_labels(clip, c.classes)
            partner, valid = wrong_partner(clip, c.mismatch, generator)
            wrong = net.score(looked[partner], phi)
        loss = discriminator_loss(right, wrong, made, valid)
        terms = {"bce": loss, "real": (right > 0).float().mean(), "fake": (made < 0).float().mean()}
        if wrong is not None and valid is not None:
            terms["wrong"] = masked_mean((wrong < 0).float(), valid)
        if gamma:
            terms["r1"] = r1_penalty(right, [x])
            loss = loss + gamma / 2 * c.r1_every * terms["r1"]
        return Loss(loss, terms)

    # ---- Sampling --------------------------------------------------------------------------------

    def generate_maps(
        self, given: Clip, *, num_samples: int, generator: Streams
    ) -> Float[Tensor, "m c h w"]:
        """What the generator makes, in [-1, 1]: pictures, or log-mel maps low frequencies first.

        One at a time: the same to the bit in any batch.

        Args:
            given: clips with the part that the model takes.
            num_samples: number of samples of each.
            generator: source of z.

        Raises:
            ValueError: if the given part is not there or of another size.
        """
        given = given.to(next(self.parameters()).device)
        z = generator.normal(num_samples, self.config.z).to(given.device)
        with evaluating(self):
            phi = one_by_one(lambda row: self.encode(self.given(row)), given)
            return one_by_one(self.generator, phi.repeat_interleave(num_samples, 0), z)

    def sample(self, given: Clip, *, num_samples: int, generator: Streams) -> Clip:
        """Draw `num_samples` pictures or sounds for each given clip; a label comes along.

        Raises:
            ValueError: as `generate_maps`.
        """
        given = given.to(next(self.parameters()).device)
        made = self.generate_maps(given, num_samples=num_samples, generator=generator)
        label = None if given.label is None else given.label.repeat_interleave(num_samples)
        if self.to_image:
            return Clip(self.spec, video=(made[:, None] + 1) / 2, label=label)
        steps = self.config.phase_steps
        audio = self.log_mel.inverse(made, iterations=steps, vocoder=self.vocoder)
        return Clip(self.spec, audio=audio, label=label)
