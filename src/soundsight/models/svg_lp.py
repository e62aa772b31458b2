"""SVG-LP: Stochastic Video Generation with a Learned Prior (Denton and Fergus, ICML 2018).

A few seen frames -> many plausible futures; sound is not heard.  Per step, a prior LSTM turns the
code of the last frame into a Gaussian, a posterior LSTM does it with the frame to be drawn, and a
predictor LSTM with a DCGAN decoder draws that frame from the last one and a sample: of the
posterior while training, of the prior while sampling.  Sound2Sight grew out of it, and has it as a
baseline (table 1, "SVG-LP").

Indices: frames x[0] ... x[T-1], of which the first F are seen; step n = 0 ... T-2 draws x[n+1].
Tensors inside are time-major: (t, b, ...).  All steps of a clip are trained in one parallel pass.

Where the released code and the paper's sense differ, `Config` has a field, set by `fidelity`:
(1) from which seen frame skip connections come, (2) batch norm while sampling, (3) batch norm while
training, (4) the first weights of linear maps.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int64
from pydantic import ConfigDict, Field, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn

from soundsight.contract import Loss, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.nn.dcgan import FrameDecoder, FrameEncoder, init_weights
from soundsight.nn.latent import Gaussian, GaussianLSTM, Predictor, kl_divergence
from soundsight.nn.reconstruction import reconstruction

FIDELITY: dict[str, dict[str, Any]] = {
    "paper": {
        "skips_from": "last_but_one", "sampling_norm": "batch", "batch_norm": "per_step",
        "small_linear": True,
    },
    "fixed": {
        "skips_from": "last", "sampling_norm": "running", "batch_norm": "pooled",
        "small_linear": False,
    },
}  # fmt: skip
"""What each fidelity makes of the fields of `Config` that are None."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Config:
    """SVG-LP's sizes and variants; the defaults are the sizes for one moving digit."""

    kind: Literal["svg_lp"] = "svg_lp"
    fidelity: Literal["paper", "fixed"] = "fixed"
    """`paper`: as released, quirks included; `fixed`: as it should have been."""
    seen: PositiveInt = 5
    """Seen frames F."""
    code: PositiveInt = 128
    """Width of frame codes, |h|."""
    z_dim: PositiveInt = 10
    """Width of the stochastic latent z_t."""
    rnn_size: PositiveInt = 256
    """Hidden units of every LSTM."""
    frame_channels: PositiveInt = 64
    """Channels of the first layer of the frame networks."""
    beta: float = Field(default=1e-4, ge=0)
    """Weight of the KL divergence, relative to the mean squared error per pixel."""
    last_frame_skip: bool = False
    """Skip connections from the last input frame instead of a seen one."""
    skips_from: Literal["last_but_one", "last"] | None = None
    """Seen frame whose skip connections all predicted frames share.  paper: last_but_one, an
    off-by-one of the released loop; fixed: last."""
    sampling_norm: Literal["batch", "running"] | None = None
    """Batch norm of the frame networks while sampling.  paper: batch, the statistics of the clips
    that are continued together, one future of each (a clip alone has none, and gets the running
    ones), so that futures depend on the batch; fixed: running averages of training."""
    batch_norm: Literal["per_step", "pooled"] | None = None
    """Batch norm while training.  paper: per_step, statistics of one time step; fixed: pooled, of
    all frames of the batch."""
    small_linear: bool | None = None
    """First weights of linear maps.  paper: True, N(0, 0.02) as for convolutions; fixed: False,
    torch's defaults."""

    def choice(self, field: str) -> Any:
        """The value of a field, or what `fidelity` makes of it."""
        value = getattr(self, field)
        return FIDELITY[self.fidelity][field] if value is None else value

    def batches(self, steps: int) -> int:
        """How many separate batches the frames of `steps` time steps are to batch norm."""
        return steps if self.choice("batch_norm") == "per_step" else 1

    def own_skips(self, seen: int) -> int:
        """How many steps use the skips of their own input frame, if `seen` frames are given.

        All later steps use those of the last of these, x[own_skips - 1].
        """
        return seen if self.choice("skips_from") == "last" else max(seen - 1, 1)

    def build(self, spec: ClipSpec) -> "SVGLP":
        """The model with fresh weights for clips of this spec."""
        return SVGLP(self, spec)


