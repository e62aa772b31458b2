"""End-to-End Speech-Driven Facial Animation with Temporal GANs (Vougioukas, Petridis and Pantic,
BMVC 2018, 1805.09313), as the baseline of Sound2Sight's tables: a still frame and the sound -> a
video.

The sound is cut into overlapping windows of the waveform, one for each frame; convolutions and a
GRU read them. An encoder of the still and a GRU of noise say the rest, and a U-Net draws each frame
from the three codes. Frames do not depend on each other but for the states of the GRUs. One
discriminator compares single frames with the still, one watches the sequence with its sound, and a
third, of the authors' later paper, may ask whether both are in time.

Training was never released: what is known is the paper, the code for sampling and what the authors
said about it. `fidelity="paper"` keeps to these, `fidelity="fixed"` mends them; each row of the
tables in docs/models/speech_driven.md says where it is from.

Indices: frames x[0] ... x[T-1], of which the first F are seen and the others are drawn, n = T - F
of them. Tensors inside are time-major: (t, b, ...); pictures are in [-1, 1] inside.
"""  # noqa: D205

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from soundsight.contract import Loss, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.nn.adversarial import fake_loss, real_loss
from soundsight.nn.dcgan import SLOPE
from soundsight.nn.discriminator import WINDOW, mismatched
from soundsight.nn.discriminator import windows as in_a_row
from soundsight.nn.pairs import evaluating
from soundsight.nn.unet import FrameGenerator, FrameTrunk, IdentityEncoder
from soundsight.nn.wave_windows import WindowEncoder, cut_windows

FIDELITY: dict[str, dict[str, Any]] = {
    "paper": {"critic_norm": "batch", "ends": "zeros", "white": 250 / 255},
    "fixed": {"critic_norm": "spectral", "ends": "reflect", "white": 1.0},
}
"""What each fidelity makes of the fields of `Config` that are None."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Config:
    """Sizes, losses and variants; the defaults are the paper's, as far as they are known."""

    kind: Literal["speech_driven"] = "speech_driven"
    fidelity: Literal["paper", "fixed"] = "fixed"
    """`paper`: as published and released, quirks included; `fixed`: as it should have been."""
    seen: PositiveInt = 5
    """Seen frames F."""
    identity: Literal["last", "first", "all"] = "last"
    """What the still is: the last seen frame, the first one, or ("Multiframe" of Sound2Sight's
    tables) all F of them, stacked on channels. Discriminators are shown the last one of it."""
    window_s: PositiveFloat = 0.2
    """Length of a window of sound, s; one begins with every frame."""
    sound_code: PositiveInt = 256
    """Width of a window's code and of the states of the GRU that reads them."""
    identity_code: PositiveInt = 50
    """Width of the still's code."""
    noise: PositiveInt = 10
    """Width of the noise of every frame, and of the GRU that joins it."""
    noise_std: float = Field(default=0.33, ge=0)
    """Standard deviation of the noise (released)."""
    frame_channels: PositiveInt = 64
    """Channels of the first layer of the frame networks, which double from layer to layer."""
    audio_channels: PositiveInt = 16
    """Channels of the first layer of the sound networks, which double from layer to layer."""
    l1: float = Field(default=400.0, ge=0)
    """Weight of the absolute error, relative to its mean over pixels in [-1, 1]."""
    region: Literal["frame", "mouth"] = "frame"
    """Where it counts: "mouth" (paper) is the lower half of aligned faces; anything else moves in
    the whole frame."""
    adversarial: float = Field(default=1.0, ge=0)
    """Weight of each discriminator's part of the generator's loss; 0: the absolute error alone."""
    sync: bool = False
    """Show sound and picture to a synchronization discriminator, too (the authors' later paper)."""
    critic_norm: Literal["batch", "spectral"] | None = None
    """Norm of the discriminators' convolutions. paper: batch norm, by which what is said of a clip
    depends on the others, and real and generated batches are told by their means; fixed: spectral
    norm."""
    ends: Literal["zeros", "reflect"] | None = None
    """What windows hear beyond the clip. paper: zeros, a sudden silence; fixed: the reflected
    sound, as the spectrograms of Sound2Sight do."""
    white: float | None = Field(default=None, gt=0, le=1)
    """What the brightest pixel becomes. paper: 250/255, as the released code for sampling scales
    [-1, 1] to 0 ... 250; fixed: 1."""

    def choice(self, field: str) -> Any:
        """The value of a field, or what `fidelity` makes of it."""
        value = getattr(self, field)
        return FIDELITY[self.fidelity][field] if value is None else value

    def build(self, spec: ClipSpec) -> "SpeechDriven":
        """The model with fresh weights for clips of this spec.

        Raises:
            ValueError: if the frames' size is not 4, 5 or 6 times a power of two, or a window is
                shorter than a frame.
        """
        return SpeechDriven(self, spec)


