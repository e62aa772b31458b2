"""From sounds to pictures and from pictures to sounds: of files, or of the run's own data.

What may be given is forgiving, and said here:

- A sound: any file with sound, at any rate. Its first window of the model's length is taken, or the
  one at `start_s`; if it ends sooner, silence follows. Values that are not numbers are read as 0.
  An overdriven window is taken with a warning; one that is silent or shorter than 50 ms is refused.
- A picture: an image, or the first picture of a video, or the one at `start_s`. Its centre square
  is resized, grey is made of colours or put into all three. Transparency is left out, with a
  warning: what is seen are the colours that the file keeps beneath it.

A file's samples depend on the seed and its name alone, those of the run's own data on the seed and
the clip's number.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from soundsight.data.measure import FULL_RUN, FULL_SCALE, Filters
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.container import MediaFile, frames_of, open_media
from soundsight.media.encode import encode, film_strip
from soundsight.media.io import decode_image
from soundsight.media.limits import DEFAULT_LIMITS, Limits, MediaError
from soundsight.media.reader import Reader
from soundsight.sampling.futures import clip_id, draw
from soundsight.sampling.pictures import SOUND_TILES, sound_picture, view_scale, write_rows
from soundsight.sampling.runs import Run, check_samples_from

Part = Literal["audio", "image"]
"""What is given: a sound or a picture."""
LEAST_S = 0.05
"""Shortest sound that is taken, seconds."""
SILENCE_DB = -80.0
"""Sounds of a lower level are silent, dB re full scale."""
TILES_WIDE, TILES_SHOWN = 8, 64
"""Pictures beside each other in `samples.png`, and in all."""
ROWS_SHOWN = 16
"""Sounds in `samples.png`, and clips in `grid.png`, at most."""
WRITTEN = re.compile(r"((sample|spectrogram)_\d{3,}|given|truth|samples)\.(png|wav|mp4)")
"""Names of the files that are written into a folder."""
OWN_KIND = {
    "audio": "makes pictures of sounds: give a sound (wav, mp3, flac, ...), or a video with sound",
    "image": "makes sounds of pictures: give an image (png, jpg, webp, ...), or a video",
}
"""What a run does, by what it takes."""

_log = logging.getLogger(__name__)


def choose_part(run: Run, path: str | Path, give: Part | None = None) -> Part:
    """Which part of a file a model is given.

    Args:
        run: of a model that takes sounds, pictures, or either.
        path: the file.
        give: the part that is wanted; None: the one that the model takes, or that the file has.

    Raises:
        ValueError: naming the file, if it cannot be read, lacks the part, or has both and the model
            takes either; if the model does not take what is wanted.
    """
    takes = check_give(run, give)
    with open_media(path, DEFAULT_LIMITS) as file:
        has: dict[Part, bool] = {"audio": file.audio is not None, "image": file.video is not None}
    found = [part for part in takes if has[part]]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"{path}: has picture and sound, and {run.path} takes either; say which one it is "
            f"given: --give audio, or --give image"
        )
    lacks = {"audio": "picture but no sound", "image": "sound but no picture"}[takes[0]]
    raise MediaError(f"{path}: has {lacks}; {run.path} {OWN_KIND[takes[0]]}")


def check_give(run: Run, give: Part | None) -> list[Part]:
    """The parts that a model may be given, or the one that is wanted.

    Raises:
        ValueError: if the model takes neither sounds nor pictures, or not the one that is wanted.
    """
    check_samples_from(run, "parts")
    parts: tuple[Part, ...] = ("audio", "image")
    takes = [part for part in parts if part in run.model.takes]
    if give is None:
        return takes
    if give not in takes:
        raise ValueError(f"give={give!r}: {run.path} takes {' or '.join(takes)} only")
    return [give]


# What is given.


def read_sound(
    path: str | Path, spec: ClipSpec, *, start_s: float = 0.0, limits: Limits = DEFAULT_LIMITS
) -> Clip:
    """A window of a file's sound, mixed to mono and resampled; silence follows where it ends.

    Args:
        path: a file with sound.
        spec: length and rate to make.
        start_s: where the window begins, seconds.
        limits: bounds beyond which the file is refused.

    Returns:
        One clip with sound alone, `spec.samples` samples in [-1, 1].

    Raises:
        MediaError: naming the file, if it cannot be read, has no sound, or that is silent from
            `start_s` on, or shorter than 50 ms.
        ValueError: if `start_s` is negative.
    """
    _check_start(start_s)
    with open_media(path, limits) as file:
        if file.audio is None:
            raise MediaError(f"{path}: has no sound; give a file that has")
        reader = Reader(file, spec, start_s=start_s, frames=spec.frames, limits=limits, video=False)
        for _ in reader.steps():
            pass
    sound = reader.sound
    assert sound is not None
    have_s = max(0.0, min(spec.seconds, sound.end_s - start_s))
    if have_s < LEAST_S:
        raise MediaError(
            f"{path}: its sound lasts {1000 * have_s:.0f} ms from {start_s:g} s on; at least "
            f"{1000 * LEAST_S:.0f} ms are needed: give a longer sound, or an earlier start"
        )
    wave = sound.take(spec.samples)
    _check_sound(path, wave[: max(1, round(have_s * spec.sample_rate))], start_s)
    return Clip(spec, audio=torch.from_numpy(wave)[None])


def _check_sound(path: str | Path, wave: Float32[np.ndarray, " n"], start_s: float) -> None:
    """Refuse a sound that cannot be used, and warn of one that is badly recorded."""
    power = float(np.square(wave, dtype=np.float64).mean())
    if power < 10 ** (SILENCE_DB / 10):
        level = f"{10 * np.log10(power):.0f} dBFS" if power else "digital silence"
        raise MediaError(
            f"{path}: its sound is silent from {start_s:g} s on ({level} in {len(wave)} samples; "
            f"at least {SILENCE_DB:g} dBFS): give one that can be heard, or another start"
        )
    full = np.lib.stride_tricks.sliding_window_view(np.abs(wave) >= FULL_SCALE, FULL_RUN)
    clipped, most = float(full.all(1).mean()), Filters().clipped or 0.0
    if clipped > most:
        _log.warning(
            "%s: overdriven: %.1f%% of its samples are at full scale, more than the %.1f%% that "
            "training data may have; the model may not know such sounds",
            path, 100 * clipped, 100 * most,
        )  # fmt: skip


def read_picture(
    path: str | Path, spec: ClipSpec, *, start_s: float = 0.0, limits: Limits = DEFAULT_LIMITS
) -> Clip:
    """A picture of a file: the centre square, resized by averaging, grey or RGB.

    Args:
        path: an image or a video.
        spec: size and channels to make.
        start_s: in a video, when the picture is on screen, seconds; 0: its first one.
        limits: bounds beyond which the file is refused.

    Returns:
        One clip of one frame and no sound.

    Raises:
        MediaError: naming the file, if it cannot be read, is beyond the limits, has no picture, or
            ends before `start_s`.
        ValueError: if `start_s` is negative.
    """
    _check_start(start_s)
    spec = spec.with_frames(1)
    with open_media(path, limits) as file:
        if file.video is None:
            raise MediaError(f"{path}: has no picture; give a file that has")
        if start_s:
            return _picture_at(file, spec, start_s, limits)
        if _is_transparent(file):
            _log.warning(
                "%s: has transparent parts, whose transparency is left out: what is seen are the "
                "colours that the file keeps beneath it",
                path,
            )
    return decode_image(path, spec, limits=limits)


def _picture_at(file: MediaFile, spec: ClipSpec, start_s: float, limits: Limits) -> Clip:
    """What is on screen at a time."""
    reader = Reader(file, spec, start_s=start_s, frames=1, limits=limits, audio=False, frame_at=0.0)
    for _ in reader.steps():
        pass
    picture = reader.picture
    assert picture is not None
    if not picture.ready:
        raise MediaError(
            f"{file.path}: its picture ends at {picture.end_s:.3f} s; the one at {start_s:g} s is "
            "asked for: give an earlier start"
        )
    pixels = torch.from_numpy(picture.take(1)).permute(0, 3, 1, 2).float().div(255)
    return Clip(spec, video=pixels[None])


def _is_transparent(file: MediaFile) -> bool:
    """Whether any part of a file's first picture is; decodes it only if its format allows that."""
    assert file.video is not None
    told = file.video.format
    if told is not None and told.name != "pal8" and not any(p.is_alpha for p in told.components):
        return False
    first: Any = next(frames_of(file, [file.video]), None)
    if first is None:
        return False
    layers = [part.is_alpha for part in first.format.components]
    if not any(layers) and first.format.name != "pal8":
        return False
    return bool(first.reformat(format="rgba").to_ndarray()[..., 3].min() < 255)


