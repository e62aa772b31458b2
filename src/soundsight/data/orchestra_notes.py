"""What the players of `Orchestra` play: instruments, notes, and the motion that goes with them.

A clip has one player, who plays one note after the other. A note has an onset, a pitch and a
loudness. Its pitch is where the gloved hand is (pose), its onset is where a stroke of the bow or of
the bell begins, its loudness is how far that stroke goes. Everything here is arithmetic on random
numbers: nothing is drawn or heard.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

Mismatch = Literal["none", "class", "pitch", "onset"]

GAP_S = 0.25
"""Shortest time between two onsets, s."""
STROKE_S = 0.2
"""How long a stroke moves, s."""
SLIDE_S = 0.08
"""How long the hand takes to a new pitch, s."""
LOUDNESS = (0.4, 1.0)
"""Smallest and largest loudness."""
LOOKS, TIMBRES = 28, 16
"""Random numbers of a clip's looks and of its timbre."""


class Instrument(NamedTuple):
    """How one class sounds."""

    name: str
    low: int
    """Lowest note, MIDI: 69 is 440 Hz."""
    high: int
    """Highest note, MIDI."""
    partials: tuple[float, ...]
    """Amplitudes of the harmonics 1, 2, ..., of any scale."""
    attack_s: float
    """From silence to full, s."""
    decay_s: float
    """After that time the note is half as loud, s."""
    vibrato: float = 0.0
    """Largest deviation of the pitch, semitones."""
    breath: float = 0.0
    """Noise, as a share of the peak."""


# fmt: off
INSTRUMENTS = (
    Instrument("bassoon", 41, 60, (.5, 1, .3, .9, .25, .06, .3, .1, .03, .1), .03, 3, breath=.01),
    Instrument("cello", 40, 62, (1, .5, .9, .2, .12, .5, .15, .06, .3, .08, .05, .15), .04, 4, .15),
    Instrument("clarinet", 55, 77, (1, .02, .7, .03, .45, .05, .2, .06, .1), .03, 4, breath=.005),
    Instrument("double_bass", 33, 52, (.5, .6, 1, .8, .1, .35, .4, .05, .1), .03, 1, .05),
    Instrument("flute", 65, 88, (1, .3, .12, .03, .01), .04, 4, .2, .05),
    Instrument("horn", 46, 67, (1, .8, .35, .2, .06, .03, .02), .04, 4),
    Instrument("oboe", 60, 82, (.3, .5, 1, .9, .3, .1, .3, .1, .05), .02, 4, .1),
    Instrument("sax", 53, 74, (1, .35, .3, .6, .55, .15, .1, .3, .2, .1, .05), .03, 4, .15, .03),
    Instrument("trombone", 43, 64, (.5, .9, 1, .8, .7, .5, .35, .25, .2, .12, .1), .025, 4),
    Instrument("trumpet", 58, 79, (.35, .4, .7, .9, 1, .9, .8, .6, .5, .4, .3, .25), .015, 4),
    Instrument("tuba", 33, 53, (.7, 1, .4, .1, .05, .02), .04, 3),
    Instrument("viola", 50, 72, (.3, 1, .2, .5, .15, .45, .3, .1, .25, .2, .1, .1), .04, 4, .2),
    Instrument("violin", 57, 80, (1, .2, .5, .12, .6, .5, .08, .3, .25, .1, .2, .15), .03, 4, .25),
)
# fmt: on
"""The thirteen, in the order of Sub-URMP's classes (alphabetical)."""
CLASSES = tuple(instrument.name for instrument in INSTRUMENTS)
LOWS = np.array([instrument.low for instrument in INSTRUMENTS])
SPANS = np.array([instrument.high - instrument.low for instrument in INSTRUMENTS])


class Notes(NamedTuple):
    """Notes of b clips, m at most; rows are filled up with NaN."""

    onset: Float64[np.ndarray, "b m"]
    """Seconds after the clip's start, whole milliseconds."""
    midi: Float64[np.ndarray, "b m"]
    """Whole numbers: 69 is 440 Hz."""
    loudness: Float64[np.ndarray, "b m"]
    """0.4 to 1."""


class Score(NamedTuple):
    """What b clips show and sound like."""

    seen_class: Int64[np.ndarray, " b"]
    seen: Notes
    """Notes that the player's motion tells of."""
    heard_class: Int64[np.ndarray, " b"]
    """The same as `seen_class` unless they are mismatched on purpose."""
    heard: Notes
    """Notes of the sound; the same as `seen` unless they are mismatched on purpose."""
    start: Float64[np.ndarray, " b"]
    """Where the bow or the bell is at first, -1 to 1."""
    looks: Float64[np.ndarray, "b i"]
    """Uniform numbers that decide about player and background."""
    timbre: Float64[np.ndarray, "b j"]
    """Uniform numbers that decide about the instrument's voice."""


class Motion(NamedTuple):
    """The player at t times."""

    pose: Float64[np.ndarray, "b t"]
    """Place of the gloved hand: 0 at the instrument's lowest note, 1 at its highest."""
    stroke: Float64[np.ndarray, "b t"]
    """Place of the bow, or lift of the bell, -1 to 1."""
    phase: Float64[np.ndarray, "b t"]
    """How much of the latest stroke is over: 0 at its onset (and before the first), 1 at rest."""