# ---- The generator -------------------------------------------------------------------------------


class GeneratorNetwork(nn.Module):
    """All that is trained as the generator."""

    def __init__(self, c: Config, spec: ClipSpec, window: int) -> None:
        super().__init__()
        stills = c.seen if c.identity == "all" else 1
        self.windows = WindowEncoder(window, spec.sample_rate, c.sound_code, c.audio_channels)
        self.sound = nn.GRU(c.sound_code, c.sound_code, num_layers=2)
        self.noise = nn.GRU(c.noise, c.noise)
        self.identity = IdentityEncoder(
            spec.size, stills * spec.channels, c.identity_code, c.frame_channels
        )
        code = c.sound_code + c.identity_code + c.noise
        self.frames = FrameGenerator(spec.size, spec.channels, code, c.frame_channels)


# ---- The discriminators --------------------------------------------------------------------------


class FrameDiscriminator(nn.Module):
    """Is this frame real, and of the same clip as the still that it is stacked on?"""

    def __init__(self, c: Config, spec: ClipSpec) -> None:
        super().__init__()
        batch_norm = c.choice("critic_norm") == "batch"
        self.trunk = FrameTrunk(
            spec.size, 2 * spec.channels, 1, c.frame_channels, batch_norm=batch_norm
        )

    def forward(
        self, frame: Float[Tensor, "b c h w"], still: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, " b"]:
        """Logits of "real"."""
        return self.trunk(torch.cat([frame, still], dim=1))[:, 0]


class SequenceDiscriminator(nn.Module):
    """Is this video with its sound real? Codes of both, frame by frame, go into a GRU."""

    def __init__(self, c: Config, spec: ClipSpec, window: int) -> None:
        super().__init__()
        self.frames, self.windows = critic_encoders(c, spec, window, c.sound_code)
        self.gru = nn.GRU(2 * c.sound_code, c.sound_code, num_layers=2)
        self.head = nn.Linear(c.sound_code, 1)

    def forward(
        self, video: Float[Tensor, "t b c h w"], sound: Float[Tensor, "t b s"]
    ) -> Float[Tensor, " b"]:
        """Logits of "real", from the last state."""
        seen = torch.tanh(self.frames(video.flatten(0, 1))).unflatten(0, video.shape[:2])
        states, _ = self.gru(torch.cat([seen, self.windows(sound)], dim=2))
        return self.head(states[-1])[:, 0]


class SyncDiscriminator(nn.Module):
    """Do these three frames in a row belong to their sound? By how far apart two codes are."""

    def __init__(self, c: Config, spec: ClipSpec, window: int) -> None:
        super().__init__()
        self.frames, self.windows = critic_encoders(c, spec, window, c.sound_code, frames=WINDOW)
        self.join = nn.Linear(WINDOW * c.sound_code, c.sound_code)
        self.head = nn.Linear(c.sound_code, 1)

    def forward(
        self, video: Float[Tensor, "t b c h w"], sound: Float[Tensor, "t b s"]
    ) -> Float[Tensor, "i b"]:
        """Logits of "in time" of all t - 2 snippets."""
        snippets = rearrange(in_a_row(video), "k i b c h w -> (i b) (k c) h w")
        seen = torch.tanh(self.frames(snippets))
        codes = rearrange(in_a_row(self.windows(sound)), "k i b d -> (i b) (k d)")
        apart = (seen - torch.tanh(self.join(codes))).square()
        return self.head(apart)[:, 0].unflatten(0, (-1, video.shape[1]))


