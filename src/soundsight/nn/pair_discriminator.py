"""A discriminator of pairs: does this sound go with this video?

Sounds and videos are looked at once each, however many pairs are made of them.  Both are brought to
one clock, the latent steps of the sound, and joined step by step.

Source: our own design, as the paper of the joint GAN gives no layers.
"""

import itertools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from soundsight.media.clip import ClipSpec
from soundsight.nn.ears import MelTrunk, column_s, num_columns
from soundsight.nn.jitter import Jitter
from soundsight.nn.mocogan import picture_levels
from soundsight.nn.wavegan import STEP, AudioTrunk


def interpolation(count: int, at: Float[Tensor, " l"]) -> Float[Tensor, "i l"]:
    """Weights that read `count` values in a row at the places `at`, 0 being the first."""
    at = at.clamp(0, count - 1)
    return (1 - (torch.arange(count)[:, None] - at).abs()).clamp(min=0)


def step_times(spec: ClipSpec, steps: int, samples: int) -> Float[Tensor, " l"]:
    """Middles of the sound's latent steps, each of that many samples, s."""
    return (torch.arange(steps) + 0.5) * samples / spec.sample_rate


def resampling(spec: ClipSpec, steps: int, samples: int = STEP) -> Float[Tensor, "t l"]:
    """Linear interpolation from the frames' middles to those of the sound's latent steps.

    One clock: frame k is at (k + 1/2) / fps, step l at (l + 1/2) samples / sample_rate, s.
    """
    return interpolation(spec.frames, step_times(spec, steps, samples) * spec.fps - 0.5)


class Pair(NamedTuple):
    """Sounds, padded to whole latent steps, and videos in [-1, 1], of as many clips."""

    audio: Float[Tensor, "b n"]
    video: Float[Tensor, "b t c h w"]

    def detached(self, *, watched: bool = False) -> "Pair":
        """Without a past; with gradients of its own if watched."""
        return Pair(*(part.detach().requires_grad_(watched) for part in self))


class PairDiscriminator(nn.Module):
    """D_1 or D_2, or both as two heads.

    Args:
        spec: of the videos.
        steps: latent steps L of the sound.
        channels: d, of the first layers.
        samples: of each latent step.
        mel: hear by the log-mel spectrogram instead of the waveform.
        heads: logits per pair.
        whole: join both after pooling over time, not at each step.
        position: give the pictures' coordinates as two more channels.
    """

    def __init__(
        self,
        spec: ClipSpec,
        steps: int,
        channels: int,
        *,
        samples: int = STEP,
        mel: bool = False,
        heads: int = 1,
        whole: bool = False,
        position: bool = False,
    ) -> None:
        super().__init__()
        d, levels = channels, picture_levels(spec.size)
        self.steps, self.whole, self.position = steps, whole, position
        self.audio: nn.Module = MelTrunk(d) if mel else AudioTrunk([1, d, 2 * d, 4 * d, 8 * d])
        widths = [spec.channels + 2 * position, *(d * 2**level for level in range(levels))]
        self.video = nn.ModuleList(
            nn.Conv3d(i, o, (3, 4, 4), (1, 2, 2), (1, 1, 1)) for i, o in itertools.pairwise(widths)
        )
        kernel = 1 if whole else 3
        self.fuse = nn.Sequential(
            nn.Conv1d(8 * d + widths[-1], 8 * d, kernel, padding=kernel // 2),
            nn.LeakyReLU(0.2),
            nn.Conv1d(8 * d, 8 * d, kernel, padding=kernel // 2),
            nn.LeakyReLU(0.2),
        )
        self.step_head, self.clip_head = nn.Conv1d(8 * d, heads, 1), nn.Linear(8 * d, heads)
        self.register_buffer("to_steps", resampling(spec, steps, samples), persistent=False)
        columns = step_times(spec, steps, samples) / column_s(spec.sample_rate)
        heard = interpolation(num_columns(steps * samples, spec.sample_rate), columns)
        self.register_buffer("from_columns", heard, persistent=False)

    def hear(self, sound: Float[Tensor, "b ..."], jitter: Jitter | None) -> Float[Tensor, "b d l"]:
        """What is heard at each latent step of the sound.

        Args:
            sound: waveforms (b, n), or with `mel` their `soundsight.nn.ears.spectrum` (b, f, k).
            jitter: phase shuffle, of waveforms alone.
        """
        if isinstance(self.audio, MelTrunk):
            assert isinstance(self.from_columns, Tensor)
            return self.audio(sound) @ self.from_columns
        return F.adaptive_avg_pool1d(self.audio(sound, jitter), self.steps)

    def see(self, video: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b e l"]:
        """What is seen at each latent step of the sound."""
        x = rearrange(video, "b t c h w -> b c t h w")
        if self.position:
            at = torch.linspace(-1, 1, x.shape[-1], device=x.device, dtype=x.dtype)
            grid = torch.stack(torch.meshgrid(at, at, indexing="ij"))[None, :, None]
            x = torch.cat([x, grid.expand(len(x), -1, x.shape[2], -1, -1)], dim=1)
        for layer in self.video:
            x = F.leaky_relu(layer(x), 0.2)
        assert isinstance(self.to_steps, Tensor)
        return x.mean((3, 4)) @ self.to_steps

    def join(
        self, heard: Float[Tensor, "b d l"], seen: Float[Tensor, "b e l"]
    ) -> Float[Tensor, "b i"]:
        """How much pairs are of the kind that each head looks for."""
        x = torch.cat([heard, seen], dim=1)
        x = self.fuse(x.mean(2, keepdim=True) if self.whole else x)
        return self.step_head(x).mean(2) + self.clip_head(x.mean(2))
