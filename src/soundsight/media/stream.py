"""A file as consecutive pieces of about a second, decoded once, from front to back.

Memory does not grow with the length of the file, as long as its pictures and sound lie side by
side. In a file that holds all pictures before all sound (or a late sound), what is already made of
the one waits for the other: small frames or one mono waveform, never decoded pictures.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from soundsight.media.clip import ClipSpec
from soundsight.media.container import open_media
from soundsight.media.crop import Box
from soundsight.media.limits import DEFAULT_LIMITS, Limits
from soundsight.media.needed import DoubtError
from soundsight.media.reader import Reader, missing_sound_s, too_short

Piece = tuple[UInt8[np.ndarray, "t h w c"], Float32[np.ndarray, " n"]]
"""Frames 0 ... 255 and their sound in [-1, 1]; n = t * samples_per_frame."""
DECODE_ALL = False
"""Whether pictures that no frame needs are decoded as well; changes nothing but the time."""
SPARE_S = 1.0
"""A file that goes on for longer than this after the other one has ended is left, seconds."""


def stream(
    path: str | Path,
    spec: ClipSpec,
    *,
    sound: str | Path | None = None,
    start_s: float | int = 0.0,
    end_s: float | int | None = None,
    box: Box | None = None,
    frame_at: float | int = 0.5,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Piece]:
    """Read a file, or a part of it, piece by piece.

    Pieces joined end to end are bit for bit what `decode_all` and `decode` give.

    Args:
        path: media file.
        spec: size, channels and rates to make; its `frames` is not used.
        sound: a file with the sound, on the same clock; None: the file's own.
        start_s: where the part begins, seconds from the start of the file's clock.
        end_s: where it ends; None, or later than the file's end: where the file ends.
        box: what to crop to; None: the centre square.
        frame_at: frame k is what is on screen at start_s + (k + frame_at)/fps.
        limits: bounds beyond which the file is refused.

    Yields:
        Frames, shape (t, h, w, c), and sound, shape (n,), of the same duration.

    Raises:
        MediaError: if the file is missing, unreadable, beyond the limits, lacks picture or sound,
            or is shorter than a frame. If it is truncated: after all that can be read was yielded.
        ValueError: if a time is negative, the part is shorter than a frame, or the box has no area.
    """
    frames = _frames_between(spec, start_s, end_s)
    if not 0 <= frame_at < math.inf:
        raise ValueError(f"frame_at={frame_at} must be at least 0 (first instant of a frame)")

    def read(all_pictures: bool) -> Iterator[Piece]:
        with ExitStack() as opened:
            file = opened.enter_context(open_media(path, limits))
            other = file if sound is None else opened.enter_context(open_media(sound, limits))
            readers = [
                Reader(
                    source,
                    spec,
                    start_s=start_s,
                    frames=frames,
                    limits=limits,
                    video=source is file,
                    audio=source is other,
                    box=box,
                    frame_at=frame_at,
                    all_pictures=all_pictures,
                )
                for source in ([file] if other is file else [file, other])
            ]
            yield from _pieces(str(path), spec, readers, start_s)

    given = 0
    try:
        for piece in read(all_pictures=DECODE_ALL):
            yield piece
            given += 1
    except DoubtError:  # Rare, for instance after damage: what comes now is not certain.
        yield from islice(read(all_pictures=True), given, None)


def _frames_between(spec: ClipSpec, start_s: float | int, end_s: float | int | None) -> int | None:
    """Whole frames of a part; None: all."""
    if not 0 <= start_s < math.inf:
        raise ValueError(f"start_s={start_s} must be at least 0 seconds")
    if end_s is None:
        return None
    if not start_s + 0.999 / spec.fps < end_s < math.inf:
        raise ValueError(
            f"end_s={end_s} must be at least a frame ({1 / spec.fps:g} s) after start_s={start_s}"
        )
    return math.floor((end_s - start_s) * spec.fps + 1e-3)


def _pieces(
    name: str, spec: ClipSpec, readers: list[Reader], start_s: float | int
) -> Iterator[Piece]:
    """Give out what is ready of both while the readers go on, then the rest."""
    length = max(1, round(spec.fps))
    per_frame = spec.samples_per_frame
    given = 0
    for _ in _in_step(readers):
        picture, heard = readers[0].picture, readers[-1].sound  # Anew after a seek that failed.
        assert picture is not None
        assert heard is not None
        while picture.ready >= length and heard.ready >= length * per_frame:
            yield picture.take(length), heard.take(length * per_frame)
            given += length
    picture, heard = readers[0].picture, readers[-1].sound
    assert picture is not None
    assert heard is not None
    audible = math.floor((heard.end_s - start_s + missing_sound_s(spec)) * spec.fps)
    total = min(given + picture.ready, audible) if heard.has_any else 0
    while given < total:
        frames = min(length, total - given)
        yield picture.take(frames), heard.take(frames * per_frame)
        given += frames
    for reader in readers:
        reader.check_whole()
    if not given:
        end_s = min(picture.end_s, heard.end_s)
        raise too_short(name, "picture with sound", end_s, start_s + 1 / spec.fps)


def _in_step(readers: list[Reader]) -> Iterator[None]:
    """Steps of one reader, or of two: always of the one that is behind."""
    if len(readers) == 1:
        yield from readers[0].steps()
        return
    running = [(reader, reader.steps()) for reader in readers]
    while running:
        reader, steps = behind = min(running, key=lambda pair: pair[0].reached_s)
        ended_s = [other.end_s for other in readers if other.has_ended]
        if ended_s and reader.reached_s > ended_s[0] + SPARE_S:
            return
        try:
            next(steps)
        except StopIteration:
            running.remove(behind)
        yield
