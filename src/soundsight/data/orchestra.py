"""Orchestra: thirteen instruments whose class, pitch and strokes can be both seen and heard.

A player stands before a wall and plays notes. Three couplings join picture and sound:

- class: an instrument's shape and colour are seen, its timbre and register are heard;
- pitch: the gloved hand stands higher on the instrument (slides further in) for a higher note;
- onset: a stroke of the bow, or of the bell, begins exactly when a note does, and goes as far as
  the note is loud.

Walls, players and their instruments' voices vary at random. Frame k shows the state at its middle,
(k + 0.5) / fps seconds. A clip of one frame and half a second is a pair of an image and its sound.

Source: the classes, their order and their numbers are those of Sub-URMP (L. Chen, S. Srivastava,
Z. Duan and C. Xu, "Deep cross-modal audio-visual generation", 2017); everything else is our own.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from itertools import count
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from soundsight.data.digits import SPLITS
from soundsight.data.m3so_motion import uniforms
from soundsight.data.orchestra_notes import (
    CLASSES,
    INSTRUMENTS,
    Mismatch,
    Motion,
    Score,
    frequency,
    move,
    numbers_needed,
    write,
)
from soundsight.data.orchestra_picture import Looks, dress, paint, to_bytes
from soundsight.data.orchestra_sound import play
from soundsight.data.perceived import Perceived
from soundsight.media.clip import Clip, ClipSpec

SUB_URMP_TRAIN = (1735, 9800, 8125, 1270, 5690, 5540, 4505, 7615, 8690, 1015, 3285, 6530, 7430)
"""Pairs per class in Sub-URMP's training part."""
SUB_URMP_TEST = (390, 1030, 945, 1180, 925, 525, 390, 910, 805, 520, 525, 485, 945)
"""Pairs per class in Sub-URMP's test part, with the counts of its repaired index."""
SMALLEST, SHORTEST_S = 32, 0.2
_CHUNK = 8  # Clips of an instrument painted at a time, so that the work stays in the cache.


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Orchestra:
    """Configuration. Frame size, rates and length come from the `ClipSpec` given to `build`.

    Example:
        >>> pairs = ClipSpec(frames=1, fps=2, size=64, channels=3, sample_rate=44100)
        >>> clip = Orchestra().build(pairs, "train").clips([0, 1])
        >>> tuple(clip.video.shape), tuple(clip.audio.shape), clip.label.tolist()
        ((2, 1, 3, 64, 64), (2, 22050), [0, 1])
    """

    kind: Literal["orchestra"] = "orchestra"
    clips: tuple[int, int, int] = (6500, 910, 910)
    """Clips in train, val and test."""
    imbalance: bool = False
    """False: clip i is of class i mod 13. True: classes are drawn with the shares of Sub-URMP's
    training part (train) or of its test part (val, test)."""
    mismatch: Mismatch = "none"
    """Which coupling is cut, for controls. "class": the sound is of another instrument, at the same
    place of that one's register. "pitch": the sound's pitches are drawn anew. "onset": the sound's
    onsets are drawn anew; its notes, their order and their loudness stay. The picture is the same
    in all of them, and the label is the class that is seen."""
    seed: int = 1
    """Root of all randomness."""

    def build(self, spec: ClipSpec, split: str) -> "OrchestraDataset":
        """Open one split.

        Args:
            spec: frame size, rates and length of the clips.
            split: "train", "val" or "test".

        Raises:
            ValueError: if the split is unknown, a number is out of range, or the clips are too
                small, too short or of too low a sample rate for the instruments.
        """
        if split not in SPLITS:
            raise ValueError(f"split={split!r} must be one of {', '.join(SPLITS)}")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed} must not be negative")
        if min(self.clips) < 0:
            raise ValueError(f"clips={self.clips} must not be negative")
        check_spec(spec)
        return OrchestraDataset(self, spec, split)


