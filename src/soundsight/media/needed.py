"""Decode only the pictures that are shown: at 10 frames per second, a third of a video of 30.

A picture is needed if a tick of the wanted clock lies between its time and the next picture's. Both
are known before anything is decoded, from the time stamps of the packets that follow. Of the others
the decoder leaves out those to which no picture refers (`skip_frame=NONREF`): all that it decodes
is bit for bit what it would have been.

Nothing is left out unless the file behaves: a codec in which a packet tells for certain that no
picture refers to it, one progressive picture a packet, time stamps everywhere and in order. What
comes out of the decoder is compared with what has to come; `DoubtError` if anything is missing,
damaged or in another order, since a decoder hides damage by means of any picture it has. (Damage
within a picture that is left out stays unseen, and so cannot spoil others as it otherwise might.)
"""

import bisect
import math
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import av

from soundsight.media.container import MediaFile, packets_of

CODECS = ("h264", "mpeg1video", "mpeg2video", "mpeg4")
"""Codecs with a mark of pictures to which no other refers.

HEVC's mark speaks of pictures of the same temporal layer only; other codecs have none.
Source: ITU-T H.264, 7.4.1 (nal_ref_idc); ITU-T H.265, 7.4.2.2 (sub-layer non-reference picture).
"""
AHEAD = 24
"""Picture packets read ahead: more than any codec moves a picture (16 in H.264)."""
MOST_AHEAD = 1000
"""Packets read ahead at most, where sound lies far from its pictures."""
CHECKED = 4
"""Pictures that must have come as their packets told before any is left out."""
BEFORE_KEY = 2
"""Nothing is left out in this many packets before a key frame, nor after it what is shown before.

Where pictures that these refer to are lost, a decoder may take others in their stead unnoticed.
"""
PATIENCE = 48
"""If nothing can be left out of this many pictures, it is no longer tried."""
MARGIN_S = 5e-7
"""A picture is kept if it misses a tick by no more, seconds."""


class DoubtError(Exception):
    """Pictures were left out of a file for which that may change others."""


class Ticks(NamedTuple):
    """When frames are taken: at first_s + k/fps for k = 0 ... number - 1."""

    first_s: float
    fps: float
    number: int | None
    """How many; None: as long as there are pictures."""
    same_s: float
    """A picture that comes this much after a tick is on screen at it, seconds."""

    def any_between(self, begin_s: float, end_s: float) -> bool:
        """Whether a picture on screen from `begin_s` to `end_s` may be needed.

        After the last tick every picture is: the first of them ends the reading.
        """
        begin_s, end_s = begin_s - self.same_s - MARGIN_S, end_s - self.same_s + MARGIN_S
        k = max(0, math.ceil((begin_s - self.first_s) * self.fps - 1e-9))
        if self.number is not None and k >= self.number:
            return True
        return self.first_s + k / self.fps <= end_s


def can_leave_out(video: av.VideoStream, fps: float | int) -> bool:
    """Whether a video may have pictures that `fps` frames per second do not need, and tells."""
    if video.codec_context.name not in CODECS:
        return False
    return video.average_rate is None or video.average_rate > 1.01 * fps


