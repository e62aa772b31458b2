"""An audio-visual discriminator of frames and of short windows, and what goes into its loss.

Source: Sound2Sight, section 3, figure 2 and equation 3.  All tensors are time-major.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor, nn

from soundsight.contract import Loss
from soundsight.nn.chunk_encoder import ChunkEncoder
from soundsight.nn.dcgan import FrameEncoder

WINDOW = 3
"""Frames of a window: R = 2 past ones and the current one (k = 1)."""


class ConvLSTM(nn.Module):
    """A convolutional LSTM of 3 x 3 kernels (the D of Equation 3, as the paper words it)."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(inputs + hidden, 4 * hidden, 3, padding=1)

    def forward(self, x: Float[Tensor, "n m c h w"]) -> Float[Tensor, "m d h w"]:
        """The hidden maps after the last of n steps."""
        hidden = x.new_zeros(x.shape[1], self.gates.out_channels // 4, *x.shape[3:])
        cell = hidden
        for step in x:
            i, f, g, o = self.gates(torch.cat([step, hidden], dim=1)).chunk(4, dim=1)
            cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            hidden = torch.sigmoid(o) * torch.tanh(cell)
        return hidden


class AudioVisualDiscriminator(nn.Module):
    """D_std on single frames, D on windows of frames with their sound (Figure 2, right)."""

    def __init__(
        self,
        frames: FrameEncoder,
        sound: ChunkEncoder | None,
        *,
        code: int,
        hidden: int,
        motion: bool = True,
        convolutional: bool = False,
        bounded: bool = False,
    ) -> None:
        super().__init__()
        logits = 2 if bounded else 1
        self.convolutional, self.bounded, self.motion = convolutional, bounded, motion
        self.frames, self.still = frames, nn.Linear(code, logits)
        if motion:
            self.sound = sound
            seen = frames.widths[-1] if convolutional else code
            inputs = seen + (0 if sound is None else code)
            if convolutional:
                self.convlstm = ConvLSTM(inputs, hidden)
            else:
                self.embed, self.lstm = nn.Linear(inputs, hidden), nn.LSTM(hidden, hidden)
            self.head = nn.Linear(hidden, logits)

    def see(self, x: Float[Tensor, "n b c h w"], steps: int = 1) -> tuple[Tensor, Tensor]:
        """Codes (n, b, code) for D_std, and what D remembers of each frame: codes or maps."""
        codes, maps = self.frames(x.flatten(0, 1), steps)
        codes = codes.unflatten(0, x.shape[:2])
        if not self.convolutional:
            return codes, codes
        return codes, maps[-1].unflatten(0, x.shape[:2])

    def bound(self, logits: Tensor) -> Tensor:
        """The released code's tanh over two logits, or one logit as it is."""
        return torch.tanh(logits) if self.bounded else logits

    def judge_frames(self, codes: Float[Tensor, "n b d"]) -> Float[Tensor, "n b l"]:
        """D_std: logits of "real" for single frames, never bounded."""
        return self.still(codes)

    def judge_windows(self, seen: Tensor, heard: Tensor | None) -> Float[Tensor, "w b l"]:
        """D: logits of "real" for w windows of 3 frames, seen (3, w, b, ...), heard alike."""
        w, b = seen.shape[1:3]
        seen = seen.flatten(1, 2)
        if self.convolutional:
            if heard is not None:
                tiled = heard.flatten(1, 2)[..., None, None].expand(-1, -1, -1, *seen.shape[-2:])
                seen = torch.cat([seen, tiled], dim=2)
            last = self.convlstm(seen).mean(dim=(2, 3))
        else:
            joined = seen if heard is None else torch.cat([seen, heard.flatten(1, 2)], dim=2)
            last = self.lstm(self.embed(joined))[0][-1]
        return self.bound(self.head(last)).unflatten(0, (w, b))


def cross_entropy(logits: Float[Tensor, "w b l"], real: bool, smooth: float = 0.0) -> Tensor:
    """-log D or -log(1 - D) of Equation 3, summed over windows, mean over the batch.

    Two logits are a softmax, one is a sigmoid whose "real" target is 1 - smooth.
    """
    logits = logits.float()
    w, b, outputs = logits.shape
    if outputs == 2:
        classes = torch.full((w * b,), int(real), device=logits.device)
        return F.cross_entropy(logits.flatten(0, 1), classes, reduction="sum") / b
    target = torch.full_like(logits, (1.0 - smooth) if real else 0.0)
    return F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / b


def windows(x: Tensor) -> Tensor:
    """All windows of 3 steps in a row: (n, b, ...) -> (3, n - 2, b, ...)."""
    return torch.stack([x[i : len(x) - WINDOW + 1 + i] for i in range(WINDOW)])


def with_last(real: Tensor, fake: Tensor) -> Tensor:
    """Real windows whose last frame is the generated one."""
    return torch.cat([real[:-1], fake[None, WINDOW - 1 :]])


def mismatched(
    sound: Float[Tensor, "n b d"], generator: Generator, mixed: bool
) -> Float[Tensor, "n b d"]:
    """Sound that belongs to other frames, time and clip for time and clip (AA of Equation 3).

    The next clip's at the same times or, of half the clips if `mixed`, the clip's own moved by at
    least 3 frames (around the end).  Clips of one or too few frames have only one of the two ways.
    """
    n, b = sound.shape[:2]
    device = sound.device
    shiftable = mixed and n >= 2 * WINDOW
    own = torch.rand(b, generator=generator, device=device) < 0.5
    own = own & shiftable if b > 1 else torch.ones_like(own)
    shift = torch.randint(WINDOW, max(n - 2, WINDOW + 1), (b,), generator=generator, device=device)
    clip = torch.arange(b, device=device)
    clip = torch.where(own, clip, (clip + 1) % b)
    time = (torch.arange(n, device=device)[:, None] + torch.where(own, shift, 0)) % n
    return sound[time, clip]


class Rules(NamedTuple):
    """How the game between generator and discriminator is played."""

    train_encoders: bool
    """Whether the discriminator's encoders learn."""
    per_step: bool
    """Batch norm of each time step by itself."""
    alignment: bool
    """Whether mismatched sound is shown at all (AA)."""
    mixed: bool
    """Mismatched sound: see `mismatched`."""
    generator_alignment: bool
    """Whether the generator is rewarded when mismatched sound passes."""
    real_weight: float
    """Weight of the real side; the fake side's is 0.5."""
    smoothing: float
    """One-sided label smoothing of the real side."""

    def batches(self, steps: int) -> int:
        """How many separate batches the frames of `steps` time steps are to batch norm."""
        return steps if self.per_step else 1


class Game:
    """One batch before the discriminator (Equation 3), x[1] being the first frame of its windows.

    What is real is encoded once and serves both phases; the generator's phase sees it detached.
    """

    def __init__(
        self,
        rules: Rules,
        net: AudioVisualDiscriminator,
        real: Float[Tensor, "n b c h w"],
        fake: Float[Tensor, "n b c h w"] | None,
        chunks: Float[Tensor, "t b 1 f k"] | None,
        generator: Generator | None,
    ) -> None:
        n, b = real.shape[:2]
        self.rules = rules
        if n < WINDOW:
            raise ValueError(
                f"{n + 1} frames: the discriminator needs clips of {WINDOW + 1} or more"
            )
        self.net, self.fake = net, fake
        with torch.set_grad_enabled(torch.is_grad_enabled() and rules.train_encoders):
            self.real_codes, self.real_seen = net.see(real, rules.batches(n))
            self.heard = None
            if chunks is not None and net.motion:
                assert net.sound is not None
                heard = net.sound(chunks[1:].flatten(0, 1), rules.batches(n))
                self.heard = heard.unflatten(0, (n, b))
        self.foreign = None
        if self.heard is not None and rules.alignment and generator is not None:
            if b == 1 and n < 2 * WINDOW:
                raise ValueError("one clip of under 7 frames has no mismatched sound to learn from")
            self.foreign = mismatched(self.heard, generator, rules.mixed)

    def judgements(self) -> dict[str, Float[Tensor, "w b l"]]:
        """Logits for the real frames from the third on: "frame" and, with MD, "window"."""
        logits = {"frame": self.net.judge_frames(self.real_codes[WINDOW - 1 :])}
        if self.net.motion:
            logits["window"] = self.net.judge_windows(windows(self.real_seen), self.own)
        return logits

    @property
    def own(self) -> Tensor | None:
        """Sound of the windows: (3, w, b, code)."""
        return None if self.heard is None else windows(self.heard)

    def generator_loss(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Non-saturating: generated frames, alone and in motion, shall pass for real."""
        assert self.fake is not None
        steps = self.rules.batches(len(self.fake))
        self.fake_codes, self.fake_seen = self.net.see(self.fake, steps)
        terms = {"still": cross_entropy(self.net.judge_frames(self.fake_codes[WINDOW - 1 :]), True)}
        if self.net.motion:
            fake = with_last(windows(self.real_seen.detach()), self.fake_seen)
            own = None if self.own is None else self.own.detach()
            terms["motion"] = cross_entropy(self.net.judge_windows(fake, own), True)
            if self.foreign is not None and self.rules.generator_alignment:
                foreign = windows(self.foreign.detach())
                terms["alignment"] = cross_entropy(self.net.judge_windows(fake, foreign), True)
        return torch.stack(list(terms.values())).mean(), terms

    def discriminator_loss(self) -> Loss:
        """Equation 3: real against generated frames, motions, and motions with foreign sound."""
        assert self.fake is not None
        rules, net, steps = self.rules, self.net, self.rules.batches(len(self.fake))
        if rules.train_encoders or not hasattr(self, "fake_codes"):
            codes, seen = net.see(self.fake.detach(), steps)
        else:
            codes, seen = self.fake_codes.detach(), self.fake_seen.detach()
        smooth = rules.smoothing
        last = slice(WINDOW - 1, None)
        real = {"real_still": cross_entropy(net.judge_frames(self.real_codes[last]), True, smooth)}
        fake = {"fake_still": cross_entropy(net.judge_frames(codes[last]), False)}
        if net.motion:
            shown = windows(self.real_seen)
            forged = with_last(shown, seen)
            real["real_motion"] = cross_entropy(net.judge_windows(shown, self.own), True, smooth)
            fake["fake_motion"] = cross_entropy(net.judge_windows(forged, self.own), False)
            if self.foreign is not None:
                foreign = windows(self.foreign)
                fake["real_foreign"] = cross_entropy(net.judge_windows(shown, foreign), False)
                fake["fake_foreign"] = cross_entropy(net.judge_windows(forged, foreign), False)
        total = rules.real_weight * torch.stack(list(real.values())).mean()
        total = total + 0.5 * torch.stack(list(fake.values())).mean()
        return Loss(total, real | fake)
