"""Sound2Sight: Generating Visual Dynamics from Sound and Context (Chatterjee, Cherian, ECCV 2020).

A few seen frames and the whole sound -> many plausible futures.  Per step, two causal transformers
read the frames and the sound so far, an LSTM turns both into a Gaussian (the stochastic prior), and
a predictor LSTM with a DCGAN decoder draws the next frame from the last one and a sample of it.  A
multimodal discriminator judges single frames, short motions, and motions with their sound.

Training is teacher-forced: no recurrence passes through generated pixels, so a whole clip is one
parallel pass (`teacher_forced`).  Sampling encodes what is given once per clip, then steps all
futures together from cached states (`sample`).

Indices: frames x[0] ... x[T-1], of which the first F are seen; step n = 0 ... T-2 draws x[n+1]
from x[0] ... x[n] and sound chunks 1 ... n+1.  Tensors inside are time-major: (t, b, ...).

Where the released code and the paper's sense differ, `Config` has a field, set by `fidelity`.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn

from soundsight.contract import Loss, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.spectrogram import chunk_stft
from soundsight.nn.causal import CausalLSTM, CausalTransformer
from soundsight.nn.chunk_encoder import ChunkEncoder
from soundsight.nn.dcgan import FrameDecoder, FrameEncoder, init_weights
from soundsight.nn.discriminator import AudioVisualDiscriminator, Game, Rules
from soundsight.nn.latent import Gaussian, GaussianLSTM, Predictor, kl_divergence
from soundsight.nn.reconstruction import reconstruction

FIDELITY: dict[str, dict[str, Any]] = {
    "paper": {
        "z_source": "prior", "train_discriminator_encoders": False, "bounded_logits": True,
        "negatives": "next_clip", "generator_alignment": True, "gamma": "schedule",
        "batch_norm": "per_step", "log_spectrogram": False, "gan_from_epoch": 1,
        "small_linear": True,
    },
    "fixed": {
        "z_source": "posterior", "train_discriminator_encoders": True, "bounded_logits": False,
        "negatives": "mixed", "generator_alignment": False, "gamma": "adaptive",
        "batch_norm": "pooled", "log_spectrogram": True, "gan_from_epoch": 5,
        "small_linear": False,
    },
}  # fmt: skip
"""What each fidelity makes of the fields of `Config` that are None."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Config:
    """Sound2Sight's sizes, losses and variants; the defaults are the paper's sizes."""

    kind: Literal["sound2sight"] = "sound2sight"
    fidelity: Literal["paper", "fixed"] = "fixed"
    """`paper`: as released, quirks included; `fixed`: as it should have been."""
    seen: PositiveInt = 5
    """Seen frames F."""
    audio: bool = True
    """Whether it hears; False is the ablation "Ours - No audio"."""
    code: PositiveInt = 128
    """Width of frame and sound codes."""
    z_dim: PositiveInt = 10
    """Width of the stochastic latent z_t."""
    rnn_size: PositiveInt = 256
    """Hidden units of every LSTM."""
    frame_channels: PositiveInt = 64
    """Channels of the first layer of the frame networks."""
    audio_channels: PositiveInt = 64
    """Channels of the first layer of the sound networks."""
    n_fft: int = Field(default=44, ge=2)
    """Samples of one analysis window of the chunk spectrogram."""
    hop_length: PositiveInt = 22
    """Samples between windows."""
    temporal: Literal["transformer", "lstm"] = "transformer"
    """What reads the past; "lstm" is the ablation of figure 5a."""
    layers: PositiveInt = 1
    """Transformer layers (the paper says 4 in section 3 and 1 in section 4)."""
    discriminator: Literal["lstm", "convlstm", "none"] = "lstm"
    """Motion discriminator: on codes, on 256 feature maps, or no discriminator at all."""
    motion: bool = True
    """Motion-dynamics (MD) terms of equation 3; False leaves the image discriminator alone."""
    alignment: bool = True
    """Audio-alignment (AA) terms of equation 3."""
    position_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout after the transformers' positions are added."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout inside the transformers' layers."""
    beta: float = Field(default=1e-4, ge=0)
    """Weight of the KL divergence, relative to the mean squared error per pixel."""
    last_frame_skip: bool = False
    """Skip connections from the last input frame instead of the last seen one."""
    steps_per_epoch: PositiveInt = 72
    """Training steps that schedules count as one epoch (8,000 clips in batches of 110)."""
    z_source: Literal["prior", "posterior", "mix"] | None = None
    """Where training draws z.  paper: prior, so that the posterior never learns from pixels;
    fixed: posterior, the evidence lower bound.  "mix": either, by clip."""
    posterior_share: float = Field(default=0.5, ge=0, le=1)
    """Share of the clips whose z comes from the posterior under "mix"."""
    train_discriminator_encoders: bool | None = None
    """paper: False, the discriminator's CNNs keep their random weights; fixed: True."""
    bounded_logits: bool | None = None
    """paper: True, two logits, for windows under a tanh; fixed: False, one free logit."""
    negatives: Literal["next_clip", "mixed"] | None = None
    """Mismatched sound.  paper: the next clip's; fixed: half of it the same clip's, >= 3 frames
    away."""
    generator_alignment: bool | None = None
    """paper: True, the generator is rewarded when mismatched sound passes; fixed: False."""
    gamma: Literal["schedule", "paper", "adaptive"] | None = None
    """Weight of the adversarial loss.  schedule (paper): as released, 1e-4 to 1e-2 by epoch;
    paper: 1e-4, ten times more every 300 epochs; adaptive (fixed): such that its gradient at the
    pixels is a tenth of the reconstruction's, at most 1e-2."""
    batch_norm: Literal["per_step", "pooled"] | None = None
    """paper: per_step, statistics of one time step; fixed: pooled, of all frames of the batch."""
    log_spectrogram: bool | None = None
    """paper: False, linear magnitudes; fixed: True, log(1 + 100 magnitude) / log 101."""
    gan_from_epoch: NonNegativeInt | None = None
    """First epoch with an adversarial loss for the generator; the discriminator starts one epoch
    before.  paper: 1; fixed: 5."""

    small_linear: bool | None = None
    """First weights of linear maps.  paper: True, N(0, 0.02) as for convolutions, under which z
    and the sound behind it begin faint; fixed: False, torch's defaults."""

    def choice(self, field: str) -> Any:
        """The value of a field, or what `fidelity` makes of it."""
        value = getattr(self, field)
        return FIDELITY[self.fidelity][field] if value is None else value

    def batches(self, steps: int) -> int:
        """How many separate batches the frames of `steps` time steps are to batch norm."""
        return steps if self.choice("batch_norm") == "per_step" else 1

    def build(self, spec: ClipSpec) -> "Sound2Sight":
        """The model with fresh weights for clips of this spec."""
        return Sound2Sight(self, spec)