def needed_frames(
    file: MediaFile,
    streams: Sequence[av.VideoStream | av.AudioStream],
    ticks: Ticks,
    max_s: float | int,
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """As `frames_of`, without some of the pictures that no tick needs.

    Args:
        file: freshly opened file.
        streams: what to decode, its video stream among them.
        ticks: when frames are taken.
        max_s: time after which every picture counts: it is an error.

    Yields:
        Decoded frames in the file's order.

    Raises:
        DoubtError: if something was left out that may have mattered to what would come next; what
            came before is right.
    """
    assert file.video is not None
    watch = _Watch(file, file.video, ticks, max_s)
    for packet in _read_ahead(file, streams, watch):
        is_picture = watch.is_on and packet.stream_index == watch.index
        if is_picture:
            watch.choose(packet)
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            if is_picture:
                watch.doubt()
            continue
        for frame in frames:
            if is_picture:
                watch.check(frame)
            yield frame
    watch.check_end()


def _read_ahead(
    file: MediaFile, streams: "Sequence[av.VideoStream | av.AudioStream]", watch: "_Watch"
) -> Iterator[av.Packet]:
    """The file's packets in order, each after those that follow it have been seen."""
    waiting: deque[av.Packet] = deque()
    pictures = 0
    for packet in packets_of(file, streams):
        waiting.append(packet)
        if watch.is_on and packet.size and packet.stream_index == watch.index:
            watch.see(packet)
            pictures += 1
        while waiting and (pictures > AHEAD or len(waiting) > MOST_AHEAD or not watch.is_on):
            packet = waiting.popleft()
            pictures -= bool(packet.size) and packet.stream_index == watch.index
            yield packet
    yield from waiting


class _Watch:
    """Chooses what to decode, and checks what comes."""

    def __init__(
        self, file: MediaFile, video: av.VideoStream, ticks: Ticks, max_s: float | int
    ) -> None:
        self.index = video.index
        self.is_on = True
        """Whether pictures may be left out."""
        self._context = video.codec_context
        self._unit_s = float(video.time_base or 1)
        self._zero_s = file.zero_s
        self._ticks = ticks
        self._max_s = max_s
        self._stamps: list[int] = []  # Of packets seen, in order of presentation.
        self._last_dts: float = -math.inf
        self._waiting: deque[bool] = deque()  # Of packets seen, not yet chosen: a key frame?
        self._key_pts = -math.inf  # Of the last key frame chosen.
        self._top_pts = -math.inf  # The latest that was chosen.
        self._sent: list[tuple[int, bool]] = []  # Time stamp, whether it must come; not yet come.
        self._last_pts: float = -math.inf
        self._checked = 0
        self._decodes_all = True  # What the decoder was told last.
        self._has_left_out = False

    def see(self, packet: av.Packet) -> None:
        """Note the time stamp of a packet, long before it is decoded."""
        self._waiting.append(packet.is_keyframe)
        pts = packet.pts
        dts = self._last_dts if packet.dts is None else packet.dts  # Matroska has none at first.
        if pts is None or not self._last_dts <= dts <= pts or packet.is_corrupt:
            self.doubt()
            return
        self._last_dts = dts
        if not packet.is_discard:
            bisect.insort(self._stamps, pts)
            if len(self._stamps) > 8 * AHEAD:
                del self._stamps[: 4 * AHEAD]

    def choose(self, packet: av.Packet) -> None:
        """Tell the decoder whether the picture in a packet is needed."""
        is_needed = True
        if packet.size:
            self._waiting.popleft()
            if packet.is_keyframe and packet.pts is not None:
                self._key_pts = packet.pts
        if packet.size and packet.pts is not None and not packet.is_discard:
            is_needed = (
                self._checked < CHECKED
                or not self._key_pts < packet.pts < self._top_pts
                or any(islice(self._waiting, BEFORE_KEY))
                or self._is_needed(packet.pts)
            )
            bisect.insort(self._sent, (packet.pts, is_needed))
            self._top_pts = max(self._top_pts, packet.pts)
        if is_needed != self._decodes_all:
            self._context.skip_frame = "DEFAULT" if is_needed else "NONREF"
            self._decodes_all = is_needed
            self._has_left_out = True

    def check(self, frame: av.VideoFrame) -> None:
        """Compare a picture that came with what had to come."""
        if not self.is_on:
            return
        pts = frame.pts
        if pts is None or frame.is_corrupt or frame.interlaced_frame or not self._is_next(pts):
            self.doubt()
        self._checked += 1
        if self._checked >= PATIENCE and not self._has_left_out:
            self.is_on = False

    def check_end(self) -> None:
        """See whether all came that had to."""
        if self.is_on and any(must_come for _, must_come in self._sent):
            self.doubt()

    def doubt(self) -> None:
        """Leave nothing out any more; raise a DoubtError if anything was."""
        if self._has_left_out:
            raise DoubtError
        self.is_on = False

    def _is_next(self, pts: int) -> bool:
        """Whether a picture is one that was sent, and none is missing before it."""
        is_whole = pts > self._last_pts
        while self._sent and self._sent[0][0] < pts:
            is_whole &= not self._sent.pop(0)[1]
        self._last_pts = pts
        return is_whole and bool(self._sent) and self._sent.pop(0)[0] == pts

    def _is_needed(self, pts: int) -> bool:
        """Whether a picture is on screen at a tick, or one of the last two."""
        after = bisect.bisect_right(self._stamps, pts)
        if after + 1 >= len(self._stamps):
            return True  # What came before the last one may tell how long that lasts.
        begin_s, end_s = (
            stamp * self._unit_s - self._zero_s for stamp in (pts, self._stamps[after])
        )
        return begin_s > self._max_s or self._ticks.any_between(begin_s, end_s)