def critic_encoders(
    c: Config, spec: ClipSpec, window: int, code: int, *, frames: int = 1
) -> tuple[FrameTrunk, WindowEncoder]:
    """Eyes (of so many frames at once) and ears of a discriminator."""
    batch_norm = c.choice("critic_norm") == "batch"
    eyes = FrameTrunk(
        spec.size, frames * spec.channels, code, c.frame_channels, batch_norm=batch_norm
    )
    ears = WindowEncoder(
        window, spec.sample_rate, code, c.audio_channels, batch_norm=batch_norm, slope=SLOPE
    )
    return eyes, ears


def first_weights(net: nn.Module) -> None:
    """N(0, 0.02) for convolutions, biases zero; GRUs and linear maps keep torch's first weights."""
    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def add_spectral_norm(net: nn.Module) -> None:
    """Spectral norm on every convolution and linear map; GRUs stay as they are."""
    for module in [*net.modules()]:
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            spectral_norm(module)


# ---- Losses --------------------------------------------------------------------------------------


def absolute_error(
    fake: Float[Tensor, "n b c h w"],
    real: Float[Tensor, "n b c h w"],
    region: Literal["frame", "mouth"],
) -> Float[Tensor, ""]:
    """Mean absolute error per pixel, of pictures in [-1, 1]: in the whole frame, or its lower half.

    The upper half of an odd height is the smaller one.
    """
    top = 0 if region == "frame" else real.shape[-2] // 2
    return (fake.float() - real)[..., top:, :].abs().mean()


class Scene(NamedTuple):
    """What the discriminators see of a batch; real and generated are alike up to frame F - 1."""

    still: Float[Tensor, "b c h w"]
    """What single frames are compared with."""
    real: Float[Tensor, "m b c h w"]
    """The last seen frame, then those that really followed."""
    fake: Float[Tensor, "m b c h w"]
    """The last seen frame, then those that were generated."""
    sound: Float[Tensor, "m b s"]
    """The windows of sound of these frames."""
    foreign: Float[Tensor, "m b s"] | None
    """Windows of other frames in their place; None without a synchronization discriminator."""
    chosen: Tensor
    """By clip, which frame after the last seen one is judged by itself, shape (b,)."""


# ---- The model -----------------------------------------------------------------------------------