def frequency(midi: Float64[np.ndarray, "*i"]) -> Float64[np.ndarray, "*i"]:
    """Hz of MIDI notes (equal temperament, 69 is 440 Hz), to a millionth; NaN stays NaN."""
    return np.round(440 * 2 ** ((midi - 69) / 12), 6)


def most_notes(seconds: float) -> int:
    """Most notes m of a clip that long: a mean distance of at least a third of a second, and 1."""
    return max(1, int(0.75 * seconds / GAP_S + 1e-9))


def numbers_needed(seconds: float) -> int:
    """Uniform numbers that `write` takes per clip."""
    return 4 + LOOKS + TIMBRES + 5 * most_notes(seconds)


def write(
    numbers: Float64[np.ndarray, "b i"],
    classes: Int64[np.ndarray, " b"],
    seconds: float,
    mismatch: Mismatch,
) -> Score:
    """Turn random numbers into music.

    Args:
        numbers: uniform in [0, 1), `numbers_needed(seconds)` per clip.
        classes: of the instruments seen.
        seconds: length of the clips, s.
        mismatch: what the sound does not share with the picture; see `Orchestra.mismatch`.
    """
    most = most_notes(seconds)
    head, looks, timbre = np.split(numbers[:, : 4 + LOOKS + TIMBRES], [4, 4 + LOOKS], axis=1)
    when, pitch, loud, other_when, other_pitch = np.split(numbers[:, 4 + LOOKS + TIMBRES :], 5, 1)
    fewest = (most + 1) // 2
    count = fewest + np.floor(head[:, 0] * (most - fewest + 1))
    absent = np.arange(most) >= count[:, None]

    loudness = np.where(absent, np.nan, LOUDNESS[0] + (LOUDNESS[1] - LOUDNESS[0]) * loud)
    seen = Notes(_onsets(when, absent, seconds), _midi(pitch, absent, classes), loudness)
    heard, heard_class = seen, classes
    if mismatch == "onset":
        heard = seen._replace(onset=_onsets(other_when, absent, seconds))
    elif mismatch == "pitch":
        heard = seen._replace(midi=_midi(other_pitch, absent, classes))
    elif mismatch == "class":
        step = 1 + np.floor(head[:, 1] * (len(CLASSES) - 1)).astype(np.int64)
        heard_class = (classes + step) % len(CLASSES)
        heard = seen._replace(midi=_midi(pitch, absent, heard_class))

    start = np.where(head[:, 2] < 0.5, -1, 1) * (0.3 + 0.7 * head[:, 3])
    return Score(classes, seen, heard_class, heard, start, looks, timbre)


def _onsets(
    uniform: Float64[np.ndarray, "b m"], absent: np.ndarray, seconds: float
) -> Float64[np.ndarray, "b m"]:
    """Times at least `GAP_S` apart and from the end; a lone note in the first fifth of the clip."""
    count = (~absent).sum(1, keepdims=True)
    if absent.shape[1] == 1:
        return np.floor(200 * seconds * uniform) / 1000
    share = np.sort(np.where(absent, np.inf, uniform), axis=1)
    room = seconds - count * GAP_S
    onset = np.arange(absent.shape[1]) * GAP_S + np.where(absent, 0, share) * room
    return np.where(absent, np.nan, np.floor(1000 * onset) / 1000)


def _midi(
    uniform: Float64[np.ndarray, "b m"], absent: np.ndarray, classes: Int64[np.ndarray, " b"]
) -> Float64[np.ndarray, "b m"]:
    """Notes of the instruments' registers, each as likely as the other."""
    note = LOWS[classes, None] + np.floor(uniform * (SPANS[classes, None] + 1))
    return np.where(absent, np.nan, note)


def move(score: Score, times: Float64[np.ndarray, " t"]) -> Motion:
    """Where hand and bow (or bell) are.

    A stroke goes from where the last one ended towards and past the middle, by the note's loudness;
    it starts fast and eases out. The hand goes to its new place at the same time.

    Args:
        score: what is played.
        times: seconds after the clip's start.
    """
    target = (score.seen.midi - LOWS[score.seen_class, None]) / SPANS[score.seen_class, None]
    b, most = target.shape
    stroke = np.repeat(score.start[:, None], len(times), axis=1)
    pose, phase = np.repeat(target[:, :1], len(times), axis=1), np.zeros((b, len(times)))
    place, hand = score.start, target[:, 0]
    for k in range(most):
        onset = score.seen.onset[:, k, None]
        begun = times >= onset  # False where the onset is NaN.
        passed = np.where(begun, times - onset, 0)
        step = np.where(place < 0, 1, -1) * score.seen.loudness[:, k]
        done = np.clip(passed / STROKE_S, 0, 1)
        stroke = np.where(begun, place[:, None] + step[:, None] * _ease(done), stroke)
        slid = _ease(np.clip(passed / SLIDE_S, 0, 1))
        pose = np.where(begun, hand[:, None] + (target[:, k] - hand)[:, None] * slid, pose)
        phase = np.where(begun, done, phase)
        place, hand = place + step, target[:, k]
    return Motion(pose, stroke, phase)


def _ease(x: Float64[np.ndarray, "b t"]) -> Float64[np.ndarray, "b t"]:
    """Fast at 0, at rest at 1."""
    return 1 - (1 - x) ** 2
