"""Spectrogram Analysis via Self-Attention (Tan, Wu, Zhao and Chen, ICASSP 2020): SA-CMGAN.

The sound of an instrument -> a picture of its player, or the picture -> a sound.  Two encoders are
trained as classifiers of instruments, then frozen; what the given part's encoder finds is the
condition of a GAN with self-attention, spectral norm and a hinge loss.  Both directions are one
graph with the roles swapped: a sound is a map, too, of one channel and the pictures' size.

`fidelity="paper"` is what the authors' released code does, `fidelity="fixed"` what it should have
done.  Differences in both: mismatches are drawn from the batch, always of another class; sound maps
have one channel of levels, not three of false colors; no sample depends on the others of its batch.

Maps are in [-1, 1].  S is the side of a picture, C = `channels` the released 64.  Rows are those of
the table in docs/models/sa_cmgan.md.
"""

import itertools
from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from pydantic import ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from soundsight.contract import Loss, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.nn.adversarial import mode_seeking_loss, shares
from soundsight.nn.augment import augment_maps, vary
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
    "paper": {
        "attention_layers": "convolution", "middle": "sigmoid", "learned_condition": False,
        "drifting_norms": True, "discriminator_every": 2,
    },
    "fixed": {
        "attention_layers": "pointwise", "middle": "relu", "learned_condition": True,
        "drifting_norms": False, "discriminator_every": 1,
    },
}  # fmt: skip
"""What each fidelity makes of the fields of `Config` that are None."""

SLOPE = 0.2
"""Negative slope of every LeakyReLU."""
PARTS = {"sound_to_image": ("sound", "image"), "image_to_sound": ("image", "sound")}
"""What is given and what is made."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Config:
    """Sizes and variants; the defaults are the released code's sizes."""

    kind: Literal["sa_cmgan"] = "sa_cmgan"
    fidelity: Literal["paper", "fixed"] = "fixed"
    """`paper`: as released; `fixed`: the condition is learned, and the norms mean what they say."""
    direction: Literal["sound_to_image", "image_to_sound"] = "sound_to_image"
    """What is generated from what; each is a model of its own."""
    classes: PositiveInt = 13
    """Labels of the data are 0 to classes - 1."""
    channels: PositiveInt = 64
    """Channels C of the outermost layers."""
    z: PositiveInt = 62
    """Width of the noise."""
    features: PositiveInt = 128
    """Width of the encoders' last layer but one, from which they tell the class."""
    condition: PositiveInt = 64
    """Width that these features are projected to (fc8) for the generator and the discriminator."""
    attention: bool = True
    """Self-attention in the encoders, the generator and the discriminator."""
    attention_layers: Literal["convolution", "pointwise"] | None = None
    """paper: convolution, f, g and h are 4 x 4 with batch norm and ReLU; fixed: pointwise, SAGAN's
    linear maps and its fourth one behind the sum."""
    spectral_norm: bool = True
    """Spectral norm on every layer of the discriminator."""
    middle: Literal["sigmoid", "relu"] | None = None
    """The generator's layers from 16 x 16 to S/2.  paper: a sigmoid; fixed: batch norm, ReLU."""
    learned_condition: bool | None = None
    """paper: False, fc8 is one random projection that no loss ever trains; fixed: True, the
    generator and the discriminator each learn one of their own."""
    drifting_norms: bool | None = None
    """Whether the frozen encoders normalize by the batch, their averages moving on.  paper: True;
    fixed: False, they are in eval mode."""
    discriminator_every: PositiveInt | None = None
    """Steps of the generator for one of the discriminator.  paper: 2; fixed: 1."""
    mode_seeking: NonNegativeFloat = 0.0
    """Weight of the mode seeking loss, not the paper's: above 0, z changes what is generated."""
    augment: bool = False
    """For little data, not the paper's: shift all that the discriminator sees, and vary what the
    encoder learns from.  Not where the place in a picture, or the moment, says something."""
    n_mels: PositiveInt = 128
    """Mel bins of a sound's map, before it is resized to S x S."""
    n_fft: PositiveInt = 2048
    """Window of the map, samples."""
    hop_length: PositiveInt = 512
    """Samples from one window to the next."""
    phase_steps: PositiveInt = 60
    """Steps of Griffin and Lim's algorithm from generated maps to waveforms."""
    vocoder: str = ""
    """image_to_sound: a TorchScript file that makes waveforms of decibels in its place, see
    `soundsight.nn.log_mel.open_vocoder`; nothing: none."""
    encoder_steps: NonNegativeInt = 8000
    """Steps in which the encoders alone are trained, before all others."""

    def choice(self, field: str) -> Any:
        """The value of a field, or what `fidelity` makes of it."""
        value = getattr(self, field)
        return FIDELITY[self.fidelity][field] if value is None else value

    def build(self, spec: ClipSpec) -> "SACMGAN":
        """The model with fresh weights for clips of this spec.

        Raises:
            ValueError: if clips have more than one frame, or a size that the networks cannot make,
                or if the vocoder is not there, does not fit or has no use.
        """
        return SACMGAN(self, spec)


