"""Verbs about experiments: demo, recipes, train, sample, evaluate, compare."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from soundsight.cli.parse import parse, say, value_of

if TYPE_CHECKING:
    from soundsight.recipes import Recipe


@dataclass(frozen=True)
class Demo:
    """The main job on built-in data: train, sample, score, and a report to open; minutes."""

    out: Path = Path("demo")
    """Folder for runs, samples and `report/index.html`."""
    seed: int = 0
    """Root of all randomness."""
    quick: bool = False
    """Seconds instead of minutes: everything runs, nothing is learned."""
    json: bool = False
    """Print the result as JSON on stdout."""


@dataclass(frozen=True)
class Recipes:
    """List every recipe: what it takes and makes, its hardware, its time and its score."""

    json: bool = False
    """Print the list as JSON on stdout."""


@dataclass(frozen=True)
class Sample:
    """What the run's model does: continue videos, picture sounds, sound pictures, or make clips."""

    run: Positional[Path | None] = None
    """Run folder of a trained model."""
    clips: Positional[tuple[Path, ...]] = ()
    """Files: videos to continue from their first frames and their sound; or sounds or pictures, of
    any rate and size, to make the other of; none: clips of the run's data."""
    pretrained: str | None = None
    """A model that comes with the package, such as m3so, instead of a run."""
    out: Path = Path("samples")
    """Folder for the results; for each file one of its own."""
    samples: int | None = None
    """Futures K per clip (default 1), pictures or sounds K per file (4), clips from nothing (8)."""
    seed: int = 0
    """Same seed, same results."""
    start: float = 0.0
    """Where in the named files to begin, seconds."""
    frames: int | None = None
    """Frames T of the whole clip, seen ones included; default: those of the recipe's evaluation, or
    from nothing those of training."""
    count: int | None = None
    """Clips of the run's own data, if no files are named; default 4."""
    give: Literal["audio", "image"] | None = None
    """What the model is given of files that have both, if it takes either: sound or picture."""
    walk: Literal["content", "motion"] | None = None
    """From nothing: walk from the seed's first clip to its second in this part alone."""
    steps: int = 8
    """Clips of a walk, its ends included."""
    vary: Literal["content", "motion"] | None = None
    """From nothing: the seed's first clip with this part of others; "motion" includes the sound."""
    wav: bool = False
    """From nothing: write each sound as a .wav file too."""
    device: str = "auto"
    """"cpu", "cuda", ...; "auto" takes CUDA where there is one."""
    json: bool = False
    """Print the files written as JSON on stdout."""


