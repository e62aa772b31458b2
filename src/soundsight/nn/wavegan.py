"""WaveGAN: a generator and a discriminator of waveforms (Donahue et al., ICLR 2019, 1802.04208).

Tables 3 and 4 of its appendix: kernels of 25 samples, stride 4, no batch norm.  The sound is made
of latent steps, one for each 4^5 = 1024 samples, 16 of them in the paper; any number works here,
and so do fewer layers.
"""

import itertools

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soundsight.media.clip import ClipSpec
from soundsight.nn.jitter import Jitter

STRIDE, KERNEL, LAYERS = 4, 25, 5
STEP = STRIDE**LAYERS
"""Samples of a latent step of five layers."""
STEPS = (4, 64)
"""Fewest and most latent steps."""


def audio_steps(spec: ClipSpec, layers: int = LAYERS) -> int:
    """Latent steps L of the sound, each of 4^layers samples; what exceeds the clip is cut off.

    Raises:
        ValueError: if the sound is too short or too long.
    """
    (least, most), step = STEPS, STRIDE**layers
    steps = -(-spec.samples // step)
    if not least <= steps <= most:
        shortest, longest = (least - 1) * step + 1, most * step
        raise ValueError(
            f"{spec.samples} samples of sound ({spec.frames} frames at {spec.fps:g} fps, "
            f"{spec.sample_rate} Hz): WaveGAN of {layers} layers makes {shortest} to {longest}, "
            f"at this rate {shortest / spec.sample_rate:.2f} to {longest / spec.sample_rate:.2f} s"
        )
    return steps


class AudioGenerator(nn.Module):
    """Noise -> L steps of 16 d channels -> (five) transposed convolutions -> waveform.

    Args:
        noise: width of the noise.
        channels: d, channels of the outermost layer.
        steps: L.
        motion: width of codes that are added to the latent steps by a linear map, at first zero;
            0 leaves plain WaveGAN.
        layers: transposed convolutions, each to four times the length.
    """

    def __init__(
        self, noise: int, channels: int, steps: int, motion: int = 0, *, layers: int = LAYERS
    ) -> None:
        super().__init__()
        widths = [channels * 2**level for level in reversed(range(layers))]
        self.steps, self.width = steps, widths[0]
        self.first = nn.Linear(noise, widths[0] * steps)
        pairs = zip(widths, [*widths[1:], 1], strict=True)
        # Padding 10, and the last sample dropped, is TensorFlow's "same".
        self.layers = nn.ModuleList(
            nn.ConvTranspose1d(i, o, KERNEL, STRIDE, padding=10) for i, o in pairs
        )
        self.from_motion = None
        if motion:
            self.from_motion = nn.Conv1d(motion, widths[0], 1)
            nn.init.zeros_(self.from_motion.weight)
            assert self.from_motion.bias is not None
            nn.init.zeros_(self.from_motion.bias)

    def forward(
        self, z: Float[Tensor, "b d"], motion: Float[Tensor, "b m l"]
    ) -> Float[Tensor, "b n"]:
        """Waveforms in [-1, 1], 4^layers samples for each step of the motion codes.

        Args:
            z: noise.
            motion: codes at the latent steps.  More of them than L: the steps that the noise
                stands for come again, and only the motion goes on.
        """
        x = self.first(z).unflatten(1, (self.width, self.steps))
        steps = motion.shape[2]
        if steps != self.steps:
            x = x.repeat(1, 1, -(-steps // self.steps))[:, :, :steps]
        if self.from_motion is not None:
            x = x + self.from_motion(motion)
        for layer in self.layers:
            x = layer(F.relu(x))[..., :-1]
        return torch.tanh(x[:, 0])


class AudioTrunk(nn.Module):
    """Convolutions of 25 samples, each to a fourth of the length; phase shuffle between them."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(i, o, KERNEL, STRIDE) for i, o in itertools.pairwise(widths)
        )

    def forward(self, audio: Float[Tensor, "b n"], jitter: Jitter | None) -> Float[Tensor, "b c l"]:
        """Features of n / 4^layers steps."""
        x = audio[:, None]
        for index, layer in enumerate(self.layers):
            x = F.leaky_relu(layer(F.pad(x, (10, 11))), 0.2)  # As TensorFlow's "same".
            if jitter is not None and index < len(self.layers) - 1:
                x = jitter.shuffle(x)
        return x


class AudioDiscriminator(nn.Module):
    """Waveform -> (five) convolutions, phase shuffle after all but the last -> a logit.

    Args:
        channels: d, channels of the first layer.
        steps: length of the waveform, latent steps.
        layers: convolutions.
    """

    def __init__(self, channels: int, steps: int, *, layers: int = LAYERS) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(layers)]
        self.trunk = AudioTrunk([1, *widths])
        self.last = nn.Linear(widths[-1] * steps, 1)

    def forward(self, audio: Float[Tensor, "b n"], jitter: Jitter | None) -> Float[Tensor, " b"]:
        """How real the sounds are."""
        return self.last(self.trunk(audio, jitter).flatten(1))[:, 0]


def glorot(net: nn.Module) -> None:
    """First weights as TensorFlow's: uniform after Glorot and Bengio, biases zero."""
    for name, module in net.named_modules():
        if name == "from_motion":
            continue  # It stays zero.
        if isinstance(module, nn.Linear | nn.Conv1d | nn.ConvTranspose1d):
            nn.init.xavier_uniform_(module.weight)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