# ---- Layers --------------------------------------------------------------------------------------


def map_widths(size: int, channels: int) -> list[int]:
    """Channels after each halving of a map of side `size`, down to 4 x 4: C, 2 C, 4 C, at most 8 C.

    Example:
        >>> map_widths(64, 64)
        [64, 128, 256, 512]
    """
    return [channels * min(2**level, 8) for level in range((size // 4).bit_length() - 1)]


class SameConv(nn.Module):
    """Convolution, 4 x 4, without bias; padding as TensorFlow's "SAME": a side n is n / stride."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.padding = (1, 3 - stride, 1, 3 - stride)  # Before and behind, two times.
        self.conv = nn.Conv2d(i, o, 4, stride, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Apply to maps of an even side."""
        return self.conv(F.pad(x, self.padding))


class SameDeconv(nn.Module):
    """The transpose of `SameConv`: a side of n becomes n * stride."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.ConvTranspose2d(i, o, 4, stride, padding=1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Apply to maps; at stride 1 the last row and column fall off."""
        height, width = self.stride * x.shape[2], self.stride * x.shape[3]
        return self.conv(x)[:, :, :height, :width]


def normed(layer: SameConv | SameDeconv, activation: nn.Module) -> nn.Module:
    """A layer, batch norm of its channels (eps 1e-5, momentum 0.1), an activation."""
    return nn.Sequential(layer, nn.BatchNorm2d(layer.conv.out_channels), activation)


def dense(i: int, o: int, activation: nn.Module | None = None) -> nn.Module:
    """Fully connected, batch norm, an activation: LeakyReLU unless told otherwise."""
    return nn.Sequential(nn.Linear(i, o), nn.BatchNorm1d(o), activation or nn.LeakyReLU(SLOPE))


class Attention(nn.Module):
    """Self-attention over all N places of a map of C channels: y = x + γ o, γ = 0 at first.

    Source:
        Zhang et al., Self-Attention Generative Adversarial Networks, ICML 2019, equations 1 to 3:
        o_j = v(Σ_i β_ji h(x_i)), β_j the softmax over i of f(x_i) · g(x_j).
    """

    def __init__(self, c: Config) -> None:
        super().__init__()
        channels, narrow = c.channels, max(1, c.channels // 8)
        if c.choice("attention_layers") == "convolution":
            widths = (narrow, narrow, channels)
            nets = [normed(SameConv(channels, o, 1), nn.ReLU()) for o in widths]
            self.v: nn.Module = nn.Identity()
        else:
            nets = [nn.Conv2d(channels, narrow, 1, bias=False) for _ in range(3)]
            self.v = nn.Conv2d(narrow, channels, 1, bias=False)
        self.f, self.g, self.h = nets
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Let every place of each map look at all others."""
        # Places in a row, and one head.
        f, g, h = (net(x).flatten(2).transpose(1, 2)[:, None] for net in (self.f, self.g, self.h))
        o = F.scaled_dot_product_attention(g, f, h, scale=1.0)[:, 0]
        return x + self.gamma * self.v(o.transpose(1, 2).unflatten(2, x.shape[2:]))


# ---- Networks ------------------------------------------------------------------------------------


class Trunk(nn.Sequential):
    """The convolutions of encoders and discriminator (rows 1 to 6): S x S maps to 4 x 4."""

    def __init__(self, c: Config, colors: int, size: int) -> None:
        inner = map_widths(size, c.channels)
        layers = [SameConv(colors, inner[0], 2), nn.LeakyReLU(SLOPE)]
        if c.attention:
            layers.append(Attention(c))
        for i, o in itertools.pairwise(inner[:-1]):
            layers.append(normed(SameConv(i, o, 2), nn.LeakyReLU(SLOPE)))
        i, o = inner[-2:]  # One layer more at 8 x 8, then the last halving.
        layers.append(normed(SameConv(i, i, 1), nn.LeakyReLU(SLOPE)))
        super().__init__(*layers, normed(SameConv(i, o, 2), nn.LeakyReLU(SLOPE)))
        self.width = o


class Encoder(nn.Module):
    """A classifier of pictures, or of sounds, whose features are the condition (rows 1 to 9)."""

    def __init__(self, c: Config, colors: int, size: int) -> None:
        super().__init__()
        trunk, hidden = Trunk(c, colors, size), 16 * c.channels
        flat = dense(16 * trunk.width, hidden)
        self.to_features = nn.Sequential(trunk, nn.Flatten(), flat, dense(hidden, c.features))
        self.to_logits = nn.Linear(c.features, c.classes)
        self.project: nn.Module = nn.Identity()  # fc8.
        if not c.choice("learned_condition"):
            self.project = dense(c.features, c.condition).requires_grad_(False)

    def logits(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Of the classes."""
        return self.to_logits(self.to_features(maps))

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """What the generator and the discriminator are told."""
        return self.project(self.to_features(maps))


class ConditionalGenerator(nn.Module):
    """A condition and noise -> a map of side S."""

    def __init__(self, c: Config, colors: int, size: int) -> None:
        super().__init__()
        learned, inner = c.choice("learned_condition"), map_widths(size, c.channels)[::-1]
        self.project = dense(c.features, c.condition) if learned else nn.Identity()
        i, o = inner[:2]
        layers = [
            dense(c.condition + c.z, 16 * i, nn.ReLU()),
            nn.Unflatten(1, (i, 4, 4)),
            normed(SameDeconv(i, o, 2), nn.ReLU()),
            normed(SameDeconv(o, o, 1), nn.ReLU()),
        ]
        for i, o in itertools.pairwise(inner[1:]):
            up = SameDeconv(i, o, 2)
            sigmoid = c.choice("middle") == "sigmoid"
            layers.append(nn.Sequential(up, nn.Sigmoid()) if sigmoid else normed(up, nn.ReLU()))
        if c.attention:
            layers.append(Attention(c))
        self.layers = nn.Sequential(*layers, SameDeconv(inner[-1], colors, 2), nn.Tanh())

    def forward(
        self, told: Float[Tensor, "b d"], z: Float[Tensor, "b e"]
    ) -> Float[Tensor, "b c h w"]:
        """A map of each condition."""
        return self.layers(torch.cat([self.project(told), z], dim=1))


class ConditionalDiscriminator(nn.Module):
    """A map and a condition -> a logit: is the map real, and does it belong?"""

    def __init__(self, c: Config, colors: int, size: int) -> None:
        super().__init__()
        learned, hidden = c.choice("learned_condition"), 16 * c.channels
        self.trunk = Trunk(c, colors, size)
        self.project = dense(c.features, c.condition) if learned else nn.Identity()
        flat = dense(16 * (self.trunk.width + c.condition), hidden)
        self.join = nn.Sequential(nn.Flatten(), flat, nn.Linear(hidden, 1))

    def forward(
        self, maps: Float[Tensor, "b c h w"], told: Float[Tensor, "b d"]
    ) -> Float[Tensor, " b"]:
        """The logits; the condition stands at each of the 4 x 4 places."""
        condition = self.project(told)[:, :, None, None].expand(-1, -1, 4, 4)
        return self.join(torch.cat([self.trunk(maps), condition], dim=1))[:, 0]


def glorot_and_spectral_norm(net: nn.Module, *, spectral: bool) -> None:
    """First weights after Glorot, biases zero; then, if wanted, spectral norm on every layer."""
    for module in [*net.modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
            if spectral:
                spectral_norm(module)


# ---- Losses, on logits ---------------------------------------------------------------------------


def discriminator_loss(
    real: Float[Tensor, " b"],
    fake: Float[Tensor, " b"],
    mismatch: Float[Tensor, " b"],
    valid: Bool[Tensor, " b"],
) -> Float[Tensor, ""]:
    """Hinge loss: E max(0, 1 - real) + 1/2 [E max(0, 1 + fake) + E max(0, 1 + mismatch)].

    Args:
        real: of real maps with their conditions.
        fake: of generated maps.
        mismatch: of real maps with the conditions of others.
        valid: which of these count; without any their mean is 0.

    **Reference value**: 2 where all logits are 0, 0 where all are on their side by 1 or more.
    """
    wrong = masked_mean(F.relu(1 + mismatch.float()), valid)
    return F.relu(1 - real.float()).mean() + 0.5 * (F.relu(1 + fake.float()).mean() + wrong)


def generator_loss(fake: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """-E of the logits of generated maps."""
    return -fake.float().mean()


# ---- The model -----------------------------------------------------------------------------------


class SACMGAN(nn.Module):
    """Generate pictures from sounds, or sounds from pictures."""

    def __init__(self, config: Config, spec: ClipSpec) -> None:
        super().__init__()
        check_spec(spec)
        c, self.config, self.spec = config, config, spec
        self.given, self.made = PARTS[c.direction]
        names = {"sound": "audio", "image": "image"}
        self.takes, self.makes = frozenset({names[self.given]}), frozenset({names[self.made]})
        self.log_mel = LogMel(spec, n_mels=c.n_mels, n_fft=c.n_fft, hop_length=c.hop_length)
        self.vocoder = fitting_vocoder(c.vocoder, self.log_mel, wanted=self.made == "sound")
        colors = {"image": spec.channels, "sound": 1}
        self.encoders = nn.ModuleDict({k: Encoder(c, colors[k], spec.size) for k in colors})
        self.generator = ConditionalGenerator(c, colors[self.made], spec.size)
        self.discriminator = ConditionalDiscriminator(c, colors[self.made], spec.size)
        for net in (self.encoders, self.generator):
            glorot_and_spectral_norm(net, spectral=False)
        glorot_and_spectral_norm(self.discriminator, spectral=c.spectral_norm)

    def phases(self) -> dict[str, nn.Module]:
        """Both encoders, and after `encoder_steps` the GAN."""
        return {name: getattr(self, name) for name in ("encoders", "discriminator", "generator")}

    def compile_parts(self) -> list[nn.Module]:
        """All but the discriminator, whose normed weights are kept over several passes."""
        return [*self.encoders.values(), self.generator]

    # ---- What the networks see -------------------------------------------------------------------

    def maps(self, clip: Clip, name: str) -> Float[Tensor, "b c h w"]:
        """The "sound" or the "image" of clips, in [-1, 1]; sounds are log-mel maps of S x S.

        Raises:
            ValueError: if there are none, or they are not as the model's spec says.
        """
        if name == "image":
            return pictures(clip, self.spec)
        return resize(sound_maps(clip, self.log_mel), self.spec.size, self.spec.size)

    # ---- Training: one iteration -----------------------------------------------------------------

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        """The encoders alone; from step `encoder_steps` on the discriminator and the generator.

        Raises:
            ValueError: as `maps` and `class_labels`, or if the batch is a single clip.
        """
        c, label = self.config, class_labels(clip, self.config.classes)
        if len(clip) < 2:
            raise ValueError("a batch of 1: SA-CMGAN needs at least 2, as it normalizes by batches")
        first = step < c.encoder_steps
        self.encoders.train(self.training and (first or c.choice("drifting_norms")))
        if first:
            yield "encoders", self.encoders_loss(clip, label, generator)
            return

        real = self.maps(clip, self.made)
        with torch.no_grad():
            told = self.encoders[self.given](self.maps(clip, self.given))
        pairs = 2 if c.mode_seeking else 1  # Of the same condition, with two z.
        z = torch.randn(pairs * len(clip), c.z, generator=generator, device=clip.device)
        both = self.generator(told.repeat(pairs, 1), z)
        fake = both[: len(clip)]

        if (step - c.encoder_steps) % c.choice("discriminator_every") == 0:
            partner, valid = wrong_partner(clip, "class", generator)
            real, made = self.shifted(real, generator), self.shifted(fake.detach(), generator)
            shown = {"real": real, "fake": made, "mismatch": real[partner]}
            said = self.judged(shown, told)
            total = discriminator_loss(**said, valid=valid)
            right = shares(said["real"], {"fake": said["fake"]})
            right["mismatch"] = masked_mean((said["mismatch"] < 0).float(), valid)
            yield "discriminator", Loss(total, {"hinge": total} | right)

        made = self.shifted(fake, generator)
        terms = {"hinge": generator_loss(self.judged({"fake": made}, told)["fake"])}
        total = terms["hinge"]
        if c.mode_seeking:
            terms["mode_seeking"] = mode_seeking_loss(fake, both[len(clip) :], *z.chunk(2))
            total = total + c.mode_seeking * terms["mode_seeking"]
        yield "generator", Loss(total, terms)

    def shifted(self, x: Float[Tensor, "b c h w"], generator: Generator) -> Tensor:
        """What the discriminator is shown of maps, real or generated."""
        return augment_maps(x, generator) if self.config.augment else x

    def encoders_loss(self, clip: Clip, label: Int64[Tensor, " b"], generator: Generator) -> Loss:
        """Cross-entropies of both encoders, as classifiers."""
        entropies, rights = dict[str, Tensor](), dict[str, Tensor]()
        for name in ("image", "sound"):
            encoder: Any = self.encoders[name]
            maps = self.maps(clip, name)
            if self.config.augment:
                maps = vary(maps, name, generator)
            logits = encoder.logits(maps)
            entropies[f"{name}_cross_entropy"] = F.cross_entropy(logits.float(), label)
            rights[f"{name}_accuracy"] = (logits.argmax(1) == label).float().mean()
        return Loss(torch.stack([*entropies.values()]).sum(), entropies | rights)

    def judged(self, shown: dict[str, Tensor], told: Tensor) -> dict[str, Tensor]:
        """The logits of maps of each kind with one condition.

        Each kind is normalized by itself.  As in the released graph they share the weights, and
        one power iteration of the spectral norm, however many they are.
        """
        with parametrize.cached():
            return {name: self.discriminator(maps, told) for name, maps in shown.items()}

    # ---- Sampling --------------------------------------------------------------------------------

    def sample(self, given: Clip, *, num_samples: int, generator: Streams) -> Clip:
        """Draw `num_samples` pictures for each sound, or sounds for each picture.

        Always in eval mode, and one at a time: a sample is the same to the bit in any batch.

        Returns:
            Clips of the generated part alone, with the labels of `given` if it has any.

        Raises:
            ValueError: as `maps`.
        """
        device = next(self.parameters()).device
        given, z = given.to(device), generator.normal(num_samples, self.config.z).to(device)
        encode: Any = self.encoders[self.given]
        with evaluating(self):
            told = one_by_one(lambda row: encode(self.maps(row, self.given)), given)
            maps = one_by_one(self.generator, told.repeat_interleave(num_samples, dim=0), z)
        label = None if given.label is None else given.label.repeat_interleave(num_samples)
        if self.made == "image":
            return Clip(self.spec, video=(maps[:, None] + 1) / 2, label=label)
        steps = self.config.phase_steps
        audio = self.log_mel.inverse(maps, iterations=steps, vocoder=self.vocoder)
        return Clip(self.spec, audio=audio, label=label)