def check_spec(spec: ClipSpec) -> None:
    """Refuse clips that cannot show or carry the instruments.

    Raises:
        ValueError: naming the nearest value that can.
    """
    if spec.size < SMALLEST:
        raise ValueError(
            f"size={spec.size} px is too small for a hand on an instrument; nearest: {SMALLEST}"
        )
    if spec.seconds < SHORTEST_S:
        frames = int(np.ceil(SHORTEST_S * spec.fps - 1e-9))
        raise ValueError(
            f"frames={spec.frames} at fps={spec.fps:g} last {spec.seconds:.3g} s, too short to "
            f"hear a pitch; nearest: {frames} frames ({SHORTEST_S} s)"
        )
    highest = max(INSTRUMENTS, key=lambda instrument: instrument.high)
    hertz = float(frequency(np.array([float(highest.high)]))[0])
    needed = int(np.ceil(2 * (2 * hertz) / 0.9))
    if spec.sample_rate < needed:
        nearest = nearest_sample_rate(needed, spec.fps)
        raise ValueError(
            f"sample_rate={spec.sample_rate} Hz cannot carry the first two harmonics of the "
            f"highest note of the {highest.name}, {hertz:.0f} Hz; nearest that can: {nearest} Hz"
        )


def nearest_sample_rate(needed: int, fps: float | int) -> int:
    """The lowest sample rate, Hz, of at least `needed` that frames of that rate divide."""
    for rate in count(needed):
        try:
            return ClipSpec(frames=1, fps=fps, sample_rate=rate).sample_rate
        except ValueError:
            continue
    raise AssertionError("unreachable")


@dataclasses.dataclass(frozen=True)
class OrchestraTruth:
    """What b clips of t frames and at most m notes show and sound like.

    Rows of notes are filled up with NaN. Without a mismatch, the fields of sound equal those of the
    picture.
    """

    classes: Int64[np.ndarray, " b"]
    """Instrument seen, 0 to 12; the label."""
    onset_s: Float64[np.ndarray, "b m"]
    """When the strokes seen begin, seconds after the clip's start, ascending."""
    midi: Float64[np.ndarray, "b m"]
    """Pitch that the hand shows, whole numbers: 69 is 440 Hz."""
    pitch_hz: Float64[np.ndarray, "b m"]
    """The same in Hz."""
    loudness: Float64[np.ndarray, "b m"]
    """0.4 to 1: how far a stroke goes, and the peak of its sound as a share of 0.8."""
    pose: Float64[np.ndarray, "b t"]
    """Place of the gloved hand at the middle of each frame: 0 at the lowest note, 1 the highest."""
    stroke: Float64[np.ndarray, "b t"]
    """Place of the bow, or lift of the bell, at the middle of each frame, -1 to 1."""
    phase: Float64[np.ndarray, "b t"]
    """Share of the latest stroke that is over: 0 before the first note, 1 at rest."""
    sound_classes: Int64[np.ndarray, " b"]
    """Instrument heard."""
    sound_onset_s: Float64[np.ndarray, "b m"]
    """When the notes heard begin."""
    sound_midi: Float64[np.ndarray, "b m"]
    """Pitch heard."""
    sound_pitch_hz: Float64[np.ndarray, "b m"]
    """The same in Hz; with vibrato, its middle."""


