"""Collaborative Learning to Generate Audio-Video Jointly (Kurmi et al., ICASSP 2021, 2104.02656).

Noise -> a short video and its sound.  WaveGAN makes the sound, MoCoGAN the pictures, each with
discriminators of its own; two joint discriminators look at pairs of a video and a sound.

`fidelity="paper"` is what was published.  Every term of its objective holds at most one generated
modality, beside an independent real one: it depends on the generators through their marginals
alone, so nothing in it can make a generated sound belong to the video generated with it (tested).
`fidelity="fixed"` lets both generators share noise, gives the sound a path to the motion, and has
in the joint discriminators' place a matcher: it learns from real clips which sound goes with which
video, and the generators learn to be matched by it.

Frames are k = 0 ... T-1, the sound has L latent steps.  Pictures inside are in [-1, 1].
"""

import zlib
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn

from soundsight.contract import Loss, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.nn import augment
from soundsight.nn.adversarial import fake_loss, kaiming, real_loss, shares
from soundsight.nn.ears import Ears, spectrum
from soundsight.nn.jitter import Jitter
from soundsight.nn.latents import Latents, widths
from soundsight.nn.mocogan import PictureDiscriminator, VideoGenerator, shortest
from soundsight.nn.pair_discriminator import Matcher, Pair, PairDiscriminator, resampling
from soundsight.nn.penalty import gradient_penalty, r1_penalty
from soundsight.nn.wavegan import STRIDE, AudioGenerator, audio_steps, glorot

FIDELITY: dict[str, dict[str, Any]] = {
    "paper": {
        "pairs": ("eq2",), "latent_mode": "separate", "batch_norm": True, "r1_video": 0.0,
        "r1_audio": 0.0, "r1_spectrum": 0.0, "r1_pairs": 0.0, "average_fakes": False,
        "noise_until": None, "lambda_2": 1.0, "ramp": 0, "fresh_fakes": True, "augment": (),
        "shuffle_per_sample": False, "weight_decay": 1e-5, "init": "glorot", "ears": "waveform",
    },
    "fixed": {
        "pairs": ("match",), "latent_mode": "partial", "batch_norm": False, "r1_video": 1.0,
        "r1_audio": 10.0, "r1_spectrum": 5.0, "r1_pairs": 5.0, "average_fakes": True,
        "noise_until": 50_000, "lambda_2": 0.1, "ramp": 5000, "fresh_fakes": False,
        "augment": ("color", "translation", "cutout", "shift", "gain", "polarity"),
        "shuffle_per_sample": True, "weight_decay": 0.0, "init": "kaiming", "ears": "both",
    },
}  # fmt: skip
"""What each fidelity makes of the fields of `Config` that are None."""