class Forecast(NamedTuple):
    """What a teacher-forced pass computes for steps n = 0 ... T-2."""

    frames: Float[Tensor, "n b c h w"]
    prior: Gaussian
    posterior: Gaussian


class Context(NamedTuple):
    """What all futures of a clip share, computed once per clip."""

    codes: Float[Tensor, "f b d"]
    skips: list[Tensor]
    posterior: Gaussian
    state: tuple[Tensor, Tensor] | None
    """Of the prior LSTM after steps n = 0 ... F-2."""


class GeneratorNetwork(nn.Module):
    """Frame encoder and decoder, prior, posterior and frame predictor (section 3)."""

    def __init__(self, c: Config, spec: ClipSpec) -> None:
        super().__init__()
        self.encoder = FrameEncoder(spec.size, spec.channels, c.code, c.frame_channels)
        self.decoder = FrameDecoder(spec.size, spec.channels, c.code, c.frame_channels)
        self.prior = GaussianLSTM(c.code, c.rnn_size, c.z_dim)
        self.posterior = GaussianLSTM(c.code, c.rnn_size, c.z_dim)
        self.predictor = Predictor(c.code, c.z_dim, c.rnn_size)


@contextlib.contextmanager
def batch_statistics(*networks: nn.Module) -> Iterator[None]:
    """Normalize by the statistics of each batch, as while training, and learn none of them."""
    kept = [(b, b.clone()) for network in networks for b in network.buffers()]
    modes = [network.training for network in networks]
    try:
        for network in networks:
            network.train()
        yield
    finally:
        for network, mode in zip(networks, modes, strict=True):
            network.train(mode)
        for buffer, value in kept:
            buffer.copy_(value)


