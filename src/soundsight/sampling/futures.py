"""Continue seen frames: many futures of files, or of clips of the run's own data."""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from soundsight.contract import Streams
from soundsight.media.clip import Clip
from soundsight.media.encode import encode, film_strip
from soundsight.media.io import decode, probe
from soundsight.sampling.pictures import view_scale
from soundsight.sampling.runs import MOST_FRAMES, Run, check_request, check_samples_from

ROWS_SHOWN = 9
"""Rows of a film strip picture: the truth and the first futures."""


def clip_id(name: str) -> int:
    """The stream of a file: its name's checksum, so that other files change nothing."""
    return zlib.crc32(Path(name).name.encode())


def draw(run: Run, given: Clip, *, samples: int, seed: int, ids: Sequence[int]) -> Clip:
    """`samples` clips for each given one, on the CPU.

    Sample i of a clip depends on the seed and the clip's id alone, whatever is drawn beside it.

    Raises:
        ValueError: if K or the seed is out of range, or the model cannot use what is given.
    """
    check_request(samples=samples, seed=seed)
    streams = Streams(seed, ids)
    made: Clip = run.model.sample(given.to(run.device), num_samples=samples, generator=streams)
    return made.to("cpu")


def read_given(
    run: Run, path: str | Path, *, start_s: float = 0.0, frames: int | None = None
) -> tuple[Clip, Clip]:
    """Read from a file what the model is given, and the truth beside it as far as the file goes.

    Args:
        run: says which parts are needed, and at which rates and sizes.
        path: a video; only its first frames and its sound are shown to the model.
        start_s: where to begin, seconds.
        frames: frames T of the whole clip; by default those of the recipe's evaluation, or what
            the file has if that is less.

    Raises:
        ValueError: naming the file, if it lacks a part or is too short; if the model takes nothing.
    """
    check_samples_from(run, "clips")
    seen, spec = run.recipe.model.seen, run.recipe.clip
    if not 0 <= start_s < float("inf"):
        raise ValueError(f"start={start_s} must be at least 0 seconds")
    if frames is None:
        have = int((probe(path).seconds - start_s) * spec.fps + 1e-6)
        frames = max(min(run.recipe.evaluate.frames, have), seen + 1)
    if frames <= seen:
        raise ValueError(f"frames={frames} must exceed the {seen} seen frames")
    truth = decode(
        path, spec.with_frames(frames), start_s=start_s, audio="audio" in run.model.takes
    )
    return truth.context(seen), truth


def write_futures(
    made: Clip, truth: Clip | None, folder: Path, *, scale: int | None = None
) -> list[Path]:
    """Write one clip's samples: `sample_000.mp4` ..., and one `strips.png` with the truth on top.

    Args:
        made: the K samples of one clip.
        truth: the clip itself, or None.
        folder: made if absent.
        scale: enlargement; by default small pictures come to about 192 px.

    Raises:
        OSError: naming the file that cannot be written.
    """
    scale = scale or view_scale(made.spec)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("sample_[0-9][0-9][0-9]*.mp4"):  # Of an earlier call with more.
        stale.unlink()
    written = []
    for index in range(len(made)):
        path = folder / f"sample_{index:03d}.mp4"
        written.append(encode(made, path, index=index, scale=scale))
    if truth is not None:
        written.append(encode(truth, folder / "truth.mp4", scale=scale))
    rows = [*([truth] if truth is not None else []), made[: ROWS_SHOWN - 1]]
    rows = [Clip(row.spec, row.video) for row in rows]
    written.append(film_strip(Clip.cat(rows), folder / "strips.png", scale=max(1, scale // 3)))
    return written


def sample_files(
    run: Run,
    paths: Sequence[str | Path],
    out: Path,
    *,
    samples: int = 1,
    seed: int = 0,
    start_s: float = 0.0,
    frames: int | None = None,
) -> Iterator[tuple[str, list[Path]]]:
    """Continue each file; yields its name and what was written in `out/<its stem>/`.

    Raises:
        ValueError: naming the file that cannot be used; those before it are written. If the model
            takes nothing.
    """
    check_samples_from(run, "clips")
    stems = [Path(path).stem for path in paths]
    if twice := {stem for stem in stems if stems.count(stem) > 1}:
        raise ValueError(f"several clips are named {', '.join(sorted(twice))}: sample them apart")
    for path in paths:
        given, truth = read_given(run, path, start_s=start_s, frames=frames)
        made = draw(run, given, samples=samples, seed=seed, ids=[clip_id(str(path))])
        yield str(path), write_futures(made, truth, out / Path(path).stem)


def sample_data(
    run: Run,
    out: Path,
    *,
    clips: int,
    samples: int = 1,
    seed: int = 0,
    frames: int | None = None,
    split: str = "test",
) -> Iterator[tuple[str, list[Path]]]:
    """Continue the first clips of the run's own data; yields names and files as `sample_files`.

    Args:
        run: of a model that takes clips.
        out: folder; each clip gets one of its own in it.
        clips: how many, or all if the split has fewer.
        samples: futures K of each.
        seed: same seed, same futures.
        frames: frames T of the whole clip; by default those of the recipe's evaluation.
        split: of the data.

    Raises:
        ValueError: if none are asked for, the length is out of range or more than the data has, or
            the model takes nothing.
    """
    check_samples_from(run, "clips")
    if clips < 1:
        raise ValueError(f"count={clips} must be at least 1")
    seen = run.recipe.model.seen
    frames = run.recipe.evaluate.frames if frames is None else frames
    if not seen < frames <= MOST_FRAMES:
        raise ValueError(f"frames={frames} must exceed the {seen} seen frames, up to {MOST_FRAMES}")
    spec = run.recipe.clip.with_frames(frames)
    data = run.recipe.data.build(spec, split)
    for index in range(min(clips, len(data))):
        truth = data.clips([index])
        given = truth.context(seen)
        made = draw(run, given, samples=samples, seed=seed, ids=[index])
        name = f"{split}_{index:04d}"
        yield name, write_futures(made, truth, out / name)
