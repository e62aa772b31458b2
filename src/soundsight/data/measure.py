"""What is measured of every clip, and which clips are worth keeping.

All measures are cheap (about a millisecond for a second of small video) and tell nothing of the
file a clip came from; they are stored with a prepared clip as plain JSON.
"""

from dataclasses import asdict
from dataclasses import dataclass as plain_dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from soundsight.data.fingerprint import picture_hash, sound_hash, thumbnails
from soundsight.media.clip import ClipSpec

FLOOR_DB = -120.0
"""Silence has this level, dB re full scale."""
FULL_SCALE, FULL_RUN = 0.999, 3
"""Samples of at least this size, at least this many in a row, are clipped."""
CUT_AROUND = 4
"""A cut is compared with this many changes on either side."""
CUT_CONTRAST = 8.0
"""Added to a picture's standard deviation before dividing by it, levels of 0 ... 255: what is
nearly black has no structure."""
CUT_LEAST = 0.05
"""A change that is small beside this, in standard deviations of a picture, is no cut."""


@plain_dataclass(frozen=True)
class Measures:
    """Of one clip."""

    rms_db: float
    """Level of the sound, dB re full scale (a square wave of full scale has 0), at least -120."""
    peak: float
    """Largest absolute sample, in [0, 1] (a little more where a codec overshoots)."""
    clipped: float
    """Share of the samples that lie in a row of at least 3 at full scale, in [0, 1]. Lossy codecs
    hide most of it: their waves swing around full scale."""
    motion: float | None
    """Mean absolute difference of neighbouring frames, in [0, 1]; None for one frame."""
    cut: float
    """How many times larger than the changes around it the most sudden change is, in most of the
    picture and with brightness and contrast removed: about 1 or less without a cut, 5 to 20 with
    one; 0 if there are fewer than 3 frames."""
    picture_hash: str
    """32 hexadecimal digits; see `fingerprint.picture_hash`."""
    sound_hash: str
    """64 hexadecimal digits; see `fingerprint.sound_hash`."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; `Measures(**values)` is the inverse."""
        return asdict(self)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Filters:
    """Which clips are dropped; each rule may be None: off."""

    silence_db: float | None = -50.0
    """Clips of a lower level are silent, dB re full scale."""
    static: float | None = 0.0002
    """Clips whose frames differ by less than this on average are still pictures, share of the full
    range. Stills that were encoded reach 0.00001, talking faces 0.0026 and more."""
    cut: float | None = 3.5
    """Clips with a change this many times larger than those around it hold a cut (or begin with
    damaged pictures). Fast motion, flashes and dissolves reach 1 to 2.5, cuts 4.8 and more."""
    clipped: float | None = 0.01
    """Clips of which more than this share of the samples is at full scale are badly overdriven."""
    duplicates: bool = True
    """Whether of clips that are nearly the same, in picture and sound, only the first is kept."""

    def __post_init__(self) -> None:
        if self.silence_db is not None and not FLOOR_DB <= self.silence_db <= 0:
            raise ValueError(f"silence_db={self.silence_db} must be in [-120, 0], or None")
        for name in ("static", "clipped"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name}={value} must be a share in [0, 1], or None")
        if self.cut is not None and not self.cut > 0:
            raise ValueError(f"cut={self.cut} must be positive, or None")


def measure(
    frames: UInt8[np.ndarray, "t h w c"], sound: Float32[np.ndarray, " n"], spec: ClipSpec
) -> Measures:
    """Measure a clip.

    Args:
        frames: 0 ... 255, at least one.
        sound: in [-1, 1], at least one sample.
        spec: of the clip; only its sample rate is used.

    Returns:
        Its measures.

    Raises:
        ValueError: if there is no frame or no sample.
    """
    if not len(frames) or not len(sound):
        raise ValueError(f"{len(frames)} frames, {len(sound)} samples: at least one of each")
    thumbs = thumbnails(frames)
    size = np.abs(sound)
    power = float(np.dot(sound, sound)) / len(sound)
    return Measures(
        rms_db=max(FLOOR_DB, 10 * float(np.log10(max(power, 1e-30)))),
        peak=float(size.max()),
        clipped=_clipped(size),
        motion=_motion(frames),
        cut=_cut(thumbs),
        picture_hash=picture_hash(thumbs),
        sound_hash=sound_hash(sound, spec.sample_rate),
    )


def reason_to_drop(measures: Measures, filters: Filters) -> str | None:
    """Why a clip is not kept, if so; duplicates are for `fingerprint.near_duplicates` to find.

    Args:
        measures: of the clip.
        filters: the rules.

    Returns:
        None to keep it, else "WORD: what was measured; the rule" with WORD one of silent, static,
        cut, clipped, in this order.

    Example:
        >>> loud = Measures(-20.0, 0.5, 0.0, 0.01, 0.8, "", "")
        >>> reason_to_drop(loud, Filters()) is None
        True
        >>> reason_to_drop(loud, Filters(silence_db=-10))
        'silent: -20.0 dBFS; at least -10'
    """
    m, f = measures, filters
    if f.silence_db is not None and m.rms_db < f.silence_db:
        return f"silent: {m.rms_db:.1f} dBFS; at least {f.silence_db:g}"
    if f.static is not None and m.motion is not None and m.motion < f.static:
        return f"static: frames differ by {m.motion:.2%}; at least {f.static:.2%}"
    if f.cut is not None and m.cut > f.cut:
        return f"cut: a change {m.cut:.1f} times those around it; at most {f.cut:g}"
    if f.clipped is not None and m.clipped > f.clipped:
        return f"clipped: {m.clipped:.1%} of the samples at full scale; at most {f.clipped:.1%}"
    return None


def _clipped(size: Float32[np.ndarray, " n"]) -> float:
    """Share of the samples in rows of at least `FULL_RUN` at full scale."""
    full = np.concatenate([[False], size >= FULL_SCALE, [False]])
    turns = np.flatnonzero(full[1:] != full[:-1])
    lengths = turns[1::2] - turns[::2]
    return float(lengths[lengths >= FULL_RUN].sum()) / len(size)


def _motion(frames: UInt8[np.ndarray, "t h w c"]) -> float | None:
    """Mean absolute difference of neighbouring frames."""
    if len(frames) < 2:
        return None
    change = np.maximum(frames[1:], frames[:-1])
    change -= np.minimum(frames[1:], frames[:-1])
    return float(change.sum(dtype=np.uint64)) / change.size / 255


def _cut(thumbs: Float32[np.ndarray, "t i j c"]) -> float:
    """How much more sudden the most sudden change is than those around it.

    Without mean and contrast, a flash or a fade changes little; the median over the cells passes
    over what happens in less than half of the picture; and the largest of the changes around it
    makes fast motion, a flash's end and noise ratios of about 1.
    """
    if len(thumbs) < 3:
        return 0.0
    cells = thumbs.reshape(len(thumbs), -1, thumbs.shape[3])
    cells = cells - cells.mean(axis=1, keepdims=True)
    cells /= np.sqrt(np.square(cells).mean(axis=(1, 2), keepdims=True)) + CUT_CONTRAST
    change = np.median(np.abs(np.diff(cells, axis=0)).mean(axis=2), axis=1)
    padded = np.pad(change, CUT_AROUND)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * CUT_AROUND + 1).copy()
    windows[:, CUT_AROUND] = 0
    return float((change / (CUT_LEAST + windows.max(axis=1))).max())
