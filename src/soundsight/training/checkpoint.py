"""States to resume from, and weights to sample with: safetensors and JSON, written atomically.

A file or folder is written under a temporary name (`.tmp-...`) beside its place, flushed to the
disk and renamed, so that under its own name it is complete or absent. `state.json` holds size and
checksum of every file of a state; a state that was torn all the same (a failing disk) is noticed
and the one before it is used. Nothing is ever unpickled.

    run/weights.safetensors
    run/state/step_00001200/{model,optim,ema}.safetensors, state.json
"""

import errno
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

import soundsight

FORMAT = 1
"""Version of the layout of a state."""
TEMPORARY = ".tmp-"
"""Prefix of what is not complete yet."""
FREE_FIELDS = frozenset(
    {
        "data.cache",
        "data.path",
        "data.progress",
        "evaluate",
        "train.checkpoint_every",
        "train.device",
        "train.keep_states",
        "train.log_every",
        "train.steps",
        "train.tensorboard",
        "train.validate_every",
        "train.workers",
    }
)
"""Fields of a recipe, or groups of them, in which a resumed training may differ."""
LATER_FIELDS = {"train.sync_batch_norm": False}
"""Fields that recipes did not have at first, and what was so then."""


class State(NamedTuple):
    """Everything that resuming needs."""

    step: int
    """Finished steps."""
    recipe: dict[str, Any]
    """The recipe as JSON."""
    tensors: dict[str, dict[str, Tensor]]
    """By file ("model", "optim" and, where there is one, "ema"), then by name."""


class TornStateError(ValueError):
    """A state is not what was written."""


def states(run: Path) -> list[Path]:
    """The folders of a run's states, oldest first, unchecked."""
    return sorted(path for path in (run / "state").glob("step_*") if path.is_dir())


def place(run: Path, step: int) -> Path:
    """The folder of a run's state after so many steps."""
    return run / "state" / f"step_{step:08d}"