# ---- Networks ------------------------------------------------------------------------------------


# ---- Losses --------------------------------------------------------------------------------------


def adaptive_weight(reconstruction_gradient: Tensor, adversarial_gradient: Tensor) -> Tensor:
    """Weight that makes the adversarial gradient a tenth of the other, at most 1e-2."""
    ratio = reconstruction_gradient.norm() / (adversarial_gradient.norm() + 1e-12)
    return (0.1 * ratio).clamp(max=1e-2).detach()


def scheduled_weight(kind: str, epoch: int) -> float:
    """Gamma by epoch: as released (`schedule`), or as written in the paper (`paper`)."""
    if kind == "paper":
        return 1e-4 * 10.0 ** (epoch // 300)
    return next((g for last, g in ((300, 1e-4), (600, 5e-4), (900, 1e-3)) if epoch <= last), 1e-2)


# ---- The model -----------------------------------------------------------------------------------


class Forecast(NamedTuple):
    """What a teacher-forced pass computes for steps n = 0 ... T-2."""

    frames: Float[Tensor, "n b c h w"]
    prior: Gaussian
    posterior: Gaussian


class Context(NamedTuple):
    """What all futures of a clip share, computed once per clip."""

    codes: Float[Tensor, "f b d"]
    heard: Float[Tensor, "n b d"] | None
    skips: list[Tensor]
    prior: Gaussian
    state: tuple[Tensor, Tensor]
    past: Any


class GeneratorNetwork(nn.Module):
    """Prediction network and multimodal stochastic network (Figures 2 and 3)."""

    def __init__(self, c: Config, spec: ClipSpec, bins: int, columns: int) -> None:
        super().__init__()
        inputs = 2 * c.code if c.audio else c.code
        self.encoder = FrameEncoder(spec.size, spec.channels, c.code, c.frame_channels)
        self.decoder = FrameDecoder(spec.size, spec.channels, c.code, c.frame_channels)
        self.prior_past, self.posterior_past = self.past(c), self.past(c)
        if c.audio:
            self.sound = ChunkEncoder(bins, columns, c.code, c.audio_channels)
            self.heard_past = self.past(c)
        self.prior = GaussianLSTM(inputs, c.rnn_size, c.z_dim)
        self.posterior = GaussianLSTM(inputs, c.rnn_size, c.z_dim)
        self.predictor = Predictor(c.code, c.z_dim, c.rnn_size)

    @staticmethod
    def past(c: Config) -> CausalTransformer | CausalLSTM:
        """One of the three encoders of the past."""
        if c.temporal == "lstm":
            return CausalLSTM(c.code)
        return CausalTransformer(
            c.code, layers=c.layers, position_dropout=c.position_dropout, dropout=c.dropout
        )


class Sound2Sight(nn.Module):
    """Sound2Sight: given the first frames and the whole sound, draw the frames that follow."""

    makes = frozenset({"video"})

    def __init__(self, config: Config, spec: ClipSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.takes = frozenset({"audio", "context"} if config.audio else {"context"})
        bins = config.n_fft // 2 + 1
        columns = 1 + spec.samples_per_frame // config.hop_length
        self.generator = GeneratorNetwork(config, spec, bins, columns)
        plays = config.discriminator != "none"
        self.discriminator = self.build_discriminator(bins, columns) if plays else None
        self.apply(partial(init_weights, linear=config.choice("small_linear")))

    def build_discriminator(self, bins: int, columns: int) -> AudioVisualDiscriminator:
        """The discriminator, with encoders of its own."""
        c, spec = self.config, self.spec
        hears = c.audio and c.motion
        return AudioVisualDiscriminator(
            FrameEncoder(spec.size, spec.channels, c.code, c.frame_channels),
            ChunkEncoder(bins, columns, c.code, c.audio_channels) if hears else None,
            code=c.code,
            hidden=c.rnn_size,
            motion=c.motion,
            convolutional=c.discriminator == "convlstm",
            bounded=c.choice("bounded_logits"),
        )

    def rules(self) -> Rules:
        """The adversarial game of Equation 3; the released one counts the real side twice."""
        c = self.config
        return Rules(
            train_encoders=c.choice("train_discriminator_encoders"),
            per_step=c.choice("batch_norm") == "per_step",
            alignment=c.alignment,
            mixed=c.choice("negatives") == "mixed",
            generator_alignment=c.choice("generator_alignment"),
            real_weight=1.0 if c.fidelity == "paper" else 0.5,
            smoothing=0.0 if c.choice("bounded_logits") else 0.1,
        )

    def phases(self) -> dict[str, nn.Module]:
        """The generator and, unless it was left out, the discriminator."""
        if self.discriminator is None:
            return {"generator": self.generator}
        return {"generator": self.generator, "discriminator": self.discriminator}

    def chunks(self, clip: Clip) -> Float[Tensor, "t b 1 f k"] | None:
        """The spectrogram of every frame's sound, in [0, 1]; None for a model without ears."""
        if not self.config.audio:
            return None
        if clip.audio is None:
            raise ValueError("this Sound2Sight hears: it needs clips with sound (or audio=False)")
        chunks = chunk_stft(
            clip.audio,
            samples_per_frame=self.spec.samples_per_frame,
            n_fft=self.config.n_fft,
            hop_length=self.config.hop_length,
            compression="log" if self.config.choice("log_spectrogram") else "none",
        )
        return rearrange(chunks, "b t f k -> t b 1 f k")

    def hear(self, chunks: Float[Tensor, "t b 1 f k"]) -> Float[Tensor, "n b d"]:
        """O_t of steps n = 0 ... T-2: the sound up to and with chunk n + 1 (chunk 0 is unused)."""
        net = self.generator
        codes = net.sound(chunks[1:].flatten(0, 1), self.config.batches(len(chunks) - 1))
        return net.heard_past(codes.unflatten(0, (len(chunks) - 1, -1)))

    def teacher_forced(
        self,
        x: Float[Tensor, "t b c h w"],
        chunks: Float[Tensor, "t b 1 f k"] | None,
        noise: Float[Tensor, "n b z"],
        from_posterior: Bool[Tensor, "b 1"],
    ) -> Forecast:
        """All steps at once, each from real frames (Figure 2, training).

        Args:
            x: real frames in [0, 1].
            chunks: sound, see `chunks`.
            noise: standard normal, of n = t - 1 steps.
            from_posterior: by clip, whether z comes from the posterior or the prior.
        """
        net, steps, batch = self.generator, len(x) - 1, x.shape[1]
        seen = min(self.config.seen, steps)

        # Encode every frame and every sound once.
        codes, maps = net.encoder(x.flatten(0, 1), self.config.batches(steps + 1))
        codes = codes.unflatten(0, (steps + 1, batch))
        heard = None if chunks is None else self.hear(chunks)

        # The stochastic network: what was seen before (prior), and with the target (posterior).
        def join(past: Tensor) -> Tensor:
            return past if heard is None else torch.cat([past, heard], dim=2)

        prior, _ = net.prior(join(net.prior_past(codes[:-1])))
        posterior, _ = net.posterior(join(net.posterior_past(codes[1:])))
        z = torch.where(from_posterior, posterior.sample(noise), prior.sample(noise))

        # The prediction network; from the last seen frame on, all steps share its skips.
        eta, _ = net.predictor(torch.cat([codes[:-1], z.to(codes)], dim=2))
        own = steps if self.config.last_frame_skip else seen
        skips = net.decoder.project_skips([level[: own * batch] for level in maps])
        shared = (steps - own + 1) * batch if own < steps else 0
        frames = net.decoder(eta.flatten(0, 1), skips, shared, self.config.batches(steps))
        return Forecast(frames.unflatten(0, (steps, batch)), prior, posterior)

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        """Equations 2 and 3; the order of the phases is the released code's."""
        c = self.config
        if clip.video is None or clip.video.shape[1] <= c.seen:
            raise ValueError(f"Sound2Sight trains on clips of more than seen={c.seen} frames")
        x = rearrange(clip.video, "b t c h w -> t b c h w")
        noise = torch.randn(len(x) - 1, x.shape[1], c.z_dim, generator=generator, device=x.device)
        share = {"prior": 0.0, "mix": c.posterior_share, "posterior": 1.0}[c.choice("z_source")]
        coin = torch.rand(x.shape[1], 1, generator=generator, device=x.device)
        chunks = self.chunks(clip)
        forecast = self.teacher_forced(x, chunks, noise, coin < share)

        # Equation 2.
        mse = reconstruction(forecast.frames, x[1:])  # First term of equation 2, as released.
        kl = kl_divergence(forecast.posterior, forecast.prior)
        total, terms = mse + c.beta * kl, {"mse": mse, "kl": kl}

        # Equation 3, once the discriminator plays along.
        epoch, first = step // c.steps_per_epoch, c.choice("gan_from_epoch")
        game = None
        if self.discriminator is not None and epoch >= first - 1:
            game = Game(self.rules(), self.discriminator, x[1:], forecast.frames, chunks, generator)
            if epoch >= first:
                adversarial, parts = game.generator_loss()
                total = total + self.weighed(adversarial, mse, forecast.frames, epoch)
                terms |= parts
        yield "generator", Loss(total, terms)
        if game is not None:
            yield "discriminator", game.discriminator_loss()

    def weighed(self, adversarial: Tensor, mse: Tensor, fake: Tensor, epoch: int) -> Tensor:
        """Gamma times the adversarial loss."""
        kind = self.config.choice("gamma")
        if kind != "adaptive":
            return scheduled_weight(kind, epoch) * adversarial
        # Back to the pixels once: the surrogate hands this gradient on, weighed.
        (gradient,) = torch.autograd.grad(adversarial, fake)
        (reference,) = torch.autograd.grad(mse, fake, retain_graph=True)
        gamma = adaptive_weight(reference, gradient)
        surrogate = (gradient * fake).sum()
        return gamma * (surrogate + (adversarial - surrogate).detach())

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
            given: the seen frames and the whole sound, which sets the number T of frames; without
                sound, `given.spec.frames` does.
            num_samples: futures per clip, K.
            generator: one stream per clip.
            temperature: factor of the standard deviation of z; 0 takes the mean.
            rows_at_once: futures stepped together; 64 keep the memory small and a CPU's cache warm.

        Returns:
            b * K clips of T frames, the seen ones first.

        Raises:
            ValueError: if no frame was given, or none is left to draw.
        """
        video = given.video
        if video is None:
            raise ValueError("Sound2Sight needs seen frames to continue")
        total = given.spec.frames
        if self.config.audio and given.audio is not None:
            total = given.audio.shape[1] // self.spec.samples_per_frame
        f, k = video.shape[1], num_samples
        if not 1 <= f < total:
            raise ValueError(f"{f} seen frames of {total}: between 1 and {total - 1} must be given")
        noise = generator.normal(k, total - 1, self.config.z_dim).to(video) * temperature

        training = self.training
        self.eval()
        try:
            context = self.context(given, total)
            rows = torch.arange(len(given), device=video.device).repeat_interleave(k)
            futures = [
                self.rollout(context, rows[part], noise[part].transpose(0, 1))
                for part in torch.arange(len(rows), device=video.device).split(rows_at_once)
            ]
        finally:
            self.train(training)
        clip = given.repeat(k)
        frames = torch.cat([video.repeat_interleave(k, dim=0), torch.cat(futures)], dim=1)
        return clip.replace(video=frames, spec=clip.spec.with_frames(total))

    def context(self, given: Clip, total: int) -> Context:
        """Encode what is given of each clip, and run the prior over the seen frames."""
        assert given.video is not None
        net = self.generator
        x = rearrange(given.video, "b t c h w -> t b c h w")
        codes, maps = net.encoder(x.flatten(0, 1))
        codes = codes.unflatten(0, x.shape[:2])
        chunks = self.chunks(given)
        heard = None if chunks is None else self.hear(chunks)
        past, cache = net.prior_past.prefill(codes[:-1], total - 1)
        joined = past if heard is None else torch.cat([past, heard[: len(past)]], dim=2)
        prior, state = net.prior(joined)
        skips = net.decoder.project_skips([level[-x.shape[1] :] for level in maps])
        return Context(codes, heard, skips, prior, state, cache)

    def rollout(
        self, context: Context, rows: Tensor, noise: Float[Tensor, "n r z"]
    ) -> Float[Tensor, "r i c h w"]:
        """Futures of the clips `rows`, each step from the frame drawn before."""
        net, seen = self.generator, len(context.codes)
        skips = [skip[rows] for skip in context.skips]
        heard = None if context.heard is None else context.heard[:, rows]
        cache = context.past.rows(rows)
        state = context.state and tuple(s[:, rows] for s in context.state)

        # Warm up on the seen steps: here the futures' predictor states part.
        prior = Gaussian(context.prior.mean[:, rows], context.prior.logvar[:, rows])
        memory = None
        if seen > 1:
            z = prior.sample(noise[: seen - 1])
            _, memory = net.predictor(torch.cat([context.codes[:-1, rows], z], dim=2))

        frames: list[Tensor] = []
        code = context.codes[-1, rows]
        for n in range(seen - 1, len(noise)):
            past, cache = net.prior_past.step(code, cache)
            joined = past if heard is None else torch.cat([past, heard[n]], dim=1)
            now, state = net.prior(joined[None], state)
            z = now.sample(noise[n : n + 1])
            eta, memory = net.predictor(torch.cat([code[None], z.to(code)], dim=2), memory)
            frame = net.decoder(eta[0], skips, len(rows))
            frames.append(frame.float())
            if n + 1 < len(noise):
                code, maps = net.encoder(frame)
                if self.config.last_frame_skip:
                    skips = net.decoder.project_skips(maps)
        return torch.stack(frames, dim=1)

    @torch.no_grad()
    def realness(self, clip: Clip) -> dict[str, Float[Tensor, "b t"]]:
        """How probably real the frames of a whole clip are to the discriminator.

        Returns:
            "frame": D_std on each frame from the fourth on; "window": D on the windows that end
            there (with the clip's sound), in [0, 1].  Source: the fooling rate of section 4.1.
        """
        if self.discriminator is None or clip.video is None:
            raise ValueError("the fooling rate needs a model with a discriminator, and video")
        clip = clip.to(next(self.parameters()).device)
        training = self.training
        self.eval()
        try:
            game = Game(
                self.rules(),
                self.discriminator,
                rearrange(clip.parts()["video"], "b t c h w -> t b c h w")[1:],
                None,
                self.chunks(clip),
                None,
            )
            logits = game.judgements()
        finally:
            self.train(training)
        probabilities = {
            name: torch.sigmoid(v[..., 0]) if v.shape[-1] == 1 else v.softmax(dim=-1)[..., 1]
            for name, v in logits.items()
        }
        return {name: value.transpose(0, 1) for name, value in probabilities.items()}
