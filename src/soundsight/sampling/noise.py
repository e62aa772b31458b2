"""Generate from nothing: clips from a seed, walks between them, variations of one part.

Clip i of a seed is `Streams(seed, [i])`, one sample: the same whatever is generated beside it.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from soundsight.contract import Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.encode import encode
from soundsight.sampling.pictures import view_scale, write_rows
from soundsight.sampling.runs import MOST_FRAMES, Run, check_request, check_samples_from

Part = Literal["content", "motion"]
"""Parts of what a clip is generated from: `content` stays through the clip, `motion` moves."""
MOST_STEPS = 100
BATCH_CLIPS = 16
"""Clips generated at a time; bounds the memory and changes nothing."""
ROWS_SHOWN = 16
"""Rows of a picture of samples."""
PICTURES = {"sample": "strips.png"}
"""Names of pictures that are not their files' stem."""


def generate(run: Run, *, samples: int, seed: int, frames: int | None = None) -> Iterator[Clip]:
    """Clips 0 to `samples - 1` of a seed, from nothing, a few at a time, on the CPU.

    Args:
        run: of a model that takes nothing.
        samples: number of clips.
        seed: clip i depends on it and on i alone.
        frames: length; by default that of training. Longer ones are the model's extrapolation.

    Raises:
        ValueError: if a number is out of range, or the model takes something or makes nothing.
    """
    check_samples_from(run, "nothing")
    check_request(samples=samples, seed=seed)
    return _generated(run, _spec(run, frames), samples=samples, seed=seed)


def _generated(run: Run, spec: ClipSpec, *, samples: int, seed: int) -> Iterator[Clip]:
    """What `generate` returns; begins to work, and to fail, only when it is read."""
    for ids in _pieces(samples):
        given = Clip.nothing(spec, len(ids)).to(run.device)
        made: Clip = run.model.sample(given, num_samples=1, generator=Streams(seed, ids))
        yield made.to("cpu")


def sample_noise(
    run: Run,
    out: Path,
    *,
    samples: int,
    seed: int = 0,
    frames: int | None = None,
    wav: bool = False,
) -> list[Path]:
    """Generate clips and write them: `sample_000.mp4` ..., and `strips.png`, a row for each.

    Args:
        run: of a model that takes nothing.
        out: folder, made if absent.
        samples: number of clips.
        seed: same seed, same clips.
        frames: length; by default that of training.
        wav: write the sound of each as `sample_000.wav` ... too.

    Returns:
        The files.

    Raises:
        ValueError: see `generate`.
        OSError: naming the file that cannot be written.
    """
    made = generate(run, samples=samples, seed=seed, frames=frames)
    return write_generated(made, out, stem="sample", wav=wav)


def sample_walk(
    run: Run,
    out: Path,
    part: Part,
    *,
    steps: int,
    seed: int = 0,
    frames: int | None = None,
    wav: bool = False,
) -> list[Path]:
    """Walk from clip 0 of a seed to clip 1 in one part alone, the other staying as in clip 0.

    Args:
        run: of a model that takes nothing and gives out its `latents`.
        out: folder for `walk_000.mp4` ... and `walk.png`, a row for each step; made if absent.
        part: what changes.
        steps: clips, the first being clip 0; at least 2.
        seed: of both ends.
        frames: length; by default that of training.
        wav: write the sounds too.

    Raises:
        ValueError: if a number is out of range, or the model takes something or has no latents.
        OSError: naming the file that cannot be written.
    """
    if not 2 <= steps <= MOST_STEPS:
        raise ValueError(f"steps={steps} must be between 2 and {MOST_STEPS}")
    ends = _latents(run, clips=2, seed=seed, frames=frames)
    shares = [step / (steps - 1) for step in range(steps)]
    clips = (run.model.generate(ends[[0]].mix(ends[[1]], share, part=part)) for share in shares)
    return write_generated(clips, out, stem="walk", rows=steps, wav=wav)