class SVGLP(nn.Module):
    """SVG-LP: given the first frames, draw the frames that follow."""

    takes = frozenset({"context"})
    makes = frozenset({"video"})

    def __init__(self, config: Config, spec: ClipSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.generator = GeneratorNetwork(config, spec)
        self.apply(partial(init_weights, linear=config.choice("small_linear")))

    def phases(self) -> dict[str, nn.Module]:
        """All there is, in one phase."""
        return {"generator": self.generator}

    def teacher_forced(
        self, x: Float[Tensor, "t b c h w"], noise: Float[Tensor, "n b z"]
    ) -> Forecast:
        """All steps at once, each from real frames and a sample of the posterior.

        Args:
            x: real frames in [0, 1].
            noise: standard normal, of n = t - 1 steps.
        """
        net, steps, batch = self.generator, len(x) - 1, x.shape[1]

        # Encode every frame once.
        codes, maps = net.encoder(x.flatten(0, 1), self.config.batches(steps + 1))
        codes = codes.unflatten(0, (steps + 1, batch))

        # The prior has read x[0] ... x[n], the posterior x[1] ... x[n+1].
        prior, _ = net.prior(codes[:-1])
        posterior, _ = net.posterior(codes[1:])
        z = posterior.sample(noise)

        # Predict; from some seen frame on, all steps share its skips.
        eta, _ = net.predictor(torch.cat([codes[:-1], z.to(codes)], dim=2))
        own = steps if self.config.last_frame_skip else self.config.own_skips(self.config.seen)
        own = min(own, steps)
        skips = net.decoder.project_skips([level[: own * batch] for level in maps])
        shared = (steps - own + 1) * batch if own < steps else 0
        frames = net.decoder(eta.flatten(0, 1), skips, shared, self.config.batches(steps))
        return Forecast(frames.unflatten(0, (steps, batch)), prior, posterior)

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        """The evidence lower bound of section 3, its likelihood a mean squared error."""
        del step
        c = self.config
        if clip.video is None or clip.video.shape[1] <= c.seen:
            raise ValueError(f"SVG-LP trains on clips of more than seen={c.seen} frames")
        x = rearrange(clip.video, "b t c h w -> t b c h w")
        noise = torch.randn(len(x) - 1, x.shape[1], c.z_dim, generator=generator, device=x.device)
        forecast = self.teacher_forced(x, noise)
        mse = reconstruction(forecast.frames, x[1:])
        kl = kl_divergence(forecast.posterior, forecast.prior)
        yield "generator", Loss(mse + c.beta * kl, {"mse": mse, "kl": kl})

    # ---- Sampling --------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(
        self,
        given: Clip,
        *,
        num_samples: int,
        generator: Streams,
        temperature: float = 1.0,
        rows_at_once: int = 64,
    ) -> Clip:
        """Draw `num_samples` futures per clip.

        Args:
            given: the seen frames; `given.spec.frames` sets the number T of frames.
            num_samples: futures per clip, K.
            generator: one stream per clip.
            temperature: factor of the standard deviation of z; 0 takes the mean.
            rows_at_once: futures stepped together, unless batch norm wants those of all clips.

        Returns:
            b * K clips of T frames, the seen ones first.

        Raises:
            ValueError: if no frame was given, or none is left to draw.
        """
        video = given.video
        if video is None:
            raise ValueError("SVG-LP needs seen frames to continue")
        total, f, k = given.spec.frames, video.shape[1], num_samples
        if not 1 <= f < total:
            raise ValueError(f"{f} seen frames of {total}: between 1 and {total - 1} must be given")
        noise = generator.normal(k, total - 1, self.config.z_dim).to(video) * temperature

        # Futures that are stepped together; as released, those of one sample of every clip.
        rows = torch.arange(len(given) * k, device=video.device)
        together = self.config.choice("sampling_norm") == "batch" and len(given) > 1
        groups = rows.view(-1, k).T.unbind() if together else rows.split(rows_at_once)
        training = self.training
        self.eval()
        try:
            net = self.generator
            learned = contextlib.nullcontext()
            with batch_statistics(net.encoder, net.decoder) if together else learned:
                context = self.context(video)
                drawn = [self.rollout(context, g // k, noise[g].transpose(0, 1)) for g in groups]
        finally:
            self.train(training)
        future = torch.cat(drawn)[torch.cat(list(groups)).argsort()]
        frames = torch.cat([video.repeat_interleave(k, dim=0), future], dim=1)
        return given.repeat(k).replace(video=frames, spec=given.spec.with_frames(total))

    def context(self, video: Float[Tensor, "b f c h w"]) -> Context:
        """Encode the seen frames, and run posterior and prior over them."""
        net = self.generator
        x = rearrange(video, "b t c h w -> t b c h w")
        seen, batch = x.shape[:2]
        codes, maps = net.encoder(x.flatten(0, 1), seen)
        codes = codes.unflatten(0, (seen, batch))
        posterior, _ = net.posterior(codes[1:])
        _, state = net.prior(codes[:-1])
        # Until another frame is drawn, its input is the last seen one.
        last = seen if self.config.last_frame_skip else self.config.own_skips(seen)
        skips = net.decoder.project_skips(
            [level[(last - 1) * batch : last * batch] for level in maps]
        )
        return Context(codes, skips, posterior, state)

    def rollout(
        self, context: Context, rows: Int64[Tensor, " r"], noise: Float[Tensor, "n r z"]
    ) -> Float[Tensor, "r i c h w"]:
        """Futures of the clips `rows`, each step from the frame drawn before."""
        net, seen = self.generator, len(context.codes)
        skips = [skip[rows] for skip in context.skips]
        state = context.state and (context.state[0][:, rows], context.state[1][:, rows])

        # Warm up on the seen steps, whose targets are seen, too: z comes from the posterior.
        memory = None
        if seen > 1:
            posterior = Gaussian(*(part[:, rows] for part in context.posterior))
            z = posterior.sample(noise[: seen - 1])
            _, memory = net.predictor(torch.cat([context.codes[:-1, rows], z], dim=2))

        # From here on it comes from the prior.
        frames: list[Tensor] = []
        code = context.codes[-1, rows]
        for n in range(seen - 1, len(noise)):
            prior, state = net.prior(code[None], state)
            z = prior.sample(noise[n : n + 1])
            eta, memory = net.predictor(torch.cat([code[None], z.to(code)], dim=2), memory)
            frame = net.decoder(eta[0], skips, len(rows))
            frames.append(frame.float())
            if n + 1 < len(noise):
                code, maps = net.encoder(frame)
                if self.config.last_frame_skip:
                    skips = net.decoder.project_skips(maps)
        return torch.stack(frames, dim=1)
