"""Audio-Only: from sound to video by sequence to sequence (a baseline of Sound2Sight, ECCV 2020).

The whole sound -> the frames that belong to it, without a look at any frame.  One LSTM reads the
code of every chunk of sound; a second one begins where the first ended and writes a code for every
frame, which a DCGAN decoder without skip connections draws.  It is trained by the mean squared
error alone and draws one video per sound: all its samples are the same.

Its code was not released, and the paper calls it a sequence-to-sequence model and no more (section
4, table 1, "Audio Only").  The decoder is the one that the released code of Sound2Sight has beside
its own; sizes and features are Sound2Sight's.  Tensors inside are time-major: (t, b, ...).

Where a plain reading and a sound one differ, `Config` has a field, set by `fidelity`: (1) what the
second LSTM is given at each frame, (2) batch norm while training, (3) the scale of the spectrogram,
(4) the first weights of linear maps.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from pydantic import ConfigDict, Field, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Generator, Tensor, nn

from soundsight.contract import Loss, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.spectrogram import chunk_stft
from soundsight.nn.chunk_encoder import ChunkEncoder
from soundsight.nn.dcgan import SLOPE, StepBatchNorm, init_weights, level_widths
from soundsight.nn.reconstruction import reconstruction

FIDELITY: dict[str, dict[str, Any]] = {
    "paper": {
        "writer_input": "summary", "batch_norm": "per_step", "log_spectrogram": False,
        "small_linear": True,
    },
    "fixed": {
        "writer_input": "chunk", "batch_norm": "pooled", "log_spectrogram": True,
        "small_linear": False,
    },
}  # fmt: skip
"""What each fidelity makes of the fields of `Config` that are None."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Config:
    """Audio-Only's sizes and variants; the defaults are Sound2Sight's sizes."""

    kind: Literal["audio_only"] = "audio_only"
    fidelity: Literal["paper", "fixed"] = "fixed"
    """`paper`: a plain sequence-to-sequence model, trained as Sound2Sight was released; `fixed`:
    as it should have been."""
    seen: PositiveInt = 5
    """Seen frames F of the forecasts that it is compared in; it never looks at them."""
    code: PositiveInt = 128
    """Width of sound and frame codes."""
    rnn_size: PositiveInt = 256
    """Hidden units of both LSTMs, of two layers each."""
    frame_channels: PositiveInt = 64
    """Channels of the decoder's layer of largest maps."""
    audio_channels: PositiveInt = 64
    """Channels of the first layer of the sound network."""
    n_fft: int = Field(default=44, ge=2)
    """Samples of one analysis window of the chunk spectrogram."""
    hop_length: PositiveInt = 22
    """Samples between windows."""
    writer_input: Literal["summary", "chunk"] | None = None
    """What the second LSTM is given at each frame.  paper: summary, the first one's last output, so
    that all of the sound passes through its last state; fixed: chunk, the frame's own sound."""
    batch_norm: Literal["per_step", "pooled"] | None = None
    """paper: per_step, statistics of one time step; fixed: pooled, of all frames of the batch."""
    log_spectrogram: bool | None = None
    """paper: False, linear magnitudes; fixed: True, log(1 + 100 magnitude) / log 101."""
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

    def build(self, spec: ClipSpec) -> "AudioOnly":
        """The model with fresh weights for clips of this spec."""
        return AudioOnly(self, spec)


class PlainDecoder(nn.Module):
    """Codes to frames in [0, 1]: the DCGAN decoder without skips (released as `decoder_audio`)."""

    def __init__(self, size: int, channels: int, code: int, width: int = 64) -> None:
        super().__init__()
        widths = level_widths(size, width)
        outs = [*widths[::-1], channels]
        first = nn.ConvTranspose2d(code, outs[0], size >> len(widths))
        ups = [nn.ConvTranspose2d(c, d, 4, 2, 1) for c, d in pairwise(outs)]
        self.convs = nn.ModuleList([first, *ups])
        self.norms = nn.ModuleList(StepBatchNorm(d) for d in outs[:-1])

    def forward(self, code: Float[Tensor, "m d"], steps: int = 1) -> Float[Tensor, "m c h w"]:
        """Decode m codes, time-major, of `steps` separate batches (see `StepBatchNorm`)."""
        x = code[:, :, None, None]
        for conv, norm in zip(self.convs, self.norms, strict=False):
            x = F.leaky_relu(norm(conv(x), steps), SLOPE)
        return torch.sigmoid(self.convs[-1](x))


