"""DDPAE: Learning to Decompose and Disentangle Representations for Video Prediction (Hsieh et al.,
NeurIPS 2018).

A few seen frames -> the future; sound is not heard.  A video is the sum of components, each of them
one object that never changes its looks (its content) and a box that moves (its pose).  A recurrent
network over frames and components infers how each box moves and foresees how it will; what it holds
in the seen frames is cropped, encoded, drawn anew and pasted into every box, seen or foreseen.  It
is trained as a variational auto-encoder of the whole clip that is given the seen frames alone.
Sound2Sight has it as a baseline (table 2).

Tensors inside are time-major, components first: (o, t, b, ...).  F frames are seen, T all.  A pose
is (scale, x, y), see `nn.spatial_transformer`.

Where the released code and a sound reading differ, `Config` has a field, set by `fidelity`: (1)
where pixels are, (2) where poses begin.
"""  # noqa: D205

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn

from soundsight.contract import Loss, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.nn.dcgan import SLOPE, init_weights, level_widths
from soundsight.nn.latent import Gaussian, kl_divergence
from soundsight.nn.reconstruction import reconstruction
from soundsight.nn.spatial_transformer import crop, paste

FIDELITY: dict[str, dict[str, Any]] = {
    "paper": {"align_corners": True, "start": "zero"},
    "fixed": {"align_corners": False, "start": "sure"},
}
"""What each fidelity makes of the fields of `Config` that are None."""
POSE = 3
"""Numbers of a pose: scale, x, y."""
START_STD = (0.2, 1.0, 1.0)
"""Standard deviations of the first pose's prior."""
ROWS = 16
"""Clips continued at a time."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Config:
    """DDPAE's sizes and variants; the defaults are the paper's sizes for moving digits."""

    kind: Literal["ddpae"] = "ddpae"
    fidelity: Literal["paper", "fixed"] = "fixed"
    """`paper`: as released, quirks included; `fixed`: as it should have been."""
    seen: PositiveInt = 5
    """Seen frames F (paper: 10)."""
    num_components: PositiveInt = 1
    """Components N: as many as objects may move (paper: 2, for two digits)."""
    image_code: PositiveInt = 256
    """Width of a frame's code."""
    content: PositiveInt = 128
    """Width of the content of a component, z_C."""
    rnn_size: PositiveInt = 64
    """Hidden units of every LSTM."""
    frame_channels: PositiveInt = 8
    """Channels of the first layer of the image networks."""
    scale: float = Field(default=2.0, gt=1.5)
    """Mean of the first pose's prior: a box is 1/scale as wide as a frame.  Scales stay within 1 of
    it."""
    transition_std: PositiveFloat = 0.1
    """Standard deviation of the prior of a pose's change from frame to frame, β."""
    pixel_std: PositiveFloat = 0.3
    """Standard deviation of a pixel around what is drawn."""
    align_corners: bool | None = None
    """Whether frames and objects reach from the center of their first pixel to that of the last.
    paper: True, then torch's only way; fixed: False, from edge to edge, so that a box of half a
    frame and its object have pixels of one size."""
    start: Literal["zero", "sure"] | None = None
    """First biases of the poses' Gaussians.  paper: zero, so that scales begin out of bounds, where
    frames have no say in them, and positions at random; fixed: sure, the means of the priors, with
    a tenth of their deviations."""

    def choice(self, field: str) -> Any:
        """The value of a field, or what `fidelity` makes of it."""
        value = getattr(self, field)
        return FIDELITY[self.fidelity][field] if value is None else value

    def build(self, spec: ClipSpec) -> "DDPAE":
        """The model with fresh weights for clips of this spec."""
        return DDPAE(self, spec)


# ---- Networks ------------------------------------------------------------------------------------


