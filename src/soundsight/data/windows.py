"""Cut a recording into windows of one length, while it is decoded once from front to back."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from soundsight.data.source import RawClip, Recording
from soundsight.media.clip import ClipSpec
from soundsight.media.limits import DEFAULT_LIMITS, Limits
from soundsight.media.stream import stream

FINEST = 60
"""A hop may be this fraction of a frame at the finest."""


def windows(
    recording: Recording,
    spec: ClipSpec,
    *,
    hop_s: float | None = None,
    frame_at: float = 0.5,
    path: str | Path | None = None,
    limits: Limits = DEFAULT_LIMITS,
    tell: Callable[[float], None] | None = None,
) -> Iterator[RawClip]:
    """The windows of a recording, in order of time.

    No more than one window and about a second of the recording is held at any time. A last part
    that is shorter than a window is left out.

    Args:
        recording: what to cut.
        spec: of a window.
        hop_s: from one window's start to the next one's, seconds; None: no overlap.
        frame_at: frame k of a window is what is on screen (k + frame_at)/fps after its start; 0 is
            the first instant of each frame, 0.5 its middle.
        path: where the video is, if not at the recording's path (taken out of an archive).
        limits: on the file.
        tell: called with the seconds that have been read so far.

    Yields:
        Windows with their start in the file, named by its milliseconds.

    Raises:
        MediaError: if the file cannot be read, or breaks off; what was read has been given then.
        ValueError: if the hop is no whole part of a frame.
    """
    finer, hop = ticks(spec, hop_s)
    fine = replace(
        spec, frames=spec.frames * finer, fps=spec.fps * finer, sample_rate=spec.sample_rate
    )
    pieces = stream(
        recording.path if path is None else path,
        fine,
        sound=recording.sound,
        start_s=recording.start_s,
        end_s=recording.end_s,
        box=recording.box,
        frame_at=frame_at * finer,
        limits=limits,
    )
    per_tick, length = fine.samples_per_frame, fine.frames
    video = np.zeros((0, spec.size, spec.size, spec.channels), np.uint8)
    sound = np.zeros(0, np.float32)
    start, first = 0, 0  # Ticks: of the next window, and of what is held.
    for frames, wave in pieces:
        video, sound = np.concatenate([video, frames]), np.concatenate([sound, wave])
        if tell is not None:
            tell((first + len(video)) / fine.fps)
        while start - first + length <= len(video):
            at = start - first
            start_s = recording.start_s + start / fine.fps
            yield RawClip(
                name=f"{round(1000 * start_s):09d}",
                start_s=round(start_s, 6),
                frames=np.ascontiguousarray(video[at : at + length : finer]),
                sound=sound[at * per_tick : (at + length) * per_tick].copy(),
            )
            start += hop
        done = min(start - first, len(video))
        video, sound, first = video[done:], sound[done * per_tick :], first + done


def ticks(spec: ClipSpec, hop_s: float | None) -> tuple[int, int]:
    """The clock on which windows start: its ticks per frame, and the ticks of a hop.

    Raises:
        ValueError: if no such clock has whole samples per tick; the nearest hops are named.
    """
    if hop_s is None:
        return 1, spec.frames
    if not 0 < hop_s < math.inf:
        raise ValueError(f"hop_s={hop_s} must be positive")
    for finer in range(1, FINEST + 1):
        hop = hop_s * spec.fps * finer
        if round(hop) >= 1 and abs(hop - round(hop)) < 1e-6 and not spec.samples_per_frame % finer:
            return finer, round(hop)
    frames = max(1, round(hop_s * spec.fps))
    raise ValueError(
        f"hop_s={hop_s} is no whole number of frames, nor of a part of a frame with whole samples; "
        f"nearest whole frames: {frames / spec.fps:g} or {(frames + 1) / spec.fps:g} s"
    )