@dataclass(frozen=True)
class Evaluate:
    """Score a run beside its controls: trivial predictors and foreign sound, or real clips."""

    run: Positional[Path | None] = None
    """Run folder of a trained model."""
    pretrained: str | None = None
    """A model that comes with the package, such as m3so, instead of a run."""
    out: Path | None = None
    """Folder for `report/`; default: the run folder, or of a pretrained model its name."""
    data: str | None = None
    """Prepared data, or a folder of videos, to score on instead of what the run was trained on."""
    split: Literal["train", "val", "test"] | None = None
    """Part of the data; default: the recipe's."""
    samples: int | None = None
    """Futures, pictures or sounds K per clip; default: the recipe's."""
    clips: int | None = None
    """Number of clips; default: the recipe's."""
    seed: int | None = None
    """Seed of clips, samples and intervals; default: the recipe's."""
    judges: Path | None = None
    """Generation: folder of the judges that score it, trained if they are not there; default:
    judges."""
    extractor: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Generation: a pretrained network, such as i3d=FILE; may be repeated."""
    device: str = "auto"
    """"cpu", "cuda", ...; "auto" takes CUDA where there is one."""
    json: bool = False
    """Print the scores as JSON on stdout."""


@dataclass(frozen=True)
class Compare:
    """Score several runs of one kind on the same clips: one table and one page, with controls.

    With --suite NAME: train all rows of a paper's table first, as far as they are not trained.
    """

    runs: Positional[tuple[Path, ...]] = ()
    """Run folders; the first one's recipe gives the data and the protocol."""
    out: Path = Path("comparison")
    """Folder for `report/`, and for the runs of a suite."""
    suite: str | None = None
    """A whole table, such as sound2sight_table1_laptop; what is done in `out` is not done again."""
    budget: int | None = None
    """Suite: training steps of every row; default: the recipes'."""
    seeds: tuple[int, ...] = (0,)
    """Suite: seeds of the trainings behind every row."""
    jobs: int = 1
    """Suite: trainings at a time, which share the cores."""
    rows: tuple[str, ...] = ()
    """Suite: names of the rows wanted; NAME=RECIPE adds one. Default: all."""
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Suite: PART.FIELD=VALUE of all rows' recipes, such as data.digits=mnist; may be repeated."""
    data: str | None = None
    """Suite: prepared data, or a folder of videos, to learn from."""
    samples: int | None = None
    """Futures, pictures or sounds K per clip; default: the recipe's."""
    clips: int | None = None
    """Number of clips; default: the recipe's."""
    seed: int | None = None
    """Seed of clips, samples and intervals; default: the recipe's."""
    judges: Path | None = None
    """Generation: folder of the judges that score it, trained if they are not there; default:
    judges."""
    extractor: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Generation: a pretrained network, such as i3d=FILE; may be repeated."""
    device: str = "auto"
    """"cpu", "cuda", ...; "auto" takes CUDA where there is one."""
    json: bool = False
    """Print the scores as JSON on stdout."""


def train_options(arguments: Sequence[str]) -> tuple[str, Any, "Recipe"]:
    """What `soundsight train RECIPE --out RUN [--data DIR] [--FIELD VALUE ...]` asks for.

    Raises:
        ValueError: if there is no such recipe or field, or a value is of the wrong type.
    """
    from soundsight import recipes

    if not arguments or arguments[0].startswith("-"):
        choices = ", ".join(recipes.names())
        raise ValueError(f"train needs a recipe: soundsight train RECIPE --out RUN, of {choices}")
    name, rest = arguments[0], list(arguments[1:])
    recipe = recipes.load(name)
    stored = value_of("--out", rest)
    if "--resume" in rest and stored is not None and (Path(stored) / "recipe.json").is_file():
        recipe = recipes.read(Path(stored) / "recipe.json")
        if recipe.name != name:
            raise ValueError(f"{stored} was trained by {recipe.name or 'no recipe'}, not by {name}")
    recipe = _with_data(recipe, name, rest)
    parts = [
        (part, type(getattr(recipe, part)), field(default=getattr(recipe, part)))
        for part in recipes.PARTS
    ]
    options = dataclasses.make_dataclass(
        "Train",
        [
            ("out", Annotated[Path, tyro.conf.arg(help="Run folder, made if absent.")]),
            ("resume", Annotated[bool, tyro.conf.arg(help="Go on from its last state.")], False),
            ("json", Annotated[bool, tyro.conf.arg(help="Print the result as JSON.")], False),
            *parts,
        ],
        frozen=True,
    )
    chosen = parse(options, rest, verb=f"train {name}", description=recipes.document(name))
    values = {part: getattr(chosen, part) for part in recipes.PARTS}
    if getattr(chosen.data, "path", None) == "":
        kept = "prepared data" if chosen.data.kind == "prepared" else "your videos"
        where = "it is" if chosen.data.kind == "prepared" else "they are"
        raise ValueError(f"{name} learns from {kept}: say where {where} with --data DIR")
    return name, chosen, recipes.Recipe(**values, name=name)


def _with_data(recipe: "Recipe", name: str, arguments: list[str]) -> "Recipe":
    """Take `--data DIR` out of the arguments and put it into the recipe."""
    path = value_of("--data", arguments)
    if path is not None:
        index = next(i for i, a in enumerate(arguments) if a.split("=")[0] == "--data")
        del arguments[index : index + (1 if "=" in arguments[index] else 2)]
        return dataclasses.replace(recipe, data=data_at(recipe.data, path, name, recipe.model))
    return recipe


def data_at(data: Any, path: Path | str, name: str, model: Any) -> Any:
    """The data configuration with another folder: prepared data, or videos as they are.

    Args:
        data: the configuration of a recipe or a run.
        path: the folder.
        name: of the recipe or run, for errors.
        model: its model's configuration.

    Raises:
        ValueError: if the data is made, not read; a recipe of the kind of model is suggested.
    """
    from soundsight.data.folder import VideoFolder
    from soundsight.data.prepared import PreparedData, is_prepared

    if not hasattr(data, "path"):
        raise ValueError(
            f"--data {path}: {name} makes its own data ({data.kind}); use a recipe "
            f"for folders, such as {_recipe_for_folders(model.kind)}"
        )
    place = str(path) if "://" in str(path) else str(Path(path).resolve())
    if is_prepared(place):
        return PreparedData(path=place)
    if isinstance(data, PreparedData):
        return VideoFolder(path=place)
    return dataclasses.replace(data, path=place)


def _recipe_for_folders(kind: str) -> str:
    """A recipe that learns from a folder, of this kind of model if there is one."""
    from soundsight import recipes

    found = {name: recipes.load(name) for name in recipes.names() if name.startswith(kind)}
    folders = [name for name, recipe in found.items() if hasattr(recipe.data, "path")]
    plain = sorted(folders, key=lambda name: ("laptop" not in name, len(name)))
    return plain[0] if plain else "sound2sight_folder_laptop"


def demo(arguments: Sequence[str]) -> dict[str, Any]:
    """`soundsight demo`."""
    options = parse(Demo, arguments, verb="demo")
    from soundsight.demo import run_demo
    from soundsight.training.memory import keep_freed_memory

    keep_freed_memory()
    return run_demo(options.out, seed=options.seed, quick=options.quick, say=say)


def list_recipes(arguments: Sequence[str]) -> dict[str, Any]:
    """`soundsight recipes`."""
    options = parse(Recipes, arguments, verb="recipes")
    from soundsight import recipes

    listed = {name: recipes.summary(name) for name in recipes.names()}
    if not options.json:
        from rich.console import Console
        from rich.table import Table

        table = Table("recipe", "takes", "makes", "hardware and time", "score", show_lines=True)
        for name, about in listed.items():
            machine = f"{about['hardware']} {about['time']}"
            table.add_row(name, about["takes"], about["makes"], machine, about["score"])
        Console(width=None if sys.stdout.isatty() else 140).print(table)
    return listed


def train(arguments: Sequence[str]) -> dict[str, Any]:
    """`soundsight train`."""
    if set(arguments) & {"-h", "--help"} and (not arguments or arguments[0].startswith("-")):
        print(
            "usage: soundsight train RECIPE --out RUN [--data DIR] [--resume] [--FIELD VALUE ...]"
        )
        print("soundsight recipes lists the recipes; soundsight train RECIPE --help its fields.")
        raise SystemExit(0)
    name, options, recipe = train_options(arguments)
    from soundsight.experiment import run_training
    from soundsight.training.distributed import joined
    from soundsight.training.memory import keep_freed_memory

    keep_freed_memory()
    with joined(recipe.train.device) as ranks:
        if ranks.is_first:
            number = f", {ranks.world} processes" if ranks.world > 1 else ""
            say(f"training {name} in {options.out}: {recipe.train.steps} steps{number}")
        run_training(recipe, options.out, resume=options.resume, ranks=ranks)
    if ranks.is_first:
        weights = options.out / "weights.safetensors"
        say(f"done: {weights}; next: soundsight evaluate {options.out}")
    return {"run": str(options.out), "recipe": name, "steps": recipe.train.steps}


def sample(arguments: Sequence[str]) -> dict[str, Any]:
    """`soundsight sample`."""
    options = parse(Sample, arguments, verb="sample")
    if options.pretrained is not None and options.run is not None:  # It is the first of the files.
        options = dataclasses.replace(options, run=None, clips=(options.run, *options.clips))
    options = dataclasses.replace(options, run=_run_folder(options, "sample"))
    from soundsight import sampling

    sampling.check_request(samples=_or(options.samples, 1), seed=options.seed)
    run = sampling.load_run(options.run, device=options.device)
    files: dict[str, list[str]] = {}
    if run.model.makes and not run.model.takes and not options.clips:
        why = "is for models that continue clips; this one generates from nothing"
        refuse(options, ("start", "count", "give"), why)
        results, samples = _from_nothing(run, options)
    elif sampling.takes_parts(run):
        why = "is not for models of single pictures and their sounds"
        refuse(options, ("frames", "walk", "steps", "vary", "wav"), why)
        results, samples = _across(run, options)
    else:
        why = "is for models of single pictures and their sounds"
        refuse(options, ("give",), why)
        why = "is for models that generate from nothing"
        refuse(options, ("walk", "steps", "vary", "wav"), why)
        results, samples = _futures(run, options)
        if samples > 1 and getattr(run.model, "deterministic", False):
            say(f"{options.run} draws nothing at random: all {samples} futures of a clip are alike")
    for name, paths in results:
        files[name] = [str(path) for path in paths]
        say(f"{name}: {len(paths)} files in {paths[0].parent}")
    return {"run": str(options.run), "samples": samples, "seed": options.seed, "files": files}


def _run_folder(options: Any, verb: str) -> Path:
    """The run folder that is asked for, or the folder of a pretrained model."""
    if options.pretrained is not None:
        from soundsight import pretrained

        return pretrained.folder(options.pretrained)
    if options.run is None:
        raise ValueError(f"{verb} needs a run folder, or --pretrained NAME")
    return Path(options.run)


def _futures(run: Any, options: Sample) -> tuple[Iterable[tuple[str, list[Path]]], int]:
    """Futures of videos or of the run's data: names and files as they come, and K."""
    from soundsight import sampling

    out, samples = sampling.probe_writable(options.out), _or(options.samples, 1)
    asked: dict[str, Any] = {"samples": samples, "seed": options.seed, "frames": options.frames}
    if options.clips:
        refuse(options, ("count",), "is for clips of the run's own data; videos are named")
        files = sampling.sample_files(run, options.clips, out, start_s=options.start, **asked)
        return files, samples
    refuse(options, ("start",), "is for videos, and none are named")
    return sampling.sample_data(run, out, clips=_or(options.count, 4), **asked), samples


