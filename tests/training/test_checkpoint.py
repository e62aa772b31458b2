import json
import pickle
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from soundsight.training.checkpoint import (
    State,
    clean,
    differing_fields,
    latest,
    load_state,
    load_weights,
    replace_file,
    save_state,
    save_weights,
    states,
)


def state(step: int, number: int = 6) -> State:
    weights = {"w": torch.arange(number, dtype=torch.float32) + step, "n": torch.tensor(step)}
    return State(step, {"train": {"lr": 0.1}}, {"model": weights, "optim": {}})


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 4 kB: the system refuses the write half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_state_round_trips(tmp_path: Path) -> None:
    path = save_state(tmp_path, state(1200), keep=2)
    assert path == tmp_path / "state" / "step_00001200"
    assert sorted(f.name for f in path.iterdir()) == [
        "model.safetensors",
        "optim.safetensors",
        "state.json",
    ]
    step, recipe, tensors = load_state(path)
    assert (step, recipe) == (1200, {"train": {"lr": 0.1}})
    assert tensors["optim"] == {}
    assert torch.equal(tensors["model"]["w"], torch.arange(6.0) + 1200)
    assert tensors["model"]["n"].dtype == torch.int64


def test_the_newest_are_kept_and_no_temporary_name(tmp_path: Path) -> None:
    for step in (10, 20, 30, 100):
        save_state(tmp_path, state(step), keep=2)
    assert [p.name for p in (tmp_path / "state").iterdir() if p.name[0] == "."] == []
    assert [p.name for p in states(tmp_path)] == ["step_00000030", "step_00000100"]
    save_state(tmp_path, state(110), keep=1)
    assert [p.name for p in states(tmp_path)] == ["step_00000110"]


def test_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    paths = [save_state(tmp_path / name, state(3), keep=1) for name in "ab"]
    for name in ("model.safetensors", "state.json"):
        assert (paths[0] / name).read_bytes() == (paths[1] / name).read_bytes()


def cut(path: Path) -> None:
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def flip(path: Path) -> None:
    file = path / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def cut_header(path: Path) -> None:
    file = path / "state.json"
    file.write_bytes(file.read_bytes()[:40])


TEARS: list[Callable[[Path], None]] = [
    cut,
    flip,
    cut_header,
    lambda path: (path / "optim.safetensors").unlink(),
    lambda path: (path / "state.json").unlink(),
    lambda path: (path / "state.json").write_text("{}"),
    lambda path: (path / "state.json").write_text("[]"),
]


@pytest.mark.parametrize("tear", TEARS)
def test_a_torn_state_is_passed_over_with_a_warning(tmp_path: Path, tear) -> None:
    good = save_state(tmp_path, state(10), keep=3)
    torn = save_state(tmp_path, state(20), keep=3)
    assert latest(tmp_path) == torn
    tear(torn)
    with pytest.warns(RuntimeWarning, match="passed over a torn state: .*step_00000020"):
        assert latest(tmp_path) == good
    clean(tmp_path, step=10)
    assert states(tmp_path) == [good]


def test_only_torn_states_is_an_error_not_a_fresh_start(tmp_path: Path) -> None:
    cut(save_state(tmp_path, state(10), keep=3))
    with (
        pytest.warns(RuntimeWarning, match="passed over"),
        pytest.raises(ValueError, match="all 1 states are torn"),
    ):
        latest(tmp_path)


def test_half_written_leftovers_are_ignored_and_removed(tmp_path: Path) -> None:
    good = save_state(tmp_path, state(10), keep=3)
    part = tmp_path / "state" / ".tmp-step_00000020-77"
    part.mkdir()
    (part / "model.safetensors").write_bytes(b"half")
    (tmp_path / ".tmp-weights.safetensors-77").write_bytes(b"half")
    assert latest(tmp_path) == good
    clean(tmp_path, step=10)
    assert [p.name for p in tmp_path.rglob(".tmp*")] == []
    assert latest(tmp_path) == good


def test_no_state_is_none(tmp_path: Path) -> None:
    assert latest(tmp_path / "absent") is None


def test_unknown_format_is_refused_by_name(tmp_path: Path) -> None:
    path = save_state(tmp_path, state(10), keep=3)
    header = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps(header | {"format": 99}))
    with pytest.raises(ValueError, match="written in format 99, not 1"):
        latest(tmp_path)


def test_full_disk_names_the_folder_and_loses_nothing(tmp_path: Path) -> None:
    good = save_state(tmp_path, state(10), keep=1)
    place = tmp_path / "state" / "step_00000020"
    with full_disk(), pytest.raises(OSError, match="cannot save: File too large") as caught:
        save_state(tmp_path, state(20, number=10_000), keep=1)
    assert caught.value.filename == str(place)
    assert list((tmp_path / "state").iterdir()) == [good]
    assert latest(tmp_path) == good


def test_full_disk_leaves_the_old_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(nn.Linear(2, 2), path)
    before = path.read_bytes()
    with full_disk(), pytest.raises(OSError, match=r"weights\.safetensors"):
        save_weights(nn.Linear(100, 100), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_weights_round_trip_with_tied_and_channels_last_ones(tmp_path: Path) -> None:
    def build() -> nn.Module:
        conv = nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)
        return nn.ModuleDict({"a": conv, "b": conv, "norm": nn.BatchNorm2d(3)})

    model, other = build(), build()
    model["norm"].running_mean.fill_(5.0)
    save_weights(model, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert other["a"].weight is other["b"].weight
    mine, theirs = model.state_dict(), other.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert other["a"].weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), "lacks 1.weight, 1.bias; not this"),
        (nn.Sequential(nn.Linear(2, 2, bias=False)), "has unexpected 0.bias"),
        (nn.Sequential(nn.Linear(3, 2)), "has another shape for 0.weight"),
        (nn.Sequential(*(nn.Linear(2, 2) for _ in range(4))), r"lacks .*2.weight and 3 more"),
    ],
)
def test_weights_of_another_model_are_refused(tmp_path: Path, model, message: str) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(nn.Sequential(nn.Linear(2, 2)), path)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message) as caught:
        load_weights(model, path)
    assert str(path) in str(caught.value)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "exploded",))

    path = tmp_path / "w.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="no safetensors file"):
        load_weights(nn.Linear(2, 2), path)
    assert not (tmp_path / "exploded").exists()


def test_missing_weights_are_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_weights(nn.Linear(2, 2), tmp_path / "nowhere")


def test_replace_file_replaces(tmp_path: Path) -> None:
    replace_file(tmp_path / "a", b"old")
    replace_file(tmp_path / "a", b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"new")]


def test_differing_fields_names_them_and_lets_the_free_ones_differ() -> None:
    old = {
        "model": {"z_dim": 4, "sizes": (1, 2)},
        "train": {"steps": 10, "seed": 0, "log_every": 5, "optim": {"g": {"lr": 0.1}}},
        "evaluate": {"samples": 3},
    }
    new = {
        "model": {"z_dim": 4, "sizes": [1, 2]},
        "train": {"steps": 99, "seed": 0, "log_every": 1, "optim": {"g": {"lr": 0.1}}},
        "evaluate": {"samples": 4},
    }
    assert differing_fields(old, new) == []
    new["model"]["z_dim"] = 5
    new["train"]["optim"]["g"]["lr"] = 0.2
    new["train"]["ema"] = 0.9
    assert differing_fields(old, new) == ["model.z_dim", "train.ema", "train.optim.g.lr"]
    assert differing_fields({"a": None}, {}) == ["a"]