class OrchestraDataset:
    """Clips of one split: clip i depends on the configuration, the split and i, nothing else."""

    def __init__(self, config: Orchestra, spec: ClipSpec, split: str) -> None:
        self.config = config
        self.spec = spec
        self._split = SPLITS.index(split)
        counts = SUB_URMP_TRAIN if split == "train" else SUB_URMP_TEST
        self._shares = np.cumsum(counts) / sum(counts)

    def __len__(self) -> int:
        return self.config.clips[self._split]

    @cached_property
    def labels(self) -> Int64[np.ndarray, " b"]:
        """Class seen in every clip of the split."""
        return self._classes(np.arange(len(self)))

    def clips(self, indices: Sequence[int]) -> Clip:
        """These clips, in this order: video, sound, and the class seen as label.

        Each is a recording of its own, from its beginning on.

        Raises:
            IndexError: if an index is negative or too large.
        """
        score, motion = self._perform(indices)
        frames = self._frames(score, motion)
        return Clip(
            self.spec,
            video=torch.from_numpy(frames / np.float32(255)),
            audio=torch.from_numpy(play(score, self.spec.samples, self.spec.sample_rate)),
            label=torch.from_numpy(score.seen_class),
            source=torch.tensor(list(indices), dtype=torch.int64),
            start=torch.zeros(len(indices), dtype=torch.float64),
        )

    def arrays(
        self, indices: Sequence[int]
    ) -> tuple[UInt8[np.ndarray, "b t c h w"], Float32[np.ndarray, "b n"]]:
        """The same clips as bytes, which `clips` divides by 255, and sound."""
        score, motion = self._perform(indices)
        sound = play(score, self.spec.samples, self.spec.sample_rate)
        return self._frames(score, motion), sound

    def truth(self, indices: Sequence[int]) -> OrchestraTruth:
        """What happens in these clips; nothing is painted or played."""
        score, motion = self._perform(indices)
        return OrchestraTruth(
            classes=score.seen_class,
            onset_s=score.seen.onset,
            midi=score.seen.midi,
            pitch_hz=frequency(score.seen.midi),
            loudness=score.seen.loudness,
            pose=motion.pose,
            stroke=motion.stroke,
            phase=motion.phase,
            sound_classes=score.heard_class,
            sound_onset_s=score.heard.onset,
            sound_midi=score.heard.midi,
            sound_pitch_hz=frequency(score.heard.midi),
        )

    def perceive(self, clip: Clip) -> Perceived:
        """Read clips, real or generated: the picture alone and the sound alone.

        Args:
            clip: b clips with video and sound.

        Returns:
            The median over the frames of the hand's pose, and of the pitch that sounds meanwhile,
            in octaves above the lowest note of the instrument heard; the class by look and by
            timbre; strokes seen and onsets heard.

        Raises:
            ValueError: if the clips lack video or sound, or hold values that are not finite.
        """
        from soundsight.data.orchestra_oracle import perceive  # It reads this module.

        return perceive(clip)

    def _perform(self, indices: Sequence[int]) -> tuple[Score, Motion]:
        """Write the music of clips, and move their players."""
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        outside = wanted[(wanted < 0) | (wanted >= len(self))]
        if len(outside):
            raise IndexError(f"clip {outside[0]} is not among the split's {len(self)}")
        seconds, config = self.spec.seconds, self.config
        numbers = uniforms(config.seed, self._split, wanted, 0, 1 + numbers_needed(seconds))
        classes = self._classes(wanted, numbers[:, 0])
        score = write(numbers[:, 1:], classes, seconds, config.mismatch)
        middles = (np.arange(self.spec.frames) + 0.5) / self.spec.fps
        return score, move(score, middles)

    def _classes(
        self, wanted: Int64[np.ndarray, " b"], first: Float64[np.ndarray, " b"] | None = None
    ) -> Int64[np.ndarray, " b"]:
        """The instruments seen in clips, given the first random number of each if it is at hand."""
        if not self.config.imbalance:
            return wanted % len(CLASSES)
        if first is None:
            first = uniforms(self.config.seed, self._split, wanted, 0, 1)[:, 0]
        return np.searchsorted(self._shares, first, side="right").astype(np.int64)

    def _frames(self, score: Score, motion: Motion) -> UInt8[np.ndarray, "b t c s s"]:
        """Paint clips, those of one instrument together."""
        size, channels = self.spec.size, self.spec.channels
        shape = (len(score.seen_class), self.spec.frames, channels, size, size)
        frames = np.empty(shape, dtype=np.uint8)
        looks = dress(score.looks)
        for instrument in np.unique(score.seen_class).tolist():
            (rows,) = np.nonzero(score.seen_class == instrument)
            for start in range(0, len(rows), _CHUNK):
                some = rows[start : start + _CHUNK]
                part = Looks(*(value[some] for value in looks))
                moves = Motion(*(value[some] for value in motion))
                frames[some] = to_bytes(paint(instrument, part, moves, size, channels))
        return frames