class GeneratorNetwork(nn.Module):
    """Sound encoder, the LSTM that reads, the LSTM that writes, and the frame decoder."""

    def __init__(self, c: Config, spec: ClipSpec) -> None:
        super().__init__()
        bins, columns = c.n_fft // 2 + 1, 1 + spec.samples_per_frame // c.hop_length
        self.sound = ChunkEncoder(bins, columns, c.code, c.audio_channels)
        self.reader = nn.LSTM(c.code, c.rnn_size, num_layers=2)
        inputs = c.rnn_size if c.choice("writer_input") == "summary" else c.code
        self.writer = nn.LSTM(inputs, c.rnn_size, num_layers=2)
        self.head = nn.Linear(c.rnn_size, c.code)
        self.decoder = PlainDecoder(spec.size, spec.channels, c.code, c.frame_channels)


class AudioOnly(nn.Module):
    """Audio-Only: given the whole sound, draw all frames."""

    takes = frozenset({"audio"})
    makes = frozenset({"video"})
    deterministic = True
    """All samples of a sound are the same."""

    def __init__(self, config: Config, spec: ClipSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.generator = GeneratorNetwork(config, spec)
        self.apply(partial(init_weights, linear=config.choice("small_linear")))

    def phases(self) -> dict[str, nn.Module]:
        """All there is, in one phase."""
        return {"generator": self.generator}

    def chunks(self, clip: Clip) -> Float[Tensor, "t b 1 f k"]:
        """The spectrogram of every frame's sound, in [0, 1]."""
        if clip.audio is None:
            raise ValueError("Audio-Only needs clips with sound: it is given nothing else")
        chunks = chunk_stft(
            clip.audio,
            samples_per_frame=self.spec.samples_per_frame,
            n_fft=self.config.n_fft,
            hop_length=self.config.hop_length,
            compression="log" if self.config.choice("log_spectrogram") else "none",
        )
        return rearrange(chunks, "b t f k -> t b 1 f k")

    def draw(self, chunks: Float[Tensor, "t b 1 f k"]) -> Float[Tensor, "t b c h w"]:
        """The frames of a sound, one for each of its chunks."""
        net, steps = self.generator, len(chunks)
        batches = self.config.batches(steps)
        codes = net.sound(chunks.flatten(0, 1), batches).unflatten(0, (steps, -1))

        # Read all of the sound, then write, beginning in the state that reading ended in.
        heard, state = net.reader(codes)
        summary = self.config.choice("writer_input") == "summary"
        told = heard[-1:].expand(steps, -1, -1) if summary else codes
        written, _ = net.writer(told, state)
        eta = torch.tanh(net.head(written))
        return net.decoder(eta.flatten(0, 1), batches).unflatten(0, (steps, -1))

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        """The mean squared error of all frames; nothing here is random."""
        del step, generator
        if clip.video is None:
            raise ValueError("Audio-Only trains on clips with picture and sound")
        x = rearrange(clip.video, "b t c h w -> t b c h w")
        mse = reconstruction(self.draw(self.chunks(clip)), x)
        yield "generator", Loss(mse, {"mse": mse})

    @torch.no_grad()
    def sample(
        self, given: Clip, *, num_samples: int, generator: Streams, clips_at_once: int = 16
    ) -> Clip:
        """Draw the frames of each sound, `num_samples` times the same.

        Args:
            given: the whole sound, which sets the number T of frames.  Seen frames, if there are
                any, are handed back as they are, and not looked at.
            num_samples: copies per clip, K.
            generator: not drawn from.
            clips_at_once: clips drawn together, to keep the memory small.

        Returns:
            b * K clips of T frames, the seen ones first.

        Raises:
            ValueError: if there is no sound, or no frame is left to draw.
        """
        del generator
        chunks = self.chunks(given)
        total = len(chunks)
        seen = 0 if given.video is None else given.video.shape[1]
        if seen >= total:
            raise ValueError(f"{seen} seen frames of {total}: at most {total - 1} may be given")
        training = self.training
        self.eval()
        try:
            drawn = [self.draw(part).float() for part in chunks.split(clips_at_once, dim=1)]
        finally:
            self.train(training)
        frames = rearrange(torch.cat(drawn, dim=1)[seen:], "t b c h w -> b t c h w")
        if given.video is not None:
            frames = torch.cat([given.video, frames], dim=1)
        spec = given.spec.with_frames(total)
        return given.replace(video=frames, spec=spec).repeat(num_samples)