class SpeechDriven(nn.Module):
    """Given the first frames and the whole sound, draw the frames that follow."""

    takes = frozenset({"audio", "context"})
    makes = frozenset({"video"})

    def __init__(self, config: Config, spec: ClipSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.window = round(config.window_s * spec.sample_rate)
        if self.window < spec.samples_per_frame:
            raise ValueError(
                f"window_s={config.window_s:g}: windows of sound must be as long as a frame, "
                f"{1 / spec.fps:g} s, or longer"
            )
        self.generator = GeneratorNetwork(config, spec, self.window)
        self.frame_discriminator = FrameDiscriminator(config, spec)
        watching: dict[str, nn.Module] = {
            "sequence": SequenceDiscriminator(config, spec, self.window)
        }
        if config.sync:
            watching["sync"] = SyncDiscriminator(config, spec, self.window)
        self.sequence_discriminators = nn.ModuleDict(watching)
        first_weights(self)
        if config.choice("critic_norm") == "spectral":
            add_spectral_norm(self.frame_discriminator)
            add_spectral_norm(self.sequence_discriminators)

    def phases(self) -> dict[str, nn.Module]:
        """The generator; the discriminator of frames; that of sequences, with that of time."""
        return {
            "generator": self.generator,
            "frame_discriminator": self.frame_discriminator,
            "sequence_discriminator": self.sequence_discriminators,
        }

    # ---- What it is given ------------------------------------------------------------------------

    def hear(self, clip: Clip, frames: int) -> Float[Tensor, "t b s"]:
        """The windows of sound of the first `frames` frames.

        Raises:
            ValueError: if there is no sound, or too little.
        """
        if clip.audio is None:
            raise ValueError("SpeechDriven hears: it needs clips with sound")
        stride = self.spec.samples_per_frame
        if clip.audio.shape[1] < frames * stride:
            raise ValueError(
                f"{clip.audio.shape[1]} samples of sound: {frames} frames of {stride} are needed"
            )
        audio = clip.audio[:, : frames * stride]
        ends = self.config.choice("ends")
        return cut_windows(audio, window=self.window, stride=stride, ends=ends)

    def stills(self, seen: Float[Tensor, "f b c h w"]) -> Float[Tensor, "b k h w"]:
        """What the identity encoder sees: one frame, or F of them, stacked on channels.

        Raises:
            ValueError: if it needs F frames and there are fewer.
        """
        c = self.config
        if c.identity == "all":
            if len(seen) < c.seen:
                raise ValueError(
                    f'{len(seen)} seen frames: identity="all" needs as many as in training, '
                    f"{c.seen}"
                )
            return rearrange(seen[-c.seen :], "f b c h w -> b (f c) h w")
        return seen[-1] if c.identity == "last" else seen[0]

    def draw(
        self,
        stills: Float[Tensor, "b k h w"],
        windows: Float[Tensor, "t b s"],
        noise: Float[Tensor, "n b z"],
    ) -> Float[Tensor, "n b c h w"]:
        """The last n frames of t, given the still, all of the sound, and noise."""
        net = self.generator
        identity, maps = net.identity(stills)
        heard, _ = net.sound(net.windows(windows))
        return self.paint(identity, net.frames.project_skips(maps), heard[-len(noise) :], noise)

    def paint(
        self,
        identity: Float[Tensor, "b e"],
        skips: list[Tensor],
        heard: Float[Tensor, "n b d"],
        noise: Float[Tensor, "n b z"],
    ) -> Float[Tensor, "n b c h w"]:
        """A frame of each state of what was heard: no frame depends on another."""
        drift, _ = self.generator.noise(noise)
        told = identity.expand(len(noise), -1, -1)
        return self.generator.frames(torch.cat([heard, told, torch.tanh(drift)], dim=2), skips)

    # ---- Training --------------------------------------------------------------------------------

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        """Discriminators first, then the generator; the order is ours, as no training was released.

        Raises:
            ValueError: if clips have no sound, or too few frames.
        """
        del step  # There is no schedule.
        scene, drawn = self.rehearse(clip, generator)
        yield "frame_discriminator", self.discriminator_loss(["frame"], scene)
        names = ["sequence", "sync"] if self.config.sync else ["sequence"]
        yield "sequence_discriminator", self.discriminator_loss(names, scene)

        # The discriminators as they are now.
        c, fake, real = self.config, drawn, scene.real[1:]
        error = absolute_error(fake, real, c.region)
        squared = (fake.detach().float() - real).square().mean() / 4  # Of pictures in [0, 1].
        total, terms = c.l1 * error, {"l1": error, "mse": squared}
        for name in ["frame", *names]:
            terms[name] = real_loss(self.judge(name, scene.fake, scene))
            total = total + c.adversarial * terms[name]
        yield "generator", Loss(total, terms)

    def rehearse(self, clip: Clip, generator: Generator) -> tuple[Scene, Tensor]:
        """Draw what follows the seen frames of a batch.

        Returns:
            What the discriminators see, and the generated frames alone.
        """
        c = self.config
        if clip.video is None or clip.video.shape[1] <= c.seen:
            raise ValueError(f"SpeechDriven trains on clips of more than seen={c.seen} frames")
        x = rearrange(2 * clip.video - 1, "b t c h w -> t b c h w")
        windows, stills = self.hear(clip, len(x)), self.stills(x[: c.seen])
        frames, b = len(x) - c.seen, x.shape[1]
        noise = torch.randn(frames, b, c.noise, generator=generator, device=x.device)
        drawn = self.draw(stills, windows, c.noise_std * noise)
        chosen = torch.randint(frames, (b,), generator=generator, device=x.device)
        sound, foreign = windows[c.seen - 1 :], None
        if c.sync:
            least = WINDOW if b > 1 else 2 * WINDOW
            if len(sound) < least:
                raise ValueError(
                    f"{len(x)} frames: sync=True needs {c.seen + least - 1} or more of clips in "
                    f"batches of {b}"
                )
            foreign = mismatched(sound, generator, mixed=True)
        return Scene(
            still=stills[:, -self.spec.channels :],
            real=x[c.seen - 1 :],
            fake=torch.cat([x[c.seen - 1 : c.seen], drawn.to(x)]),
            sound=sound,
            foreign=foreign,
            chosen=chosen,
        ), drawn

    def judge(self, name: str, video: Float[Tensor, "m b c h w"], scene: Scene) -> Tensor:
        """Logits of one discriminator for the real or the generated frames of a scene."""
        if name == "frame":
            clips = torch.arange(video.shape[1], device=video.device)
            return self.frame_discriminator(video[1:][scene.chosen, clips], scene.still)
        return self.sequence_discriminators[name](video, scene.sound)

    def discriminator_loss(self, names: list[str], scene: Scene) -> Loss:
        """-log D(real) - log(1 - D(generated)), summed over discriminators.

        To the one of time real frames with foreign sound are as wrong as generated ones, and the
        mean of both counts.
        """
        fake, terms = scene.fake.detach(), dict[str, Tensor]()
        totals = []
        for name in names:
            terms[f"real_{name}"] = real = real_loss(self.judge(name, scene.real, scene))
            terms[f"fake_{name}"] = wrong = fake_loss(self.judge(name, fake, scene))
            if name == "sync":
                assert scene.foreign is not None
                logits = self.sequence_discriminators[name](scene.real, scene.foreign)
                terms["foreign_sync"] = fake_loss(logits)
                wrong = (wrong + terms["foreign_sync"]) / 2
            totals.append(real + wrong)
        return Loss(torch.stack(totals).sum(), terms)

    # ---- Sampling --------------------------------------------------------------------------------

    def sample(
        self,
        given: Clip,
        *,
        num_samples: int,
        generator: Streams,
        temperature: float = 1.0,
        rows_at_once: int = 32,
    ) -> Clip:
        """Draw `num_samples` futures per clip.

        Args:
            given: the seen frames and the whole sound, which sets the number T of frames.
            num_samples: futures per clip, K.
            generator: one stream per clip.
            temperature: factor of the standard deviation of the noise; 0 leaves none.
            rows_at_once: futures drawn together.

        Returns:
            b * K clips of T frames, the seen ones first and as they were.

        Raises:
            ValueError: if no frame or no sound was given, too few frames, or none is left to draw.
        """
        video = given.video
        if video is None:
            raise ValueError("SpeechDriven needs seen frames to continue")
        if given.audio is None:
            raise ValueError("SpeechDriven hears: it needs clips with sound")
        total = given.audio.shape[1] // self.spec.samples_per_frame
        f, k = video.shape[1], num_samples
        if not 1 <= f < total:
            raise ValueError(f"{f} seen frames of {total}: between 1 and {total - 1} must be given")
        noise = generator.normal(k, total - f, self.config.noise).to(video)
        noise = rearrange(noise * temperature * self.config.noise_std, "r n z -> n r z")
        net, futures = self.generator, []
        with evaluating(self):
            stills = self.stills(rearrange(2 * video - 1, "b f c h w -> f b c h w"))
            identity, maps = net.identity(stills)
            skips = net.frames.project_skips(maps)
            heard = net.sound(net.windows(self.hear(given, total)))[0][f:]
            rows = torch.arange(len(given), device=video.device).repeat_interleave(k)
            for part in torch.arange(len(rows), device=video.device).split(rows_at_once):
                clips = rows[part]
                near = [skip[clips] for skip in skips]
                drawn = self.paint(identity[clips], near, heard[:, clips], noise[:, part])
                futures.append(rearrange(drawn.float(), "n r c h w -> r n c h w"))
        made = (torch.cat(futures) + 1) / 2 * self.config.choice("white")
        clip = given.repeat(k)
        frames = torch.cat([video.repeat_interleave(k, dim=0), made], dim=1)
        return clip.replace(video=frames, spec=clip.spec.with_frames(total))
