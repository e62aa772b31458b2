"""Fingerprints of clips, and which clips are nearly the same.

Hashes are hexadecimal strings of fixed length that change in few bits when a clip is encoded again,
resized, or made a little brighter or louder. Two clips are near-duplicates only if picture *and*
sound agree: all clips of one speaker before one wall look alike, and one song may accompany many
pictures.

Picture: signs of low frequencies of the mean picture of the clip's first and second half, 64 bits
each. Sound: for each 16th of the clip, 16 signs of how differences between neighbouring frequency
bands change in time. A 16th that is (nearly) silent has the word 0, and silence is like nothing.

Source: the picture's is the "perceptual hash" by DCT as it is in general use; C. Zauner,
"Implementation and benchmarking of perceptual image hash functions", 2010, section 3.2.1. The
sound's bits are those of J. Haitsma and T. Kalker, "A highly robust audio fingerprinting system",
ISMIR 2002, section 4.2, on a coarse grid that depends on the clip's length.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8, UInt16, UInt64

CELLS = 16
"""Thumbnails are this many cells wide and high."""
FLAT = 1.0
"""A picture whose cells differ by less than this standard deviation, levels of 255, has hash 0."""
SLOTS = 16
"""Words of a sound's hash, in order of time."""
WORD = 16
"""Bits of a word: one less than there are frequency bands."""
LOW_HZ, HIGH_HZ = 150.0, 3400.0
"""Range of the bands, at most to 45 % of the sample rate: telephone's, which every copy keeps."""
SILENCE_DB = -70.0
"""A slot of less power than this, dB re full scale, is silent."""
QUIET_DB = 40.0
"""So is one that is this much quieter than the clip's loudest."""
SPREAD = 4
"""Slots over which the power is smoothed: what makes the hash bear small shifts."""
PICTURE_BITS = 26
"""Pictures agree if at most this many of 128 bits differ."""
SOUND_SHARE = 0.15
"""Sounds agree if at most this share of the bits of the words that both have differs. Copies that
were encoded again differ in 0.02; one speaker's same words, said again, in 0.17 and more (but for
one pair of 143,531, with 0.12: a sentence on the same words at the same pace)."""
LEAST_WORDS = 6
"""Sounds are compared only if both have at least this many words in the same places."""
SHIFTS = 2
"""Sounds are also compared when shifted against each other by up to this many slots."""
NEIGHBOURS = 6
"""Each clip is compared with this many that follow it among those with which it shares a key."""
PAIRS_AT_ONCE = 2**18
"""Pairs compared in one step: bounds the memory."""


def thumbnails(
    frames: UInt8[np.ndarray, "t h w c"], cells: int = CELLS
) -> Float32[np.ndarray, "t i j c"]:
    """Frames averaged over cells.

    Args:
        frames: 0 ... 255.
        cells: how many across and down; at most one per pixel.

    Returns:
        Means, 0 ... 255.
    """
    t, h, w, c = frames.shape
    down, across = _averaging(h, cells), _averaging(w, cells)
    rows = down @ frames.reshape(t, h, w * c).astype(np.float32)
    columns = rows.reshape(t, len(down), w, c).transpose(0, 1, 3, 2) @ across.T
    return np.ascontiguousarray(columns.transpose(0, 1, 3, 2))