class ImageEncoder(nn.Module):
    """Images to codes: DCGAN's, the first and last layer without batch norm."""

    def __init__(self, side: int, widths: list[int], channels: int, code: int) -> None:
        super().__init__()
        ins = [channels, *widths[:-1]]
        pairs = zip(ins, widths, strict=True)
        self.convs = nn.ModuleList(nn.Conv2d(c, d, 4, 2, 1, bias=False) for c, d in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(d) for d in widths[1:])
        self.code = nn.Conv2d(widths[-1], code, side >> len(widths), bias=False)

    def forward(self, images: Float[Tensor, "m c h w"]) -> Float[Tensor, "m d"]:
        """Codes of m images."""
        x = F.leaky_relu(self.convs[0](images), SLOPE)
        for conv, norm in zip(self.convs[1:], self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), SLOPE)
        return self.code(x).flatten(1)


class ImageDecoder(nn.Module):
    """Contents to images in [0, 1]: DCGAN's, the same way back."""

    def __init__(self, side: int, widths: list[int], channels: int, code: int) -> None:
        super().__init__()
        outs = widths[::-1]
        first = nn.ConvTranspose2d(code, outs[0], side >> len(widths), bias=False)
        pairs = pairwise([*outs, channels])
        ups = [nn.ConvTranspose2d(c, d, 4, 2, 1, bias=False) for c, d in pairs]
        self.convs = nn.ModuleList([first, *ups])
        self.norms = nn.ModuleList(nn.BatchNorm2d(d) for d in outs)

    def forward(self, code: Float[Tensor, "m d"]) -> Float[Tensor, "m c h w"]:
        """Images of m codes."""
        x = code[:, :, None, None]
        for conv, norm in zip(self.convs, self.norms, strict=False):
            x = F.relu(norm(conv(x)))
        return torch.sigmoid(self.convs[-1](x))