def save_state(run: Path, state: State, *, keep: int) -> Path:
    """Write a state and remove all but the newest `keep`.

    Returns:
        Its folder, `run/state/step_<8 digits>`.

    Raises:
        OSError: naming the folder, if the disk is full or cannot be written, or if that state
            exists; the states that were there are untouched and nothing half-written is left.
    """
    folder = place(run, state.step)
    part = folder.with_name(f"{TEMPORARY}{folder.name}-{os.getpid()}")
    with _naming(folder):
        part.mkdir(parents=True)
        try:
            _write_files(part, state)
            part.rename(folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        _sync_folder(folder.parent)
    for old in [path for path in states(run) if path != folder][: -keep + 1 or None]:
        _remove(old)
    return folder


def _write_files(folder: Path, state: State) -> None:
    files = {}
    for name, tensors in state.tensors.items():
        data = _to_bytes(tensors)
        _write(folder / f"{name}.safetensors", data)
        files[f"{name}.safetensors"] = {"bytes": len(data), "blake2b": _digest(data)}
    header = {
        "format": FORMAT,
        "step": state.step,
        "recipe": state.recipe,
        "versions": {"soundsight": soundsight.__version__, "torch": torch.__version__},
        "files": files,
    }
    _write(folder / "state.json", _to_json(header))
    _sync_folder(folder)


def load_state(path: Path) -> State:
    """Read a state, checking that it is what was written.

    Raises:
        TornStateError: if a file is missing, cut off or changed.
        ValueError: if it was written in a format that this version does not know.
    """
    try:
        header = json.loads((path / "state.json").read_bytes())
        if header["format"] != FORMAT:
            raise ValueError(f"{path}: written in format {header['format']}, not {FORMAT}")
        tensors = {}
        for name, written in header["files"].items():
            data = (path / Path(name).name).read_bytes()
            if len(data) != written["bytes"] or _digest(data) != written["blake2b"]:
                raise TornStateError(f"{path}: {name} is not what was written (size or checksum)")
            tensors[Path(name).stem] = safetensors.torch.load(data)
        return State(header["step"], header["recipe"], tensors)
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TornStateError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise TornStateError(f"{path}: state.json lacks a field ({error!r})") from error


def pack(state: State) -> bytes:
    """A state, without its recipe, to be sent to another process."""
    named = {f"{file}/{key}": t for file, part in state.tensors.items() for key, t in part.items()}
    return _to_bytes(named | {"step": torch.tensor(state.step)})


def unpack(data: bytes, recipe: dict[str, Any]) -> State:
    """What was packed, with its recipe."""
    named = safetensors.torch.load(data)
    step = int(named.pop("step"))
    tensors: dict[str, dict[str, Tensor]] = {}
    for name, tensor in named.items():
        file, _, key = name.partition("/")
        tensors.setdefault(file, {})[key] = tensor
    return State(step, recipe, tensors)


def latest(run: Path) -> Path | None:
    """The newest sound state of a run; None if it has no state at all.

    Warns:
        RuntimeWarning: for each torn state that is passed over.

    Raises:
        ValueError: if there are states but all are torn.
    """
    found = states(run)
    for path in reversed(found):
        try:
            load_state(path)
        except TornStateError as error:
            warnings.warn(f"passed over a torn state: {error}", RuntimeWarning, stacklevel=2)
        else:
            return path
    if found:
        raise ValueError(f"{run / 'state'}: all {len(found)} states are torn; remove them")
    return None


def clean(run: Path, *, step: int) -> None:
    """Remove half-written leftovers, and torn states newer than the one of `step`."""
    for leftover in [*run.glob(f"{TEMPORARY}*"), *(run / "state").glob(f"{TEMPORARY}*")]:
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    for path in states(run):
        if path.name > place(run, step).name:
            _remove(path)


def differing_fields(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Dotted names of the fields in which two recipes differ, `FREE_FIELDS` left out.

    Both are compared as JSON, where a tuple is a list.
    """
    flat = (_flat(json.loads(json.dumps(recipe))) for recipe in (old, new))
    before, after = (LATER_FIELDS | fields for fields in flat)
    names = {name for name in before | after if before.get(name, ...) != after.get(name, ...)}
    return sorted(
        n for n in names if not any(n == free or n.startswith(f"{free}.") for free in FREE_FIELDS)
    )


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def save_weights(model: nn.Module, path: Path) -> None:
    """Write all parameters and persistent buffers, atomically.

    Raises:
        OSError: naming the file, if it cannot be written; what was there is untouched.
    """
    replace_file(path, _to_bytes(model.state_dict()))


def load_weights(model: nn.Module, path: Path) -> None:
    """Put the weights of a file into a model of the same architecture.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no safetensors file, or keys or shapes are not the model's.
    """
    try:
        tensors = safetensors.torch.load(path.read_bytes())
    except SafetensorError as error:
        raise ValueError(f"{path}: no safetensors file ({error})") from error
    load_tensors(model, tensors, source=path)


def load_tensors(model: nn.Module, tensors: dict[str, Tensor], *, source: Path) -> None:
    """Put named tensors into a model.

    Raises:
        ValueError: naming `source` and the first keys that are missing, unexpected or of another
            shape.
    """
    own = model.state_dict()
    shapes = [k for k in own if k in tensors and own[k].shape != tensors[k].shape]
    wrong = {
        "lacks": [key for key in own if key not in tensors],
        "has unexpected": [key for key in tensors if key not in own],
        "has another shape for": shapes,
    }
    for problem, keys in wrong.items():
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise ValueError(f"{source} {problem} {', '.join(keys[:3])}{more}; not this model's")
    model.load_state_dict(tensors)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file atomically: its old content stays until the new one is on the disk.

    Raises:
        OSError: naming the file.
    """
    part = path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")
    with _naming(path):
        try:
            _write(part, data)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def save_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON document for people and programs, atomically.

    Raises:
        OSError: naming the file.
    """
    replace_file(path, _to_json(value))


def _to_json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _to_bytes(tensors: dict[str, Tensor]) -> bytes:
    # A copy each: safetensors refuses tensors that share memory, such as tied weights.
    layout = torch.contiguous_format
    copies = {k: t.detach().cpu().clone(memory_format=layout) for k, t in tensors.items()}
    return safetensors.torch.save(copies)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder last through a power cut."""
    if os.name == "nt":  # Windows cannot open a folder.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    """Remove a folder so that no part of it is ever seen under its own name."""
    doomed = folder.with_name(f"{TEMPORARY}{folder.name}-old-{os.getpid()}")
    folder.rename(doomed)
    shutil.rmtree(doomed)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let an OSError name the file that the caller knows, not its temporary one."""
    try:
        yield
    except OSError as error:
        code = error.errno or errno.EIO
        raise OSError(code, f"cannot save: {os.strerror(code)}", str(path)) from error