Pairs = Literal["eq2", "gg", "mm", "match"]
"""Shown to D_1 beside real pairs.  "eq2": a generated and a real modality, as to D_2; "gg":
generated pairs; "mm": real ones of two clips.  "match" is a matcher, of all pairs of a batch."""
Augmentation = Literal["color", "translation", "cutout", "shift", "gain", "polarity"]
EQ2 = ("eq2_sound", "eq2_video")
PAIRS = {"eq2_sound": (1, 0), "eq2_video": (0, 1), "gg": (1, 1), "mm": (0, 0)}
"""Whether sound and video are generated, by kind of pair that D_1 sees."""
ROWS = 16
"""Clips generated at a time."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Config:
    """Sizes, losses and variants; the defaults are the paper's sizes, where it gives them."""

    kind: Literal["joint_gan"] = "joint_gan"
    fidelity: Literal["paper", "fixed"] = "fixed"
    """`paper`: as published, equation 2 as in Triangle-GAN; `fixed`: so that pairs can belong."""
    pairs: tuple[Pairs, ...] | None = None
    """What joint discriminators see.  paper: ("eq2",); fixed: ("match",); () builds none."""
    shuffle_pairs: bool = False
    """Control: the "real" pairs are sounds and videos of different clips."""
    content: PositiveInt = 90
    """Width d_C of z_C, the same in all frames; with `motion` the paper's 100."""
    motion: PositiveInt = 10
    """Width d_M of the motion code z_M(k), the state of a GRU."""
    sound: PositiveInt = 100
    """Width of the sound's noise."""
    shared: PositiveInt = 64
    """Width of the noise that both generators see under "partial"."""
    latent_mode: Literal["separate", "shared", "partial"] | None = None
    """paper: separate, the sound's ε_0 ~ U(-1, 1).  "shared": z_C is the beginning of the sound's
    noise.  fixed: partial, `shared` numbers for both, and motion codes reach the sound as well."""
    image_channels: PositiveInt = 64
    """Channels of the picture networks' outermost layers."""
    audio_channels: PositiveInt = 64
    """Channels of the sound networks' outermost layers."""
    audio_layers: int = Field(default=5, ge=3, le=5)
    """Layers of the sound networks; a latent step has 4^layers samples."""
    joint_channels: PositiveInt = 32
    """Channels of the first layers of the joint discriminators."""
    fusion: Literal["steps", "global"] = "steps"
    """Joint discriminators join both at each latent step, or after pooling over time."""
    share_trunk: bool = False
    """D_1 and D_2 as two heads of one network."""
    position: bool = False
    """Give the joint discriminators the pictures' coordinates as two more channels."""
    image_discriminator: Literal["patch", "full"] = "patch"
    """A 4 x 4 map of logits, or one."""
    video_discriminator: Literal["patch", "full"] = "full"
    """Logits in time and space, or in time alone."""
    window: PositiveInt | None = None
    """Frames that the video discriminator sees at a time; None: all."""
    batch_norm: bool | None = None
    """Batch norm in the picture discriminators.  paper: True; fixed: False, as R1 needs."""
    shuffle_radius: NonNegativeInt = 2
    """Phase shuffle of the sound's features, steps."""
    shuffle_per_sample: bool | None = None
    """Phase shuffle by a number of its own for each clip.  paper: False, one for the batch."""
    noise: NonNegativeFloat = 0.1
    """Standard deviation of the noise before the picture discriminators' convolutions."""
    noise_until: PositiveInt | None = None
    """Step at which that noise has faded.  paper: never; fixed: 50,000."""
    augment: tuple[Augmentation, ...] | None = None
    """Augmentations of what discriminators see, see `soundsight.nn.augment`.  paper: none."""
    audio_loss: Literal["bce", "wgan-gp"] = "bce"
    """Equation 1, or WaveGAN's own loss: five steps of D_A each, its penalty in place of R1."""
    saturating: bool = False
    """The generators' side of equation 1 and of the video objective as printed."""
    r1_video: NonNegativeFloat | None = None
    """γ of R1 on real videos.  paper: 0; fixed: 1."""
    r1_audio: NonNegativeFloat | None = None
    """γ of R1 on real waveforms.  paper: 0; fixed: 10."""
    r1_spectrum: NonNegativeFloat | None = None
    """γ of R1 on their spectrograms, for D_A.  paper: 0; fixed: 5."""
    r1_pairs: NonNegativeFloat | None = None
    """γ of R1 on real pairs.  paper: 0; fixed: 5."""
    r1_every: PositiveInt = 16
    """Steps between R1 penalties, which are that much larger."""
    average_fakes: bool | None = None
    """Whether D_1's generated kinds count one together.  paper: False; fixed: True."""
    lambda_1: NonNegativeFloat = 1.0
    """Weight of D_1's terms for the generators."""
    lambda_eq2: NonNegativeFloat = 1.0
    """Weight of equation 2's part of them."""
    lambda_match: NonNegativeFloat = 1.0
    """Weight of the matcher's term for the generators."""
    lambda_2: NonNegativeFloat | None = None
    """Weight of D_2's terms.  paper: 1; fixed: 0.1."""
    joint_from: NonNegativeInt = 0
    """Step at which the weights of the generators' joint terms begin to rise from 0 ..."""
    ramp: NonNegativeInt | None = None
    """... and steps until they are there.  paper: 0; fixed: 5,000."""
    fresh_fakes: bool | None = None
    """Whether the generators' step draws anew.  paper: True; fixed: False, one pass serves all."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Weight decay of the video generator.  paper: 1e-5; fixed: 0."""
    init: Literal["glorot", "kaiming"] | None = None
    """First weights of the sound networks.  paper: Glorot's, uniform; fixed: Kaiming's."""
    ears: Literal["waveform", "both"] | None = None
    """paper: waveform; fixed: both, D_A sees a log-mel spectrogram too, D_1 and D_2 that alone."""

    def choice(self, field: str) -> Any:
        """The value of a field, or what `fidelity` makes of it."""
        value = getattr(self, field)
        return FIDELITY[self.fidelity][field] if value is None else value

    def build(self, spec: ClipSpec) -> "JointGAN":
        """The model with fresh weights for clips of this spec.

        Raises:
            ValueError: if the networks cannot make such clips; says which they can.
        """
        return JointGAN(self, spec)