@lru_cache(maxsize=32)
def _averaging(side: int, cells: int) -> Float32[np.ndarray, "i j"]:
    """A matrix that averages `side` pixels into cells, (cells, side)."""
    cells = min(cells, side)
    chosen = (np.arange(side) * cells // side == np.arange(cells)[:, None]).astype(np.float32)
    return chosen / chosen.sum(axis=1, keepdims=True)


def picture_hash(thumbs: Float32[np.ndarray, "t i j c"]) -> str:
    """Hash of what is seen.

    Args:
        thumbs: `thumbnails` of the frames.

    Returns:
        32 hexadecimal digits: 64 bits of the first half, 64 of the second; 0 where it is flat.
    """
    half = (len(thumbs) + 1) // 2
    return "".join(_look(part.mean(axis=(0, 3))) for part in (thumbs[:half], thumbs[-half:]))


def _look(picture: Float32[np.ndarray, "i j"]) -> str:
    """64 bits of a picture: whether its low frequencies are above their median."""
    if picture.std() < FLAT:
        return f"{0:016x}"
    down, across = (_cosines(side) for side in picture.shape)
    low = (down @ (picture - picture.mean()) @ across.T).ravel()[1:]
    bits = np.append(low > np.median(low), True)  # The last keeps the hash from being 0.
    return np.packbits(bits).tobytes().hex()


@lru_cache(maxsize=32)
def _cosines(side: int) -> Float32[np.ndarray, "8 j"]:
    """The first 8 rows of the discrete cosine transform (DCT-II)."""
    return np.cos(np.pi * np.arange(8)[:, None] * (np.arange(side) + 0.5) / side).astype(np.float32)


def sound_hash(sound: Float32[np.ndarray, " n"], sample_rate: int) -> str:
    """Hash of what is heard; no louder, no quieter copy changes it.

    Args:
        sound: in [-1, 1]; at least 64 samples, else it counts as silent.
        sample_rate: Hz.

    Returns:
        64 hexadecimal digits: 16 words of 16 bits in order of time, 0 where it is silent.
    """
    hop = len(sound) // (2 * SLOTS)
    if hop < 2:
        return f"{0:064x}"
    # Windows of two hops around 0, 1, ..., 2 SLOTS hops; no longer than an eighth of a second.
    size = min(2 * hop, max(16, sample_rate // 8))
    padded = np.pad(sound, (size // 2, size))
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(sound) + 1 : hop]
    windows = windows[: 2 * SLOTS + 1]
    spectrum = np.fft.rfft(windows * _hann(size))
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32) @ _filters(size, sample_rate)
    smooth = _smoothing() @ power  # (SLOTS + 2, bands)
    level = np.log(smooth + 1e-12 * size**2)
    tilt = level[:, 1:] - level[:, :-1]
    words = np.packbits(tilt[2:] > tilt[:-2], axis=1).view(">u2")[:, 0].astype(np.uint16)
    loud_db = 10 * np.log10(smooth[1:-1].sum(axis=1) / size**2 + 1e-20)
    heard = loud_db > max(SILENCE_DB, float(loud_db.max()) - QUIET_DB)
    return np.where(heard, np.maximum(words, 1), 0).astype(">u2").tobytes().hex()


@lru_cache(maxsize=16)
def _hann(size: int) -> Float32[np.ndarray, " n"]:
    return np.hanning(size).astype(np.float32)


@lru_cache(maxsize=16)
def _filters(size: int, sample_rate: int) -> Float32[np.ndarray, "f m"]:
    """Overlapping triangles, evenly spaced in the logarithm of the frequency, (f, WORD + 1)."""
    hz = np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 1e-3)
    high = min(HIGH_HZ, 0.45 * sample_rate)
    edges = np.linspace(math.log(min(LOW_HZ, high / 8)), math.log(high), WORD + 3)
    width = np.maximum(edges[1] - edges[0], np.log1p(sample_rate / size / np.exp(edges[1:-1])))
    return np.maximum(1 - np.abs(np.log(hz)[:, None] - edges[1:-1]) / width, 0).astype(np.float32)


@lru_cache(maxsize=1)
def _smoothing() -> Float32[np.ndarray, "m k"]:
    """Weights that turn 2 SLOTS + 1 powers into those of SLOTS + 2 slots, half a slot early."""
    centres = np.arange(-1, SLOTS + 1)[:, None] * 2 + 1
    away = np.abs(np.arange(2 * SLOTS + 1) - centres) / SPREAD
    weights = np.where(away < 1, 1 + np.cos(np.pi * away), 0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def words(hashes: Sequence[str]) -> UInt64[np.ndarray, "i m"]:
    """Hashes of one length as rows of 64-bit numbers, for `near_duplicates`.

    Args:
        hashes: hexadecimal strings, all of them as long; their length a multiple of 16.

    Returns:
        Shape (i, length / 16).

    Raises:
        ValueError: if one is not such a string, or their lengths differ.
    """
    try:
        rows = [np.frombuffer(bytes.fromhex(text), ">u8") for text in hashes]
        return np.stack(rows).astype(np.uint64) if rows else np.zeros((0, 1), dtype=np.uint64)
    except ValueError as error:
        raise ValueError(
            f"hashes must be hexadecimal, of one length that is a multiple of 16: {error}"
        ) from error


def near_duplicates(
    picture: UInt64[np.ndarray, "i p"],
    sound: UInt64[np.ndarray, "i q"],
    sources: Int64[np.ndarray, " i"] | None = None,
) -> list[list[int]]:
    """Groups of clips that are nearly the same in picture and sound.

    Clips that share a key (two words of the sound next to each other or one apart, or a word and
    16 bits of the picture) are compared with the few that are closest to them in the order of the
    words that follow: the time grows like that of sorting, whatever the clips are. Copies that are
    shifted by a few frames are mostly found, those encoded again practically always. A silent clip
    is like none.

    Args:
        picture: `words` of the pictures' hashes, (i, 2).
        sound: `words` of the sounds' hashes, (i, 4).
        sources: number of the recording each clip is from; clips of one recording are not compared
            (they may overlap). None: all are.

    Returns:
        Groups of two or more indices in ascending order, in order of their first.

    Raises:
        ValueError: if the arrays have other shapes.
    """
    if picture.shape[1:] != (2,) or sound.shape[1:] != (4,):
        raise ValueError(f"hashes of shapes {picture.shape}, {sound.shape}: must be (i, 2), (i, 4)")
    count = len(picture)
    owner = np.arange(count) if sources is None else sources
    slots, look = _as_words(sound), _as_words(picture)
    leader = np.arange(count)
    for keys, clips in _keys(slots, picture):
        for a, b in _candidates(keys, clips):
            unlike = (owner[a] != owner[b]) & (leader[a] != leader[b])
            codes = np.unique(np.minimum(a, b)[unlike] * count + np.maximum(a, b)[unlike])
            for start in range(0, len(codes), PAIRS_AT_ONCE):
                pairs = np.column_stack(np.divmod(codes[start : start + PAIRS_AT_ONCE], count))
                leader = _join(leader, pairs[_agree(slots, look, pairs)])
    members = np.argsort(leader, kind="stable")
    groups = np.split(members, np.flatnonzero(np.diff(leader[members])) + 1)
    return [group.tolist() for group in groups if len(group) > 1]


def _as_words(hashes: UInt64[np.ndarray, "i m"]) -> UInt16[np.ndarray, "i k"]:
    """16-bit words, the first ones first."""
    return hashes.astype(">u8").view(">u2").astype(np.uint16)


def _keys(
    slots: UInt16[np.ndarray, "i k"], picture: UInt64[np.ndarray, "i p"]
) -> Iterator[tuple[UInt64[np.ndarray, " m"], Int64[np.ndarray, " m"]]]:
    """Keys and the clips that have them: 32 bits to share, then 32 to be ordered by."""
    wide = np.pad(slots, ((0, 0), (0, 4))).astype(np.uint64)
    clips = np.repeat(np.arange(len(slots))[:, None], SLOTS, axis=1)
    for gap in (1, 2, 0):
        first, second = wide[:, :SLOTS], wide[:, gap : SLOTS + gap]
        after = wide[:, gap + 1 : SLOTS + gap + 1] << 16 | wide[:, gap + 2 : SLOTS + gap + 2]
        heard = (first > 0) & (second > 0)
        if gap:
            yield (first << 48 | second << 32 | after)[heard], clips[heard]
            continue
        for half in picture.T:
            yield (first << 48 | (half >> 48 << 32)[:, None] | after)[heard], clips[heard]


def _candidates(
    keys: UInt64[np.ndarray, " m"], clips: Int64[np.ndarray, " m"]
) -> Iterator[tuple[Int64[np.ndarray, " j"], Int64[np.ndarray, " j"]]]:
    """Pairs of clips that share a key and are close in its order."""
    order = np.argsort(keys, kind="stable")
    shared, clips = keys[order] >> 32, clips[order]
    for ahead in range(1, NEIGHBOURS + 1):
        meet = np.flatnonzero(shared[ahead:] == shared[:-ahead])
        yield clips[meet], clips[meet + ahead]


def _agree(
    slots: UInt16[np.ndarray, "i k"],
    look: UInt16[np.ndarray, "i m"],
    pairs: Int64[np.ndarray, "j 2"],
) -> Bool[np.ndarray, " j"]:
    """Whether picture and sound of each pair agree."""
    agree = _ones()[look[pairs[:, 0]] ^ look[pairs[:, 1]]].sum(axis=1) <= PICTURE_BITS
    alike = np.flatnonzero(agree)
    a, b = slots[pairs[alike, 0]], slots[pairs[alike, 1]]
    sounds = np.zeros(len(alike), dtype=bool)
    for shift in range(-SHIFTS, SHIFTS + 1):
        x, y = a[:, max(0, shift) : SLOTS + min(0, shift)], b[:, max(0, -shift) :]
        y = y[:, : x.shape[1]]
        both = (x > 0) & (y > 0)
        number = both.sum(axis=1)
        differ = np.where(both, _ones()[x ^ y], 0).sum(axis=1)
        sounds |= (number >= LEAST_WORDS) & (differ <= SOUND_SHARE * WORD * number)
    agree[alike] = sounds
    return agree


@lru_cache(maxsize=1)
def _ones() -> UInt8[np.ndarray, "65536"]:
    """How many bits of each 16-bit word are 1."""
    bits = np.arange(2**16)[:, None] >> np.arange(16) & 1
    return bits.sum(axis=1).astype(np.uint8)


def _join(
    leader: Int64[np.ndarray, " i"], pairs: Int64[np.ndarray, "j 2"]
) -> Int64[np.ndarray, " i"]:
    """The first clip of each clip's group once the clips of each pair are in one group."""
    while len(pairs):
        a, b = leader[pairs].T
        apart = a != b
        pairs, a, b = pairs[apart], a[apart], b[apart]
        leader = leader.copy()
        np.minimum.at(leader, np.maximum(a, b), np.minimum(a, b))
        while (leader[leader] != leader).any():
            leader = leader[leader]
    return leader