def sample_variations(
    run: Run,
    out: Path,
    part: Part,
    *,
    samples: int,
    seed: int = 0,
    frames: int | None = None,
    wav: bool = False,
) -> list[Path]:
    """Vary one part of clip 0 of a seed: clip i has that part of clip i and the other of clip 0.

    Args:
        run: of a model that takes nothing and gives out its `latents`.
        out: folder for `vary_000.mp4` ... and `vary.png`, a row for each; made if absent.
        part: what differs.
        samples: clips, the first being clip 0 itself.
        seed: of all.
        frames: length; by default that of training.
        wav: write the sounds too.

    Raises:
        ValueError: if a number is out of range, or the model takes something or has no latents.
        OSError: naming the file that cannot be written.
    """
    every = _latents(run, clips=samples, seed=seed, frames=frames)
    clips = (
        run.model.generate(every[[0] * len(rows)].with_part(every[rows], part))
        for rows in _pieces(samples)
    )
    return write_generated(clips, out, stem="vary", wav=wav)


def write_generated(
    clips: Iterable[Clip], folder: Path, *, stem: str, rows: int = ROWS_SHOWN, wav: bool = False
) -> list[Path]:
    """Write clips as mp4 with sound, and a picture with a row for each of the first ones.

    Args:
        clips: batches, at least one. Nothing is touched before the first is there.
        folder: made if absent.
        stem: of the files' names and of the picture's; files of an earlier call are removed.
        rows: clips in the picture, at most.
        wav: write each sound by itself too.

    Returns:
        The files, the picture last.

    Raises:
        ValueError: if a sound is wanted and there is none.
        OSError: naming the file that cannot be written.
    """
    batches = iter(clips)
    first = next(batches)
    if wav and first.audio is None:
        raise ValueError(f"wav=True: the clips have no sound that {stem}_000.wav could hold")
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in ("mp4", "wav"):
        for stale in folder.glob(f"{stem}_[0-9][0-9][0-9]*.{suffix}"):
            stale.unlink()
    written: list[Path] = []
    shown: list[Clip] = []
    done = 0
    for batch in (clip.to("cpu") for clip in chain([first], batches)):
        for index in range(len(batch)):
            place = folder / f"{stem}_{done + index:03d}"
            scale = view_scale(batch.spec)
            written.append(encode(batch, place.with_suffix(".mp4"), index=index, scale=scale))
            if wav:
                written.append(encode(batch, place.with_suffix(".wav"), index=index))
        if done < rows:
            shown.append(batch[: rows - done])
        done += len(batch)
    picture = folder / PICTURES.get(stem, f"{stem}.png")
    scale = max(1, view_scale(shown[0].spec) // 3)
    return [*written, write_rows(Clip.cat(shown), picture, scale=scale)]


def _pieces(samples: int) -> list[list[int]]:
    """Numbers of clips, cut into batches."""
    starts = range(0, samples, BATCH_CLIPS)
    return [list(range(start, min(start + BATCH_CLIPS, samples))) for start in starts]


def _spec(run: Run, frames: int | None) -> ClipSpec:
    """What is to be generated."""
    spec = run.recipe.clip
    if frames is None:
        return spec
    if not 1 <= frames <= MOST_FRAMES:
        raise ValueError(f"frames={frames} must be between 1 and {MOST_FRAMES}")
    return spec.with_frames(frames)


def _latents(run: Run, *, clips: int, seed: int, frames: int | None) -> Any:
    """What the first clips of a seed are generated from."""
    check_samples_from(run, "nothing")
    check_request(samples=clips, seed=seed)
    latents: Callable[..., Any] | None = getattr(run.model, "latents", None)
    if latents is None:
        raise ValueError(f"{run.path}: its model has no parts that could be held or changed")
    return latents(Streams(seed, range(clips)), 1, _spec(run, frames).frames)