def _across(run: Any, options: Sample) -> tuple[Iterable[tuple[str, list[Path]]], int]:
    """Pictures of sounds or sounds of pictures: names and files as they come, and K."""
    from soundsight import sampling

    samples = _or(options.samples, 4)
    sampling.check_request(samples=samples, seed=options.seed)
    sampling.check_give(run, options.give)
    out = sampling.probe_writable(options.out)
    asked: dict[str, Any] = {"samples": samples, "seed": options.seed, "give": options.give}
    if options.clips:
        refuse(options, ("count",), "is for clips of the run's own data; files are named")
        asked["start_s"] = options.start
        return sampling.translate_files(run, options.clips, out, **asked), samples
    refuse(options, ("start",), "is for files, and none are named")
    return sampling.translate_data(run, out, clips=_or(options.count, 4), **asked), samples


def _from_nothing(run: Any, options: Sample) -> tuple[Iterable[tuple[str, list[Path]]], int]:
    """Clips from noise: a name, their files, and the number of clips."""
    from soundsight import sampling

    if options.walk and options.vary:
        raise ValueError("--walk and --vary are two requests: ask for one at a time")
    if options.walk:
        refuse(options, ("samples",), "a walk has --steps instead")
    else:
        refuse(options, ("steps",), "is the length of a --walk")
    out, samples = sampling.probe_writable(options.out), _or(options.samples, 8)
    asked: dict[str, Any] = {"seed": options.seed, "frames": options.frames, "wav": options.wav}
    if options.walk:
        files = sampling.sample_walk(run, out, options.walk, steps=options.steps, **asked)
        return [(f"walk in {options.walk}", files)], options.steps
    if options.vary:
        files = sampling.sample_variations(run, out, options.vary, samples=samples, **asked)
        return [(f"variations of {options.vary}", files)], samples
    return [("noise", sampling.sample_noise(run, out, samples=samples, **asked))], samples