# ---- Losses, on logits ---------------------------------------------------------------------------


def discriminator_1_loss(real: Tensor, fakes: list[Tensor], *, average: bool) -> Float[Tensor, ""]:
    """D_1's side of equation 2, on any number of kinds of pairs that are not real.

    **Reference value**: where nothing can be told apart, with k kinds of them,
    (k + 1) log(k + 1) - k log k (1.9095 for two); 2 log 2 if they are averaged.
    """
    others = torch.stack([fake_loss(fake) for fake in fakes])
    return real_loss(real) + (others.mean() if average else others.sum())


def discriminator_2_loss(sound_made: Tensor, video_made: Tensor) -> Float[Tensor, ""]:
    """D_2's side of equation 2: which of the two modalities was generated?  At best 2 log 2."""
    return real_loss(sound_made) + fake_loss(video_made)


def generator_loss(logits: Tensor, saturating: bool = False) -> Float[Tensor, ""]:
    """The generator's side of equation 1: -E log D, or as printed E log(1 - D)."""
    return -fake_loss(logits) if saturating else real_loss(logits)


# ---- The model -----------------------------------------------------------------------------------


class JointGAN(nn.Module):
    """Generate videos together with their sound, from noise."""

    takes = frozenset[str]()
    makes = frozenset({"video", "audio"})

    def __init__(self, config: Config, spec: ClipSpec) -> None:
        super().__init__()
        c, self.config, self.spec = config, config, spec
        self.steps, self.step_samples = audio_steps(spec, c.audio_layers), STRIDE**c.audio_layers
        self.pairs: tuple[str, ...] = c.choice("pairs")
        self.window, mode = c.window or spec.frames, c.choice("latent_mode")
        self.widths = widths(mode, c.content, c.motion, c.sound, c.shared)
        if not shortest(spec.size) <= self.window <= spec.frames:
            least = f"the video discriminator sees at least {shortest(spec.size)}, at most all"
            raise ValueError(f"window={self.window} of frames={spec.frames}: {least}")
        image = {"channels": c.image_channels, "size": spec.size, "colors": spec.channels}
        sound = {"channels": c.audio_channels, "steps": self.steps, "layers": c.audio_layers}
        judge = image | {"batch_norm": c.choice("batch_norm")}
        parts = {
            "audio": AudioGenerator(c.sound, motion=c.motion * (mode == "partial"), **sound),
            "video": VideoGenerator(c.content, c.motion, **image),
        }
        self.generators = nn.ModuleDict(parts)
        self.both = c.choice("ears") == "both"
        to_steps = resampling(spec, self.steps, self.step_samples)
        self.register_buffer("to_steps", to_steps, persistent=False)
        self.audio_discriminator = Ears(spec.sample_rate, both=self.both, **sound)
        if c.choice("init") == "glorot":
            glorot(self.generators["audio"])
            glorot(self.audio_discriminator.waveform)
        else:
            kaiming(self.generators["audio"], last=1 / 3)  # Quiet, far from the ends of tanh.
            kaiming(self.audio_discriminator.waveform)
        parts = {
            "image": PictureDiscriminator(patch=c.image_discriminator == "patch", **judge),
            "video": PictureDiscriminator(
                patch=c.video_discriminator == "patch", frames=self.window, **judge
            ),
        }
        self.video_discriminators = nn.ModuleDict(parts)
        self.plays_d2 = "eq2" in self.pairs and c.choice("lambda_2") > 0
        apart = self.plays_d2 and not c.share_trunk
        self.kinds = [kind for kind in PAIRS if kind.split("_")[0] in self.pairs]
        names = ("d1", "d2") if apart else ("d1",) if self.kinds else ()
        size, heads = (spec, self.steps, c.joint_channels), 1 + (self.plays_d2 and c.share_trunk)
        sense = {"samples": self.step_samples, "mel": self.both, "position": c.position}
        look: Any = sense | {"whole": c.fusion == "global", "heads": heads}
        joint: Any = {name: PairDiscriminator(*size, **look) for name in names}
        matcher = {"match": Matcher(*size, **sense)} if "match" in self.pairs else {}
        self.joint_discriminators = nn.ModuleDict(joint | matcher)

    def phases(self) -> dict[str, nn.Module]:
        """Three kinds of discriminators, and both generators."""
        names = ["audio_discriminator", "video_discriminators", "joint_discriminators"]
        return {n: getattr(self, n) for n in [*names[: 2 + bool(self.pairs)], "generators"]}

    def compile_parts(self) -> list[nn.Module]:
        """The generators: torch.compile cannot differentiate discriminators twice, as R1 does."""
        return [*self.generators.values()]

    def real(self, clip: Clip) -> Pair:
        """A batch as the networks see it."""
        if clip.video is None or clip.audio is None:
            missing = "pictures" if clip.video is None else "sound"
            raise ValueError(f"the joint GAN needs videos with sound: these have no {missing}")
        have, want = (clip.video.shape[1], clip.audio.shape[1]), self.spec
        if have != (want.frames, want.samples):
            made = f"this model makes {want.frames} and {want.samples}"
            raise ValueError(f"clips of {have[0]} frames and {have[1]} samples: {made}")
        return Pair(self.padded(clip.audio), 2 * clip.video - 1)

    def padded(self, audio: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
        """Cut to the clip's length, then silence up to whole steps: real and generated alike."""
        audio = audio[:, : self.spec.samples]
        return F.pad(audio, (0, self.steps * self.step_samples - audio.shape[1]))

    def make(self, z: Latents, spec: ClipSpec) -> Pair:
        """Clips of some noise; as long as the clip, the sound is not yet padded."""
        video: Any = self.generators["video"]
        codes = video.motion(z.start, z.motion)
        content = torch.cat([z.shared, z.content], dim=1)[:, : self.config.content]
        sound = torch.cat([z.shared, z.sound], dim=1)
        if self.config.choice("latent_mode") == "separate":
            sound = torch.erf(sound / 2**0.5)  # U(-1, 1), WaveGAN's prior.
        to_steps: Any = self.to_steps
        if spec != self.spec:
            steps = audio_steps(spec, self.config.audio_layers)
            to_steps = resampling(spec, steps, self.step_samples).to(codes)
        audio = self.generators["audio"](sound, codes.transpose(1, 2) @ to_steps)
        return Pair(audio[:, : spec.samples], video(content, codes))

    def fakes(self, clips: int, generator: Generator) -> Pair:
        """A generated batch as the networks see it."""
        audio, video = self.make(self.widths.draw(clips, self.spec.frames, generator), self.spec)
        return Pair(self.padded(audio), video)

    # ---- Training: one iteration -----------------------------------------------------------------

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        """Every discriminator, then both generators by one pass through them."""
        fresh, real = self.config.choice("fresh_fakes"), self.real(clip)
        # The joint discriminators' noise comes apart: without them, the rest is bit-identical.
        seed = zlib.crc32(generator.get_state().numpy().tobytes())
        apart = Generator(generator.device).manual_seed(seed)

        with torch.set_grad_enabled(not fresh):
            fake = self.fakes(len(clip), generator)
        made = fake.detached()
        yield "audio_discriminator", self.audio_loss(real.audio, made.audio, step, generator)
        for _ in range(4 * (self.config.audio_loss == "wgan-gp")):
            with torch.no_grad():
                more = self.fakes(len(clip), generator).audio
            yield "audio_discriminator", self.audio_loss(real.audio, more, step, generator)
        yield "video_discriminators", self.video_loss(real.video, made.video, step, generator)
        if self.pairs:
            yield "joint_discriminators", self.joint_loss(real, made, step, apart)

        if fresh:
            fake = self.fakes(len(clip), generator)
        yield "generators", self.generators_loss(real, fake, step, generator, apart)

    def jitter(self, step: int, generator: Generator) -> Jitter:
        """Phase shuffle, and instance noise as it fades."""
        c, until = self.config, self.config.choice("noise_until")
        left = 1.0 if until is None else max(0.0, 1 - step / until)
        return Jitter(generator, c.noise * left, c.shuffle_radius, c.choice("shuffle_per_sample"))

    def r1(self, gamma: str, step: int) -> float:
        """Weight of an R1 penalty in this step."""
        every = self.config.r1_every
        return self.config.choice(gamma) / 2 * every if step % every == 0 else 0.0

    def audio_loss(self, a: Tensor, a_hat: Tensor, step: int, generator: Generator) -> Loss:
        """Equation 1, D_A's side."""
        c, jitter, net = self.config, self.jitter(step, generator), self.audio_discriminator
        total, terms = torch.zeros((), device=a.device), dict[str, Tensor]()
        a, a_hat = (augment.augment_audio(x, c.choice("augment"), generator) for x in (a, a_hat))
        for (name, seen), made in zip(net.looks(a).items(), net.looks(a_hat).values(), strict=True):
            weight = self.r1("r1_audio" if name == "waveform" else "r1_spectrum", step)
            seen = seen.detach().requires_grad_(weight > 0)
            real, fake = (net.judge(look, name, jitter) for look in (seen, made.detach()))
            if c.audio_loss == "wgan-gp":
                judge = partial(net.judge, name=name, jitter=jitter)
                terms[f"{name}_gp"] = gradient_penalty(judge, seen.detach(), made, generator)
                terms[f"{name}_distance"] = real.mean() - fake.mean()
                total = total + 10 * terms[f"{name}_gp"] - terms[f"{name}_distance"]
                continue
            loss = 0.5 * (real_loss(real) + fake_loss(fake))
            terms |= {f"{name}_bce": loss} | shares(real, {"fake": fake}, f"{name}_")
            if weight:
                terms[f"{name}_r1"] = r1_penalty(real, [seen])
                loss = loss + weight * terms[f"{name}_r1"]
            total = total + loss
        return Loss(total, terms)

    def sound(self, audio: Float[Tensor, "b n"]) -> Float[Tensor, "b ..."]:
        """What the joint discriminators hear: waveforms, or for "both" ears spectrograms."""
        return spectrum(audio, self.spec.sample_rate) if self.both else audio

    def video_loss(self, v: Tensor, v_hat: Tensor, step: int, generator: Generator) -> Loss:
        """The video objective, sides of D_I and D_V."""
        total, terms = torch.zeros((), device=v.device), dict[str, Tensor]()
        weight, jitter = self.r1("r1_video", step), self.jitter(step, generator)
        for name in ("image", "video"):
            net = self.video_discriminators[name]
            seen, made = (self.excerpt(name, x, generator).detach() for x in (v, v_hat))
            real, fake = net(seen.requires_grad_(weight > 0), jitter), net(made, jitter)
            loss = real_loss(real) + fake_loss(fake)
            terms |= {f"{name}_bce": loss} | shares(real, {"fake": fake}, f"{name}_")
            if weight:
                terms[f"{name}_r1"] = r1_penalty(real, [seen])
                loss = loss + weight * terms[f"{name}_r1"]
            total = total + loss
        return Loss(total, terms)

    def excerpt(self, name: str, video: Tensor, generator: Generator) -> Tensor:
        """S_1 for D_I, S_T for D_V, augmented."""
        if name == "image":
            part = augment.random_frames(video, generator)[:, None]
        else:
            part = augment.random_windows(video, self.window, generator)
        part = augment.augment_video(part, self.config.choice("augment"), generator)
        return part[:, 0] if name == "image" else part

    def joint_loss(self, real: Pair, fake: Pair, step: int, generator: Generator) -> Loss:
        """Equation 2, sides of D_1 and D_2; and the matcher, which learns from real pairs alone."""
        weight, video = self.r1("r1_pairs", step), real.video
        if self.config.shuffle_pairs:
            video = video.roll(1, 0)
        if len(video) < 2 and (self.config.shuffle_pairs or {"mm", "match"} & {*self.pairs}):
            raise ValueError("pairs of two different clips need a batch of at least 2")
        real = Pair(self.sound(real.audio), video).detached(watched=weight > 0)
        fake = fake._replace(audio=self.sound(fake.audio))
        loss, terms = torch.zeros((), device=video.device), dict[str, Tensor]()
        if kinds := self.kinds:
            said = self.judged(real, fake, step, generator, ["real", *kinds])
            loss = discriminator_1_loss(
                said["real"], [said[k] for k in kinds], average=self.config.choice("average_fakes")
            )
            terms = {"d1_bce": loss} | shares(said["real"], {k: said[k] for k in kinds}, "d1_")
            if weight:
                terms["d1_r1"] = r1_penalty(said["real"], real)
                loss = loss + weight * terms["d1_r1"]
        if self.plays_d2:
            second = self.judged(real, fake, step, generator, [*EQ2], second=True)
            terms["d2_bce"] = discriminator_2_loss(second["eq2_sound"], second["eq2_video"])
            loss = loss + terms["d2_bce"]
        if "match" in self.pairs:
            terms |= self.joint_discriminators["match"](real, self.jitter(step, generator))
            loss = loss + terms["match_nce"]
        return Loss(loss, terms)

    def judged(
        self,
        real: Pair,
        fake: Pair,
        step: int,
        generator: Generator,
        kinds: Collection[str],
        *,
        second: bool = False,
    ) -> dict[str, Tensor]:
        """What D_1, or D_2, says of kinds of pairs, whose sounds are as `sound` makes them."""
        jitter, head = self.jitter(step, generator), int(second and self.config.share_trunk)
        net: Any = self.joint_discriminators["d2" if second and not head else "d1"]
        heard = [net.hear(pair.audio, jitter) for pair in (real, fake)]
        seen = [net.see(pair.video) for pair in (real, fake)]
        said = {}
        for kind in kinds:
            i, j = PAIRS.get(kind, (0, 0))
            h, s = heard[i], seen[j]
            if kind == "mm":
                s = s.roll(1, 0)
            said[kind] = net.join(h, s)[:, head]
        return said

    def generators_loss(
        self, real: Pair, fake: Pair, step: int, generator: Generator, apart: Generator
    ) -> Loss:
        """The generators' side of everything, by one pass through them."""
        c, jitter = self.config, self.jitter(step, generator)
        sound = augment.augment_audio(fake.audio, c.choice("augment"), generator)
        said, critic = self.audio_discriminator(sound, jitter), c.audio_loss == "wgan-gp"
        terms = {
            name: -logits.mean() if critic else generator_loss(logits, c.saturating)
            for name, logits in said.items()
        }
        for name in ("image", "video"):
            net = self.video_discriminators[name]
            said = net(self.excerpt(name, fake.video, generator), jitter)
            terms[name] = generator_loss(said, c.saturating)
        total = torch.stack([*terms.values()]).sum()

        real, fake = (pair._replace(audio=self.sound(pair.audio)) for pair in (real, fake))
        since, ramp = step - c.joint_from, c.choice("ramp")
        rise = min(1.0, max(0.0, since / ramp)) if ramp else float(since >= 0)
        kinds = [kind for kind in self.kinds if kind != "mm"]
        if kinds and rise * c.lambda_1 > 0:
            first = self.judged(real, fake, step, apart, kinds)
            terms |= {f"d1_{kind}": generator_loss(logits) for kind, logits in first.items()}
            weight = {"gg": c.lambda_1} | dict.fromkeys(EQ2, c.lambda_1 * c.lambda_eq2)
            total = total + rise * sum(weight[kind] * terms[f"d1_{kind}"] for kind in kinds)
        if self.plays_d2 and rise > 0:  # Each wants to be taken for the other.
            other = self.judged(real, fake, step, apart, EQ2, second=True)
            terms["d2_sound"] = fake_loss(other["eq2_sound"])
            terms["d2_video"] = real_loss(other["eq2_video"])
            total = total + rise * c.choice("lambda_2") * (terms["d2_sound"] + terms["d2_video"])
        if "match" in self.pairs and rise * c.lambda_match > 0:
            terms |= self.joint_discriminators["match"](fake, self.jitter(step, apart))
            total = total + rise * c.lambda_match * terms["match_nce"]
        if decay := c.choice("weight_decay"):  # Its gradient is what Adam's weight decay adds.
            weights = self.generators["video"].parameters()
            total = total + decay / 2 * sum(w.square().sum() for w in weights)
        return Loss(total, terms)

    # ---- Sampling --------------------------------------------------------------------------------

    def latents(self, streams: Streams, num_samples: int, frames: int) -> Latents:
        """Noise of `num_samples` clips for each stream; a longer clip begins as a shorter one."""
        return self.widths.draw_streams(streams, num_samples, frames)

    @torch.no_grad()
    def generate(self, latents: Latents) -> Clip:
        """Clips of this noise, of as many frames as it has; they may be longer than trained.

        Always `ROWS` at a time, the last filled up: a clip is the same to the bit in any batch.
        """
        spec, count = self.spec.with_frames(latents.motion.shape[1]), len(latents)
        z, training = latents.to(next(self.parameters()).device), self.training
        rows = torch.arange(-(-count // ROWS) * ROWS).clamp(max=count - 1)
        self.eval()
        try:
            made = [self.make(z[part], spec) for part in rows.split(ROWS)]
        finally:
            self.train(training)
        audio, video = (torch.cat(parts)[:count].float() for parts in zip(*made, strict=True))
        return Clip(spec, video=(video + 1) / 2, audio=audio)

    def sample(self, given: Clip, *, num_samples: int, generator: Streams) -> Clip:
        """Draw `num_samples` clips for each stream, of `given.spec.frames` frames."""
        return self.generate(self.latents(generator, num_samples, given.spec.frames))
