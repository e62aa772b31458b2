"""Networks on pairs: does this sound go with this video?

Sounds and videos are looked at once each, however many pairs are made of them.  Both are brought to
one clock, the latent steps of the sound.  A discriminator joins them there; a matcher gives each a
code of its own, and what belongs together has codes that are alike.

Source: our own design, as the paper of the joint GAN gives no layers.
"""

import itertools
from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from soundsight.media.clip import ClipSpec
from soundsight.nn.contrast import info_nce
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


class Senses(nn.Module):
    """Ears and eyes: what is heard and seen at each latent step of the sound.

    Args:
        spec: of the videos.
        steps: latent steps L of the sound.
        channels: d, of the first layers; 8 d are heard.
        samples: of each latent step.
        mel: hear by the log-mel spectrogram instead of the waveform.
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
        position: bool = False,
    ) -> None:
        super().__init__()
        d, levels = channels, picture_levels(spec.size)
        self.steps, self.position = steps, position
        self.audio: nn.Module = MelTrunk(d) if mel else AudioTrunk([1, d, 2 * d, 4 * d, 8 * d])
        widths = [spec.channels + 2 * position, *(d * 2**level for level in range(levels))]
        self.video = nn.ModuleList(
            nn.Conv3d(i, o, (3, 4, 4), (1, 2, 2), (1, 1, 1)) for i, o in itertools.pairwise(widths)
        )
        self.num_heard, self.num_seen = 8 * d, widths[-1]
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


class PairDiscriminator(Senses):
    """D_1 or D_2, or both as two heads.

    Args:
        spec: of the videos.
        steps: latent steps L of the sound.
        channels: d, of the first layers.
        heads: logits per pair.
        whole: join both after pooling over time, not at each step.
        **senses: of `Senses`.
    """

    def __init__(
        self,
        spec: ClipSpec,
        steps: int,
        channels: int,
        *,
        heads: int = 1,
        whole: bool = False,
        **senses: Any,
    ) -> None:
        super().__init__(spec, steps, channels, **senses)
        d, kernel = channels, 1 if whole else 3
        self.whole = whole
        self.fuse = nn.Sequential(
            nn.Conv1d(self.num_heard + self.num_seen, 8 * d, kernel, padding=kernel // 2),
            nn.LeakyReLU(0.2),
            nn.Conv1d(8 * d, 8 * d, kernel, padding=kernel // 2),
            nn.LeakyReLU(0.2),
        )
        self.step_head, self.clip_head = nn.Conv1d(8 * d, heads, 1), nn.Linear(8 * d, heads)

    def join(
        self, heard: Float[Tensor, "b d l"], seen: Float[Tensor, "b e l"]
    ) -> Float[Tensor, "b i"]:
        """How much pairs are of the kind that each head looks for."""
        x = torch.cat([heard, seen], dim=1)
        x = self.fuse(x.mean(2, keepdim=True) if self.whole else x)
        return self.step_head(x).mean(2) + self.clip_head(x.mean(2))


class Matcher(Senses):
    """Finds the video of each sound, and the sound of each video, among those of a batch.

    Each gets a code of its own: a sound's depends on the sound alone, and a video's on the video
    alone. What belongs together has codes that are alike. Log b less the loss is a lower bound of
    what sound and video tell of each other, in nats.

    Args:
        spec: of the videos.
        steps: latent steps L of the sound.
        channels: d, of the first layers.
        temperature: τ; small, only the nearest wrong ones count.
        noise: standard deviation of the noise on what is heard and seen, so that what generators
            get wrong in detail does not keep them from being matched.
        codes: e, numbers at each step.
        **senses: of `Senses`.

    Source:
        InfoNCE, van den Oord, Li and Vinyals, 2018, equation 4, both ways as in CLIP (Radford et
        al., 2021), on the two networks of audio-visual correspondence (Arandjelovic and Zisserman,
        2018). Learned from real pairs and asked of generated ones as in Zhu et al., "Arbitrary
        talking face generation via attentional audio-visual coherence learning", 2020.
    """

    def __init__(
        self,
        spec: ClipSpec,
        steps: int,
        channels: int,
        *,
        temperature: float = 0.1,
        noise: float = 0.2,
        codes: int = 16,
        **senses: Any,
    ) -> None:
        super().__init__(spec, steps, channels, **senses)

        def coder(width: int) -> nn.Module:
            inner = nn.Conv1d(width, 8 * channels, 3, padding=1)
            return nn.Sequential(inner, nn.LeakyReLU(0.2), nn.Conv1d(8 * channels, codes, 1))

        self.temperature, self.noise = temperature, noise
        self.code_heard, self.code_seen = coder(self.num_heard), coder(self.num_seen)

    def codes(self, pair: Pair, jitter: Jitter | None) -> Pair:
        """Codes of sounds and of videos, of length 1 each; all steps' in a row."""
        heard = self.code_heard(self.hear(pair.audio, jitter)).flatten(1)
        seen = self.code_seen(self.see(pair.video)).flatten(1)
        return Pair(F.normalize(heard, dim=1), F.normalize(seen, dim=1))

    def forward(self, pair: Pair, jitter: Jitter) -> dict[str, Float[Tensor, ""]]:
        """InfoNCE, "match_nce", and "match_right", the share of sounds that find their own video.

        Args:
            pair: sounds as `hear` takes them, and videos, of at least two clips.
            jitter: source of noise; its own instance noise is not used.
        """
        noise = replace(jitter, sigma=self.noise)
        heard, seen = self.codes(Pair(*(noise.noise(part) for part in pair)), jitter)
        said = info_nce(heard, seen, self.temperature)
        return {f"match_{name}": value for name, value in said.items()}