def refuse(options: Any, names: Sequence[str], why: str) -> None:
    """Raise a ValueError if one of these options was given."""
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    for name in names:
        if (value := getattr(options, name)) != defaults[name]:
            raise ValueError(f"--{name} {value}: {why}")


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def evaluate(arguments: Sequence[str]) -> dict[str, Any]:
    """`soundsight evaluate`."""
    options = parse(Evaluate, arguments, verb="evaluate")
    if options.pretrained is not None:
        refuse(options, ("run",), "a pretrained model is scored instead: name one of the two")
        options = dataclasses.replace(options, out=options.out or Path(options.pretrained))
    options = dataclasses.replace(options, run=_run_folder(options, "evaluate"))
    from soundsight import sampling

    run = sampling.load_run(options.run, device=options.device)
    data = None
    if options.data is not None:
        data = data_at(run.recipe.data, options.data, str(options.run), run.recipe.model)
    title = f"{options.run.name} on held-out clips"
    return _score(
        {run.recipe.model.kind: run}, options, options.out or options.run, title, data=data
    )


def compare(arguments: Sequence[str]) -> dict[str, Any]:
    """`soundsight compare`."""
    options = parse(Compare, arguments, verb="compare")
    if options.suite is not None:
        from soundsight.cli.suite import compare_suite

        return compare_suite(options)
    why = "is for a --suite; these are trained runs"
    refuse(options, ("budget", "seeds", "jobs", "rows", "set", "data"), why)
    if not options.runs:
        raise ValueError("compare needs run folders, or a whole table: --suite NAME")
    from soundsight import sampling

    names = [path.name for path in options.runs]
    if len(set(names)) < len(names):
        raise ValueError(f"runs {names} must have different folder names: they name the rows")
    runs = {p.name: sampling.load_run(p, device=options.device) for p in options.runs}
    return _score(runs, options, options.out, " and ".join(names))