def _check_start(start_s: float) -> None:
    if not 0 <= start_s < float("inf"):
        raise ValueError(f"start={start_s} must be at least 0 seconds")


def given_of(truth: Clip, part: Part) -> Clip:
    """The part of whole pairs that a model is given, with their labels."""
    return truth.replace(video=None) if part == "audio" else truth.replace(audio=None)


# What is written.


@dataclass(frozen=True)
class Translated:
    """What became of one clip."""

    given: Clip
    """The one clip with what the model was given."""
    made: Clip
    """Its K samples, with what the model made, alone."""
    truth: Clip | None = None
    """The whole pair, where it is known."""


def write_translated(result: Translated, folder: Path) -> list[Path]:
    """Write what was given, what was made of it, and a picture of all.

    Pictures: `sample_000.png` ..., the sound as `given.wav`, and `samples.png`, the first 64 beside
    each other, the true one first where it is known (`truth.png`).

    Sounds: `sample_000.wav` ..., `sample_000.mp4` ... with the picture, `spectrogram_000.png` ...,
    the picture as `given.png`, and `samples.png`, a row for each of the first 16: the picture and
    its sound, the true one on top (`truth.wav`).

    Small pictures are enlarged to about 192 px by repeating pixels.

    Args:
        result: of one clip.
        folder: made if absent; files of an earlier call are removed.

    Returns:
        The files, `samples.png` last.

    Raises:
        OSError: naming the file that cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        if WRITTEN.fullmatch(stale.name):
            stale.unlink()
    write = _write_pictures if result.made.audio is None else _write_sounds
    return write(result, folder)


def _write_pictures(result: Translated, folder: Path) -> list[Path]:
    made, scale = result.made, view_scale(result.made.spec)
    written = [
        encode(made, folder / f"sample_{index:03d}.png", index=index, scale=scale)
        for index in range(len(made))
    ]
    written.append(encode(result.given, folder / "given.wav"))
    videos = [made.video]
    if result.truth is not None:
        written.append(encode(result.truth, folder / "truth.png", scale=scale))
        videos = [result.truth.video, made.video]
    tiles = torch.cat([video[:, 0] for video in videos if video is not None])[:TILES_SHOWN]
    wide = min(TILES_WIDE, len(tiles))
    missing = -len(tiles) % wide
    tiles = torch.cat([tiles, tiles.new_ones(missing, *tiles.shape[1:])])
    sheet = Clip(made.spec, video=tiles.unflatten(0, (-1, wide)))
    return [*written, film_strip(sheet, folder / "samples.png", scale=scale)]


def _write_sounds(result: Translated, folder: Path) -> list[Path]:
    made, given, scale = result.made, result.given, view_scale(result.made.spec)
    assert given.video is not None
    assert made.audio is not None
    written = []
    for index in range(len(made)):
        pair = Clip(made.spec, video=given.video, audio=made.audio[index : index + 1])
        for suffix in ("wav", "mp4"):
            path = folder / f"sample_{index:03d}.{suffix}"
            written.append(encode(pair, path, scale=scale if suffix == "mp4" else 1))
        tiles = Clip(made.spec, video=_spectrogram(made.audio[index : index + 1], made.spec))
        written.append(film_strip(tiles, folder / f"spectrogram_{index:03d}.png", scale=scale))
    written.append(encode(given, folder / "given.png", scale=scale))
    sounds = [made.audio[:ROWS_SHOWN]]
    if result.truth is not None and result.truth.audio is not None:
        written.append(encode(result.truth, folder / "truth.wav"))
        sounds.insert(0, result.truth.audio)
    audio = torch.cat(sounds)
    rows = Clip(made.spec, video=given.video.expand(len(audio), -1, -1, -1, -1), audio=audio)
    return [*written, write_rows(rows, folder / "samples.png", scale=scale)]


def _spectrogram(audio: Float[Tensor, "b n"], spec: ClipSpec) -> Float[Tensor, "b 3 c h w"]:
    """Pictures of sounds, as frames beside each other."""
    picture = sound_picture(audio, sample_rate=spec.sample_rate, size=spec.size)
    squares = picture.unflatten(2, (SOUND_TILES, spec.size)).movedim(2, 1)[:, :, None]
    return squares.expand(-1, -1, spec.channels, -1, -1)


# Files, and the run's own data.


def translate_files(
    run: Run,
    paths: Sequence[str | Path],
    out: Path,
    *,
    samples: int = 1,
    seed: int = 0,
    start_s: float = 0.0,
    give: Part | None = None,
) -> Iterator[tuple[str, list[Path]]]:
    """Make pictures of sounds, or sounds of pictures.

    Args:
        run: of a model that takes sounds or pictures.
        paths: files with what the model takes.
        out: folder; each file gets one of its own in it, named after its stem.
        samples: number K of samples of each.
        seed: same seed, same files.
        start_s: where in sounds and videos to begin, seconds.
        give: which part of the files the model is given, if it takes either.

    Yields:
        The name of each file and what was written, see `write_translated`.

    Raises:
        ValueError: naming the file that cannot be used; those before it are written. If the model
            takes something else, K or the seed is out of range, two files have one stem, or a file
            lies in a folder that is written to.
        OSError: naming the file that cannot be written.
    """
    check_give(run, give)
    stems = [Path(path).stem for path in paths]
    if twice := {stem for stem in stems if stems.count(stem) > 1}:
        raise ValueError(f"several files are named {', '.join(sorted(twice))}: sample them apart")
    written = {(out / stem).resolve() for stem in stems}
    for path in paths:
        if Path(path).resolve().parent in written:
            raise ValueError(
                f"{path}: lies in a folder that samples are written to, which replaces what is "
                f"there: choose another --out than {out}"
            )
    spec = run.recipe.clip
    for path in paths:
        read = {"audio": read_sound, "image": read_picture}[choose_part(run, path, give)]
        given = read(path, spec, start_s=start_s)
        made = draw(run, given, samples=samples, seed=seed, ids=[clip_id(str(path))])
        yield str(path), write_translated(Translated(given, made), out / Path(path).stem)


def translate_data(
    run: Run,
    out: Path,
    *,
    clips: int,
    samples: int = 1,
    seed: int = 0,
    give: Part | None = None,
    split: str = "test",
) -> Iterator[tuple[str, list[Path]]]:
    """The same with clips from all over the run's own data, the truth beside.

    Args:
        run: of a model that takes sounds or pictures.
        out: folder; each clip gets one of its own in it, or, if the model takes either and it is
            not said which, two.
        clips: how many, evenly spaced, or all if the split has fewer.
        samples: number K of samples of each.
        seed: same seed, same files.
        give: what the model is given, if it takes either; None: once the sound, once the picture.
        split: of the data.

    Yields:
        The name of each clip and what was written, see `write_translated`; in the end "all clips"
        and `grid.png`, or one for each part that is given: the first 16, see `grid_row`.

    Raises:
        ValueError: if none are asked for, K or the seed is out of range, or the model takes
            something else.
        OSError: naming the file that cannot be written.
    """
    parts = check_give(run, give)
    if clips < 1:
        raise ValueError(f"count={clips} must be at least 1")
    data = run.recipe.data.build(run.recipe.clip, split)
    several = {"audio", "image"} <= run.model.takes
    rows: dict[Part, list[Float[Tensor, "i c h w"]]] = {part: [] for part in parts}
    for index in spread(len(data), clips):
        truth = data.clips([index])
        for part in parts:
            given = given_of(truth, part)
            made = draw(run, given, samples=samples, seed=seed, ids=[index])
            result = Translated(given, made, truth)
            if len(rows[part]) < ROWS_SHOWN:
                rows[part].append(grid_row(result))
            name = f"{split}_{index:04d}" + (f"_from_{part}" if several else "")
            yield name, write_translated(result, out / name)
    grids, scale = list[Path](), max(1, view_scale(run.recipe.clip) // 3)
    for part, tiles in rows.items():
        name = f"grid_from_{part}.png" if several else "grid.png"
        grid = Clip(run.recipe.clip, video=torch.stack(tiles))
        grids.append(film_strip(grid, out / name, scale=scale))
    yield "all clips", grids


def grid_row(result: Translated) -> Float[Tensor, "i c h w"]:
    """A row of the picture of all clips: the true picture, then the first 8 that were made.

    Of sounds: the picture that was given, the spectrogram of its own sound, and those of the first
    8 that were made, as squares beside each other.
    """
    made, truth = result.made[:TILES_WIDE], result.truth
    assert truth is not None
    assert truth.video is not None
    if made.video is not None:
        return torch.cat([truth.video[:, 0], made.video[:, 0]])
    assert truth.audio is not None
    assert made.audio is not None
    sounds = _spectrogram(torch.cat([truth.audio, made.audio]), made.spec).flatten(0, 1)
    return torch.cat([truth.video[:, 0], sounds])


def spread(have: int, wanted: int) -> list[int]:
    """Evenly spaced numbers below `have`, ascending: of clips that may be sorted by class.

    Example:
        >>> spread(100, 4), spread(3, 8)
        ([12, 37, 62, 87], [0, 1, 2])
    """
    count = min(have, wanted)
    return [(2 * i + 1) * have // (2 * count) for i in range(count)]