class GaussianHead(nn.Module):
    """Features to a Gaussian whose standard deviations are a softplus."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mean, self.deviation = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs)

    @torch.no_grad()
    def begin_at(self, mean: Float[Tensor, " z"], std: Float[Tensor, " z"]) -> None:
        """Set the biases so that features of 0 give this Gaussian."""
        self.mean.bias.copy_(mean)
        self.deviation.bias.copy_(std.expm1().log())

    def forward(self, features: Float[Tensor, "n b d"]) -> Gaussian:
        """One Gaussian for each of n x b features, in float32."""
        std = F.softplus(self.deviation(features).float()).clamp(min=1e-6)  # Its log is taken.
        return Gaussian(self.mean(features).float(), 2 * std.log())


class PoseNetwork(nn.Module):
    """Seen frames to the Gaussians of all poses: a CNN and an LSTM over time and components.

    Component i reads, at each frame, the frame's code and what component i - 1 made of the frame;
    then it goes on without frames.
    """

    def __init__(self, c: Config, spec: ClipSpec, widths: list[int]) -> None:
        super().__init__()
        self.num_components = c.num_components
        self.encoder = ImageEncoder(spec.size, widths, spec.channels, c.image_code)
        self.reader = nn.LSTM(c.image_code + c.rnn_size, c.rnn_size)
        self.foreteller = nn.LSTMCell(2 * c.rnn_size, c.rnn_size)
        self.starter = nn.LSTM(c.rnn_size, c.rnn_size)
        self.start = GaussianHead(c.rnn_size, POSE)
        self.transition = GaussianHead(c.rnn_size, POSE)

    def forward(self, seen: Float[Tensor, "f b c h w"], total: int) -> tuple[Gaussian, Gaussian]:
        """Gaussians of first poses, n = o, and of changes, n = o t with components slowest.

        Args:
            seen: frames in [0, 1].
            total: frames T, of which those that are not seen are foretold.
        """
        f, batch = seen.shape[:2]
        codes = self.encoder(seen.flatten(0, 1)).unflatten(0, (f, batch))
        beside = codes.new_zeros(total, batch, self.reader.hidden_size)
        components = []
        for _ in range(self.num_components):
            past, (hidden, cell) = self.reader(torch.cat([codes, beside[:f]], dim=2))
            future = self.foretell((hidden[0], cell[0]), beside[f:])
            beside = torch.cat([past, future])
            components.append(beside)
        states = torch.stack(components)

        # First poses are told apart by an LSTM over components that reads the first frame's states.
        first, _ = self.starter(states[:, 0])
        return self.start(first), self.transition(states.flatten(0, 1))

    def foretell(
        self, state: tuple[Tensor, Tensor], beside: Float[Tensor, "n b d"]
    ) -> Float[Tensor, "n b d"]:
        """Go on for n frames from what was made of the last one, beside the component before."""
        hidden, cell = state
        drawn = []
        for other in beside:
            hidden, cell = self.foreteller(torch.cat([hidden, other], dim=1), (hidden, cell))
            drawn.append(hidden)
        return torch.stack(drawn)


class Network(nn.Module):
    """Pose network, object encoder, content LSTM and object decoder."""

    def __init__(self, c: Config, spec: ClipSpec) -> None:
        super().__init__()
        widths, side = level_widths(spec.size, c.frame_channels), spec.size // 2
        self.poses = PoseNetwork(c, spec, widths)
        self.encoder = ImageEncoder(side, widths[:-1], spec.channels, c.content)
        self.reader = nn.LSTM(c.content, c.rnn_size)
        self.content = GaussianHead(c.rnn_size, c.content)
        self.decoder = ImageDecoder(side, widths[:-1], spec.channels, c.content)


# ---- The model -----------------------------------------------------------------------------------


def constrain(pose: Float[Tensor, "*p 3"], scale: float) -> Float[Tensor, "*p 3"]:
    """Keep scales within 1 of `scale`, and at least a corner of each box in sight.

    Centers of boxes, see `box_centers`, come to lie within 1 - 0.5 / s of the frame's.
    """
    s = pose[..., :1].clamp(scale - 1, scale + 1)
    return torch.cat([s, torch.tanh(pose[..., 1:]) * (s - 0.5)], dim=-1)


class Latents(NamedTuple):
    """What a clip is made of: drawn from the posterior, and the posterior."""

    pose: Float[Tensor, "o t b 3"]
    code: Float[Tensor, "o b d"]
    start: Gaussian
    transition: Gaussian
    content: Gaussian


class DDPAE(nn.Module):
    """DDPAE: given the first frames, draw the frames that follow."""

    takes = frozenset({"context"})
    makes = frozenset({"video"})
    deterministic = True
    """Futures are drawn from the means, as released: all samples of a clip are the same."""

    def __init__(self, config: Config, spec: ClipSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.generator = Network(config, spec)
        self.apply(init_weights)
        if config.choice("start") == "sure":
            poses, std = self.generator.poses, torch.tensor(START_STD)
            poses.start.begin_at(torch.tensor([config.scale, 0.0, 0.0]), std / 10)
            poses.transition.begin_at(
                torch.zeros(POSE), torch.full_like(std, config.transition_std / 10)
            )

    def phases(self) -> dict[str, nn.Module]:
        """All there is, in one phase."""
        return {"generator": self.generator}

    def infer(
        self, seen: Float[Tensor, "f b c h w"], total: int, generator: Generator | None = None
    ) -> Latents:
        """Poses in all frames and contents, of the seen frames.

        Args:
            seen: frames in [0, 1].
            total: frames T; those that are not seen are foretold.
            generator: source of noise; None: the means.
        """
        net, c = self.generator, self.config
        start, transition = net.poses(seen, total)
        change = draw_from(transition, generator).unflatten(0, (c.num_components, total))
        first = draw_from(start, generator)
        pose = constrain(first[:, None] + change.cumsum(dim=1), c.scale)

        # What the boxes of the seen frames hold, into one content for each component.
        size, corners = self.spec.size // 2, c.choice("align_corners")
        objects = crop(seen, pose[:, : len(seen)], size, align_corners=corners)
        codes = net.encoder(objects.flatten(0, 2)).unflatten(0, objects.shape[:3])
        read, _ = net.reader(rearrange(codes, "o f b d -> f (o b) d"))
        content = net.content(read[-1].unflatten(0, (c.num_components, -1)))
        return Latents(pose, draw_from(content, generator), start, transition, content)

    def draw(self, latents: Latents) -> Float[Tensor, "t b c h w"]:
        """The sum of all components, each its object pasted into its boxes, at most 1."""
        pose, code = latents.pose, latents.code
        objects = self.generator.decoder(code.flatten(0, 1)).unflatten(0, code.shape[:2])
        corners = self.config.choice("align_corners")
        components = paste(objects[:, None], pose, self.spec.size, align_corners=corners)
        return components.sum(dim=0).clamp(max=1)

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        """The evidence lower bound of the whole clip, with the divergences in closed form."""
        del step
        c = self.config
        if clip.video is None or clip.video.shape[1] <= c.seen:
            raise ValueError(f"DDPAE trains on clips of more than seen={c.seen} frames")
        x = rearrange(clip.video, "b t c h w -> t b c h w")
        z = self.infer(x[: c.seen], len(x), generator)
        mse = reconstruction(self.draw(z), x)
        kl = {
            "kl_start": kl_divergence(z.start, normal((c.scale, 0.0, 0.0), START_STD, z.pose)),
            "kl_transition": kl_divergence(
                z.transition, normal((0.0,) * POSE, (c.transition_std,) * POSE, z.pose)
            ),
            "kl_content": kl_divergence(z.content, normal((0.0,), (1.0,), z.pose)),
        }
        bound = mse / (2 * c.pixel_std**2) + sum(kl.values()) / x[0, 0].numel()
        yield "generator", Loss(bound, {"mse": mse, **kl})

    @torch.no_grad()
    def sample(self, given: Clip, *, num_samples: int, generator: Streams) -> Clip:
        """Continue each clip, `num_samples` times the same.

        Always `ROWS` clips at a time, the last filled up: a future is the same to the bit in any
        batch.

        Args:
            given: the seen frames; `given.spec.frames` sets the number T of frames.
            num_samples: copies per clip, K.
            generator: not drawn from.

        Returns:
            b * K clips of T frames, the seen ones first, as they were given.

        Raises:
            ValueError: if no frame was given, or none is left to draw.
        """
        del generator
        if given.video is None:
            raise ValueError("DDPAE needs seen frames to continue")
        video, total = given.video, given.spec.frames
        f, count = video.shape[1], len(given)
        if not 1 <= f < total:
            raise ValueError(f"{f} seen frames of {total}: between 1 and {total - 1} must be given")
        x = rearrange(video, "b t c h w -> t b c h w")
        rows = torch.arange(math.ceil(count / ROWS) * ROWS, device=x.device).clamp(max=count - 1)
        training = self.training
        self.eval()
        try:
            made = [self.draw(self.infer(x[:, part], total))[f:] for part in rows.split(ROWS)]
        finally:
            self.train(training)
        future = rearrange(torch.cat(made, dim=1)[:, :count], "t b c h w -> b t c h w")
        frames = torch.cat([video, future.float()], dim=1)
        return given.replace(video=frames, spec=given.spec.with_frames(total)).repeat(num_samples)


def draw_from(gaussian: Gaussian, generator: Generator | None) -> Float[Tensor, "n b z"]:
    """A reparameterized sample, or the mean if there is no generator."""
    if generator is None:
        return gaussian.mean
    mean = gaussian.mean
    return gaussian.sample(torch.randn(mean.shape, generator=generator, device=mean.device))


def normal(mean: tuple[float, ...], std: tuple[float, ...], like: Tensor) -> Gaussian:
    """A diagonal Gaussian of these numbers, the same for every step and clip."""
    return Gaussian(like.new_tensor(mean)[None, None], 2 * like.new_tensor(std).log()[None, None])