def _score(
    runs: dict[str, Any], options: Any, out: Path, title: str, *, data: Any = None
) -> dict[str, Any]:
    """Evaluate runs, on other data if it is given, write the report, and return the scores."""
    from soundsight.experiment import JUDGES, run_evaluation, write_evaluation
    from soundsight.sampling import probe_writable

    probe_writable(out / "report")
    protocol = next(iter(runs.values())).recipe.evaluate
    protocol = _changed(protocol, options)
    judges = options.judges or JUDGES
    scores = run_evaluation(runs, protocol=protocol, judges=judges, data=data)
    page = write_evaluation(scores, runs, out / "report", title=title, data=data)
    say(f"report: {page}")
    return json.loads((out / "report" / "scores.json").read_text())


def _changed(protocol: Any, options: Any) -> Any:
    """A protocol with what was asked for; refuse what that kind of experiment does not have."""
    fields = {
        "samples": "num_samples", "clips": "clips", "seed": "seed", "split": "split",
        "judges": "judges", "extractor": "extractors",
    }  # fmt: skip
    given = {n: v for n in fields if (v := getattr(options, n, None)) is not None and v != ()}
    known = [name for name, field in fields.items() if hasattr(protocol, field)]
    for name in given:
        if name not in known:
            choices = ", ".join(f"--{choice}" for choice in known)
            raise ValueError(
                f"--{name}: a {protocol.kind} experiment is scored without it; it has {choices}"
            )
    return dataclasses.replace(
        protocol, **{fields[name]: value for name, value in given.items() if name != "judges"}
    )
