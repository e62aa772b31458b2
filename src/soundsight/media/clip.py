"""`Clip` and `ClipSpec`: the one noun of the library.

Conventions, everywhere: video is float32 `b t c h w` in [0, 1]; sound is float32 `b n` in [-1, 1],
mono. Frame k covers [k/fps, (k+1)/fps) seconds and sample i stands at i/sample_rate, so picture and
sound share one clock and every crop keeps it. An image is a clip of one frame. A missing modality
is None: absent is not silent.

Clips may tell which recording they were cut from, and where, so that two of a batch can be told to
be of one moment, of one recording, or of none in common.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor


@dataclass(frozen=True)
class ClipSpec:
    """Rates and lengths of a clip; everything else follows from them.

    Raises:
        ValueError: if a value is out of range, or if `sample_rate` is no multiple of `fps`.
    """

    frames: int
    """Number of video frames t."""
    fps: float | int = 10
    """Frames per second."""
    size: int = 48
    """Height and width of a frame, pixels."""
    channels: int = 1
    """1 (grey) or 3 (RGB)."""
    sample_rate: int = 4400
    """Sound samples per second, Hz."""

    def __post_init__(self) -> None:
        for name in ("frames", "fps", "size", "sample_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)} must be positive")
        if self.channels not in (1, 3):
            raise ValueError(f"channels={self.channels} must be 1 (grey) or 3 (RGB)")
        if (self.sample_rate / _exact(self.fps)).denominator != 1:
            raise ValueError(
                f"sample_rate={self.sample_rate} is no multiple of fps={self.fps:g}; the nearest "
                f"sample rates that are: {_nearest_multiples(self.sample_rate, self.fps)}"
            )

    @property
    def samples_per_frame(self) -> int:
        """Sound samples that one frame covers."""
        return round(self.sample_rate / self.fps)

    @property
    def samples(self) -> int:
        """Sound samples n of the whole clip."""
        return self.frames * self.samples_per_frame

    @property
    def seconds(self) -> float:
        """Duration, seconds."""
        return self.frames / self.fps

    def with_frames(self, frames: int) -> "ClipSpec":
        """The same rates and sizes for clips of another length."""
        return dataclasses.replace(self, frames=frames)


def _exact(fps: float | int) -> Fraction:
    """The rational number that a float frame rate stands for: 29.97002997 is 30000/1001."""
    return Fraction(fps).limit_denominator(1001)


def _nearest_multiples(sample_rate: int, fps: float | int) -> str:
    """The whole-number sample rates just below and above that `fps` divides."""
    step = _exact(fps).numerator  # The smallest whole-number multiple of fps.
    below = sample_rate // step * step
    return " and ".join(f"{rate} Hz" for rate in (below, below + step) if rate > 0)


@dataclass(frozen=True)
class Clip:
    """A batch of clips of one spec; see the module's docstring for layouts and ranges.

    `video` may hold fewer frames than `spec.frames` (the seen frames of a forecast) while `audio`
    holds the whole sound, or the reverse.

    Raises:
        ValueError: if a part has the wrong number of dimensions or size, parts disagree on b, or
            there is neither video nor audio nor label.
    """

    spec: ClipSpec
    video: Float32[Tensor, "b t c h w"] | None = None
    """Frames in [0, 1]."""
    audio: Float32[Tensor, "b n"] | None = None
    """Mono waveforms in [-1, 1]."""
    label: Int64[Tensor, " b"] | None = None
    """Class of each clip, -1 for one that has none."""
    source: Int64[Tensor, " b"] | None = None
    """Number of the recording that each clip was cut from, the same in all batches of a split;
    None: each is a recording of its own."""
    start: Float[Tensor, " b"] | None = None
    """Where in its recording each clip begins, seconds; float64, but on devices that have none."""

    def __post_init__(self) -> None:
        sizes = {name: len(part) for name, part in self.parts().items()}
        if not sizes.keys() & {"video", "audio", "label"}:
            raise ValueError("a Clip needs at least one of video, audio, label")
        if len(set(sizes.values())) > 1:
            raise ValueError(f"parts of a Clip differ in batch size: {sizes}")
        if self.video is not None:
            s = self.spec
            frame = (s.channels, s.size, s.size)
            if self.video.ndim != 5 or tuple(self.video.shape[2:]) != frame:
                raise ValueError(f"video has shape {tuple(self.video.shape)}, not (b, t, *{frame})")
        if self.audio is not None and self.audio.ndim != 2:
            raise ValueError(f"audio has shape {tuple(self.audio.shape)}, not (b, n)")
        for name in ("source", "start"):
            part: Tensor | None = getattr(self, name)
            if part is not None and part.ndim != 1:
                raise ValueError(f"{name} has shape {tuple(part.shape)}, not (b,)")

    def parts(self) -> dict[str, Tensor]:
        """The tensors that are there, by name."""
        names = ("video", "audio", "label", "source", "start")
        return {name: part for name in names if (part := getattr(self, name)) is not None}

    def __len__(self) -> int:
        return len(next(iter(self.parts().values())))

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return next(iter(self.parts().values())).device

    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> "Clip":
        """Some clips of the batch, as a batch: `clip[2:3]`, `clip[[4, 1]]`."""
        return self._map(lambda part: part[index])

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Clip":
        """The same clips on another device."""
        # Apple's devices have no float64, in which places are kept.
        narrow = torch.device(device).type == "mps"

        def move(part: Tensor) -> Tensor:
            kept = part.float() if narrow and part.dtype == torch.float64 else part
            return kept.to(device, non_blocking=non_blocking)

        return self._map(move)

    def pin_memory(self) -> "Clip":
        """The same clips in page-locked memory, from which a GPU can copy while it computes."""
        return self._map(lambda part: part.pin_memory())

    def repeat(self, times: int) -> "Clip":
        """Each clip `times` times in a row: a, a, b, b, ..."""
        return self._map(lambda part: part.repeat_interleave(times, dim=0))

    def replace(self, **parts: object) -> "Clip":
        """A copy with some parts (or the spec) exchanged."""
        return dataclasses.replace(self, **parts)  # type: ignore[arg-type]

    def crop(self, start: int, frames: int) -> "Clip":
        """Frames [start, start + frames) and the sound that belongs to them.

        Their place in the recording moves with them.

        Raises:
            ValueError: if the clip is shorter than that.
        """
        have = self.spec.frames
        if start < 0 or frames < 1 or start + frames > have:
            raise ValueError(f"cannot crop frames [{start}, {start + frames}) of {have}")
        per_frame = self.spec.samples_per_frame
        window = slice(start * per_frame, (start + frames) * per_frame)
        return self.replace(
            spec=self.spec.with_frames(frames),
            video=None if self.video is None else self.video[:, start : start + frames],
            audio=None if self.audio is None else self.audio[:, window],
            start=None if self.start is None else self.start + start / self.spec.fps,
        )

    def context(self, seen: int) -> "Clip":
        """What a forecaster is given: the first `seen` frames and the whole sound."""
        if self.video is None or not 1 <= seen <= self.video.shape[1]:
            have = 0 if self.video is None else self.video.shape[1]
            raise ValueError(f"seen={seen} must be between 1 and the clip's {have} frames")
        return self.replace(video=self.video[:, :seen])

    def _map(self, f: Callable[[Tensor], Tensor]) -> "Clip":
        return self.replace(**{name: f(part) for name, part in self.parts().items()})

    @staticmethod
    def nothing(spec: ClipSpec, count: int) -> "Clip":
        """Clips of which nothing is known: what a model that starts from noise is given.

        Args:
            spec: rates, sizes and length of the clips that are wanted.
            count: number b of clips.

        Returns:
            Neither picture nor sound, and the label -1 (none), shape (b,).

        Raises:
            ValueError: if there are fewer than one.

        Example:
            >>> sorted(Clip.nothing(ClipSpec(frames=10), 3).parts())
            ['label']
        """
        if count < 1:
            raise ValueError(f"count={count} must be at least 1")
        return Clip(spec, label=torch.full((count,), -1))

    @staticmethod
    def cat(clips: "Sequence[Clip]") -> "Clip":
        """One batch of several of the same spec and parts.

        Raises:
            ValueError: if there are none, or specs or parts differ.
        """
        kinds = {(clip.spec, tuple(clip.parts())) for clip in clips}
        if len(kinds) != 1:
            raise ValueError(f"cannot join clips of {len(kinds)} different specs or parts: {kinds}")
        (spec, names), *_ = kinds
        return Clip(spec, **{n: torch.cat([clip.parts()[n] for clip in clips]) for n in names})
