import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.training.toy_models import Duel, Gan, Linear, Waves, build
from tests.training.train_toy import config as gan_config
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from soundsight.contract import Loss, Model
from soundsight.data.loader import Batches
from soundsight.media.clip import Clip, ClipSpec
from soundsight.training.checkpoint import states
from soundsight.training.feed import Feed
from soundsight.training.interrupt import Interrupted
from soundsight.training.learner import compile_networks
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig, pick_device, train

# torch's own modules use what torch deprecates.
COMPILING = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
LINEAR = TrainConfig(steps=4, batch_size=8, optim={"net": OptimConfig()}, device="cpu")


def go(model: Model, config: TrainConfig, run: Path, **options) -> dict[str, Tensor]:
    """Train without a word; the weights that sampling would use."""
    options = {"recipe": {"train": asdict(config)}, "progress": False} | options
    train(model, Waves(), config, run, **options)
    return load_file(run / "weights.safetensors")


def stats(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# ---- What a step does ----------------------------------------------------------------------------


def test_one_step_of_one_phase_is_what_adam_says(tmp_path: Path) -> None:
    model, twin = build(Linear), build(Linear)
    config = replace(LINEAR, steps=1, batch_size=10, optim={"net": OptimConfig(lr=0.01)})
    weights = go(model, config, tmp_path)
    clip = Waves().clips(range(10))  # The whole data set; the order does not matter.
    loss = F.mse_loss(twin.net(clip.video[:, 0].flatten(1)), clip.audio)
    loss.backward()
    # Adam's first step has the length of lr wherever the gradient is not tiny.
    moved = twin.net.weight - 0.01 * twin.net.weight.grad.sign()
    sure = twin.net.weight.grad.abs() > 1e-4
    torch.testing.assert_close(weights["net.weight"][sure], moved.data[sure])
    (line,) = stats(tmp_path)
    assert line["net/mse"] == line["net/total"] == pytest.approx(loss.item())
    norm = torch.cat([p.grad.flatten() for p in twin.parameters()]).norm()
    assert line["net/grad_norm"] == pytest.approx(norm.item())


class WatchedGan(Gan):
    """Notes, whenever the trainer hands back, what it changed."""

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        for phase, loss in super().losses(clip, step=step, generator=generator):
            before = {name: p.clone() for name, p in self.named_parameters()}
            yield phase, loss
            for name, p in self.named_parameters():
                assert p.grad is None
                moved = not torch.equal(before[name], p)
                assert moved == name.startswith(phase), f"{phase}: {name}"


def test_no_phase_moves_or_gives_gradients_to_another(tmp_path: Path, monkeypatch) -> None:
    owners = []
    clip_gradients = nn.utils.clip_grad_norm_

    def spy(parameters, limit: float) -> Tensor:
        with_gradient = {n for n, p in model.named_parameters() if p.grad is not None}
        owners.append({name.split(".")[0] for name in with_gradient})
        return clip_gradients(parameters, limit)

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", spy)
    model = build(WatchedGan)
    go(model, gan_config(steps=4, checkpoint_every=100), tmp_path)
    d, g = {"discriminator"}, {"generator"}
    assert owners == [g, g, d, g, d, g]  # The discriminator starts in the third step.


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    optim = {"d": OptimConfig(lr=1e-3, clip_norm=0.1), "g": OptimConfig(lr=1e-3)}
    config = TrainConfig(steps=5, batch_size=8, optim=optim, device="cpu", log_every=1)
    whole, parts = build(Duel), build(Duel)
    one = go(whole, config, tmp_path / "1")
    four = go(parts, replace(config, accumulate=4), tmp_path / "4")
    torch.testing.assert_close(four, one, atol=1e-6, rtol=0)
    assert whole.order[:2] == ["d8", "g8"]
    assert parts.order[:8] == ["d2"] * 4 + ["g2"] * 4  # All at the first yield, then all go on.
    for a, b in zip(stats(tmp_path / "1"), stats(tmp_path / "4"), strict=True):
        shared = {k for k in a if "/" in k}
        assert {k: b[k] for k in shared} == pytest.approx({k: a[k] for k in shared}, rel=1e-4)


def test_clipping_limits_what_the_optimizer_gets(tmp_path: Path, monkeypatch) -> None:
    norms = []
    step = torch.optim.Adam.step

    def spy(self, *arguments) -> None:
        gradients = [p.grad.flatten() for group in self.param_groups for p in group["params"]]
        norms.append(torch.cat(gradients).norm().item())
        step(self, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    optim = {"net": OptimConfig(clip_norm=0.01)}
    go(build(Linear), replace(LINEAR, optim=optim, log_every=1), tmp_path)
    assert norms == pytest.approx([0.01] * 4, rel=1e-3)
    assert all(line["net/grad_norm"] > 0.1 for line in stats(tmp_path))  # As it was before.


def test_learning_rate_follows_the_schedule(tmp_path: Path) -> None:
    optim = {"net": OptimConfig(lr=1.0, warmup=2, schedule="linear")}
    go(build(Linear), replace(LINEAR, steps=6, optim=optim, log_every=1), tmp_path)
    assert [line["net/lr"] for line in stats(tmp_path)] == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]


def test_weights_are_the_moving_average_and_the_model_is_not(tmp_path: Path) -> None:
    model, history = build(Linear), []

    def note(average: Model, done: int) -> dict[str, float]:
        assert average is not model
        history.append(model.net.weight.detach().clone())
        return {}

    start = model.net.weight.detach().clone()
    config = replace(LINEAR, ema=0.25, validate_every=1)
    weights = go(model, config, tmp_path, validate=note)
    expected = start
    for step, weight in enumerate(history):
        kept = min(0.25, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * weight
    torch.testing.assert_close(weights["net.weight"], expected)
    assert not torch.allclose(expected, model.net.weight)
    assert torch.equal(
        load_file(states(tmp_path)[-1] / "model.safetensors")["net.weight"], model.net.weight
    )


def test_same_seed_same_weights_other_seed_others(tmp_path: Path) -> None:
    config = gan_config(steps=5, checkpoint_every=100)
    torch.manual_seed(1)
    first = go(build(Gan), config, tmp_path / "a")
    torch.manual_seed(2)  # The caller's generator has no say,
    before = torch.get_rng_state()
    again = go(build(Gan), config, tmp_path / "b")
    assert torch.equal(torch.get_rng_state(), before)  # and is left alone.
    other = go(build(Gan), replace(config, seed=4), tmp_path / "c")
    assert same(first, again)
    assert not same(first, other)


def test_noise_and_dropout_differ_between_steps(tmp_path: Path) -> None:
    class Dice(Linear):
        seen: tuple = ()

        def losses(self, clip, *, step, generator):
            kept = F.dropout(torch.ones(64)).tolist()
            self.seen += ((kept, torch.rand(3, generator=generator).tolist()),)
            yield from super().losses(clip, step=step, generator=generator)

    model = build(Dice)
    go(model, LINEAR, tmp_path)
    for drawn in zip(*model.seen, strict=True):
        assert len({tuple(values) for values in drawn}) == 4


def test_windows_of_fewer_frames(tmp_path: Path) -> None:
    class Short(Linear):
        def losses(self, clip, *, step, generator):
            assert clip.video.shape == (8, 1, 1, 8, 8)
            wide = torch.cat([clip.audio, clip.audio], 1)
            yield "net", Loss(F.mse_loss(self.net(clip.video.flatten(1)), wide), {})

    go(build(Short), replace(LINEAR, frames=1), tmp_path)


def test_bfloat16_is_autocast_of_the_losses_alone(tmp_path: Path) -> None:
    class Cast(Linear):
        def losses(self, clip, *, step, generator):
            prediction = self.net(clip.video[:, 0].flatten(1))
            assert prediction.dtype == torch.bfloat16
            yield (
                "net",
                Loss(F.mse_loss(prediction.float(), clip.audio), {"mean": prediction[0, 0]}),
            )
            assert self.net(clip.video[:, 0].flatten(1)).dtype == torch.bfloat16

    weights = go(build(Cast), replace(LINEAR, precision="bfloat16"), tmp_path / "b")
    full = go(build(Linear), LINEAR, tmp_path / "f")
    assert {w.dtype for w in weights.values()} == {torch.float32}
    torch.testing.assert_close(weights, full, atol=2e-3, rtol=0)
    assert not same(weights, full)


def test_convolutions_are_channels_last_on_request(tmp_path: Path) -> None:
    for wanted in (True, False):
        model = build(Gan)
        model.generator[-1][1] = nn.Conv2d(2, 2, 3, 1, 1)
        config = replace(gan_config(steps=1, checkpoint_every=9), channels_last=wanted)
        go(model, config, tmp_path / str(wanted))
        weight = model.generator[-1][1].weight
        assert weight.is_contiguous(memory_format=torch.channels_last) == wanted
        assert weight.is_contiguous() != wanted


@COMPILING
def test_compiled_networks_are_the_children_of_phases_or_the_models_choice() -> None:
    def compiled(model: nn.Module) -> list[str]:
        return [n for n, m in model.named_modules() if m._compiled_call_impl is not None]

    model = build(Linear)
    compile_networks(model, model.phases())
    assert compiled(model) == ["net"]
    model = build(Linear)
    compile_networks(model, {"all": model})
    assert compiled(model) == ["net"]
    model = build(Duel)
    model.compile_parts = lambda: [model.d]
    compile_networks(model, model.phases())
    assert compiled(model) == ["d"]
    assert "d.0.weight" in model.state_dict()


@pytest.mark.slow
@COMPILING
def test_compiled_training_agrees_to_rounding(tmp_path: Path) -> None:
    optim = {"d": OptimConfig(lr=1e-3), "g": OptimConfig(lr=1e-3)}
    config = TrainConfig(steps=3, batch_size=4, optim=optim, device="cpu")
    plain = go(build(Duel), config, tmp_path / "plain")
    compiled = go(build(Duel), replace(config, compile=True), tmp_path / "compiled")
    torch.testing.assert_close(compiled, plain, atol=1e-5, rtol=0)


# ---- What stands around the steps ----------------------------------------------------------------


def test_the_run_folder_and_its_lines(tmp_path: Path) -> None:
    config = replace(gan_config(steps=25, checkpoint_every=10), keep_states=2)
    run = tmp_path / "new" / "run"
    go(build(Gan), config, run, recipe={"model": {"ä": 1}, "train": asdict(config)})
    assert sorted(p.relative_to(run).as_posix() for p in run.rglob("*")) == [
        "recipe.json",
        "state",
        *(
            f"state/step_000000{step}{name}"
            for step in (20, 25)
            for name in (
                "",
                "/ema.safetensors",
                "/model.safetensors",
                "/optim.safetensors",
                "/state.json",
            )
        ),
        "stats.jsonl",
        "weights.safetensors",
    ]
    assert json.loads((run / "recipe.json").read_text())["model"] == {"ä": 1}
    lines = stats(run)
    assert [line["step"] for line in lines] == [10, 20, 25]
    assert set(lines[0]) == {
        "step", "seconds", "wait_s", "clips_per_s",
        "discriminator/right", "discriminator/wrong", "discriminator/total",
        "discriminator/grad_norm", "discriminator/lr",
        "generator/adversarial", "generator/mse", "generator/total",
        "generator/grad_norm", "generator/lr",
    }  # fmt: skip
    assert lines[2]["clips_per_s"] == pytest.approx(5 * 4 / lines[2]["seconds"])


def test_validation_sees_an_eval_model_and_leaves_no_trace(tmp_path: Path) -> None:
    config = replace(gan_config(steps=5, checkpoint_every=100), ema=None, validate_every=2)
    model, calls = build(Gan), []

    class Frozen(nn.Dropout):
        def train(self, mode: bool = True) -> nn.Module:
            return super().train(False)

    model.generator[3] = Frozen(0.3)

    def validate(given: Model, done: int) -> dict[str, float]:
        assert given is model
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
        torch.rand(3)
        calls.append(done)
        return {"psnr": 20.0 + done}

    watched = go(model, config, tmp_path / "a", validate=validate)
    assert calls == [2, 4, 5]
    modes = {n: m.training for n, m in model.named_modules() if not m.training}
    assert modes == {"generator.3": False}
    assert [s["validate/psnr"] for s in stats(tmp_path / "a") if "validate/psnr" in s] == [
        22.0,
        24.0,
        25.0,
    ]
    blind = build(Gan)
    blind.generator[3] = Frozen(0.3)
    assert same(watched, go(blind, config, tmp_path / "b"))


def test_a_longer_training_can_go_on_and_is_that_of_the_longer_one(tmp_path: Path) -> None:
    straight = go(build(Linear), replace(LINEAR, steps=9), tmp_path / "straight")
    go(build(Linear), replace(LINEAR, steps=4, checkpoint_every=3), tmp_path / "two")
    other_start = build(Linear, seed=99)  # Its weights are those of the state.
    longer = replace(LINEAR, steps=9, log_every=2)
    assert same(go(other_start, longer, tmp_path / "two", resume=True), straight)
    assert [line["step"] for line in stats(tmp_path / "two")] == [4, 6, 8, 9]


def test_resuming_a_finished_run_puts_back_its_weights(tmp_path: Path) -> None:
    weights = go(build(Linear), LINEAR, tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    assert same(go(build(Linear, seed=5), LINEAR, tmp_path, resume=True), weights)


def test_resuming_nothing_starts_afresh_and_says_so(tmp_path: Path, capsys) -> None:
    (tmp_path / "stats.jsonl").write_text('{"step": 2}\n')  # Killed before its first state.
    go(build(Linear), LINEAR, tmp_path, resume=True, progress=True)
    assert "no state in" in capsys.readouterr().err
    assert [line["step"] for line in stats(tmp_path)] == [4]


def test_resuming_from_a_torn_state_ends_the_same(tmp_path: Path) -> None:
    config = replace(gan_config(steps=12, checkpoint_every=5), keep_states=3)
    straight = go(build(Gan), config, tmp_path)
    _, newest, end = states(tmp_path)
    shutil.rmtree(end)
    (newest / "optim.safetensors").write_bytes(b"torn")
    # Though one state is kept, and 10 > 5, the torn one must not push out a good one.
    config = replace(config, keep_states=1, checkpoint_every=4)
    with pytest.warns(RuntimeWarning, match="passed over a torn state: .*step_00000010"):
        weights = go(build(Gan), config, tmp_path, resume=True)
    assert same(weights, straight)
    assert [path.name for path in states(tmp_path)] == ["step_00000012"]


def test_a_used_folder_is_not_overwritten(tmp_path: Path) -> None:
    go(build(Linear), LINEAR, tmp_path)
    before = (tmp_path / "stats.jsonl").read_bytes()
    with pytest.raises(ValueError, match=r"already holds a training \(step_00000004\).*--resume"):
        go(build(Linear), LINEAR, tmp_path)
    assert (tmp_path / "stats.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, r"another recipe: train\.seed differs"),
        ({"seed": 1, "ema": 0.9}, r"another recipe: train\.ema, train\.seed differ"),
        ({"steps": 3}, r"step_00000004 is beyond train\.steps=3"),
    ],
)
def test_resuming_another_training_is_refused(tmp_path: Path, change, message: str) -> None:
    go(build(Linear), LINEAR, tmp_path)
    with pytest.raises(ValueError, match=message):
        go(build(Linear), replace(LINEAR, **change), tmp_path, resume=True)


def test_resuming_with_another_model_is_refused(tmp_path: Path) -> None:
    go(build(Linear), LINEAR, tmp_path)
    model = build(Linear)
    model.extra = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(ValueError, match=r"step_00000004/model lacks extra\.weight, extra\.bias"):
        go(model, LINEAR, tmp_path, resume=True)


# ---- Where batches come from ---------------------------------------------------------------------


class SlowWaves(Waves):
    """Takes 80 ms a batch to read: many times what the model takes, on a busy machine, too."""

    def clips(self, indices: Sequence[int]) -> Clip:
        time.sleep(0.08)
        return super().clips(indices)


@pytest.mark.parametrize("slow", ["data", "model"])
def test_the_log_tells_what_was_waited_for(tmp_path: Path, slow: str) -> None:
    data = SlowWaves() if slow == "data" else Waves()
    model = build(Gan, delay_s=0.08 if slow == "model" else 0.0)
    config = gan_config(steps=20, checkpoint_every=100)
    train(model, data, config, tmp_path, recipe={}, progress=False)
    _, second = stats(tmp_path)
    share = second["wait_s"] / second["seconds"]
    assert 0 <= share <= 1
    assert share > 0.5 if slow == "data" else share < 0.2


def test_another_number_of_processes_is_the_same_training(tmp_path: Path) -> None:
    config = replace(gan_config(steps=12, checkpoint_every=5), keep_states=3)
    straight = go(build(Gan), config, tmp_path / "straight")
    go(build(Gan), replace(config, workers=1), tmp_path / "two")
    for state in states(tmp_path / "two")[1:]:
        shutil.rmtree(state)
    finished = go(build(Gan), replace(config, workers=2), tmp_path / "two", resume=True)
    assert same(finished, straight)


class SortedWaves(Waves):
    """Two classes, one of which has a single clip."""

    labels = np.array([0] * 9 + [1], dtype=np.int64)


def test_balanced_training_sees_the_rare_class_and_is_not_resumed_as_another(tmp_path) -> None:
    seen = []

    class Watching(Linear):
        def losses(self, clip, *, step, generator):
            seen.append((clip.audio == Waves().clips([9]).audio).all(dim=1).sum().item())
            yield from super().losses(clip, step=step, generator=generator)

    config = replace(LINEAR, steps=40, balance="class")
    recipe = {"train": asdict(config)}
    train(build(Watching), SortedWaves(), config, tmp_path, recipe=recipe, progress=False)
    assert abs(sum(seen) - 160) < 5 * 320**0.5 / 2  # Of 40 batches of 8.
    with pytest.raises(ValueError, match=r"another recipe: train\.balance differs"):
        go(build(Linear), replace(config, balance="none"), tmp_path, resume=True)


STOPPED = """
import sys
from dataclasses import asdict, replace
from pathlib import Path
from tests.training.toy_models import Gan, Waves, build
from tests.training.train_toy import config
from soundsight.training.trainer import Interrupted, train
c = replace(config(400, 1000), workers=2)
model = build(Gan, delay_s=0.02)
try:
    train(model, Waves(), c, Path(sys.argv[1]), recipe={"train": asdict(c)}, progress=False)
except Interrupted:
    sys.exit(130)
"""


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_to_all_processes_saves_and_ends_them(tmp_path: Path, number) -> None:
    """As a terminal or a cluster sends it."""
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(run)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while process.poll() is None and not (run / "stats.jsonl").exists():
        time.sleep(0.01)
    while process.poll() is None and not (run / "stats.jsonl").read_text():
        time.sleep(0.01)
    os.killpg(process.pid, number)
    _, told = process.communicate(timeout=60)
    assert told == "\nstopping after this step; Ctrl-C again to leave at once\n"
    assert process.returncode == 130
    assert int(states(run)[-1].name[5:]) >= 10
    deadline = time.monotonic() + 20
    while group_lives(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def group_lives(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


class Dying(Waves):
    """A process that reads batch `last` ends, and may first tell the training to stop."""

    def __init__(self, trainer: int, last: int, stop: bool) -> None:
        super().__init__(number=8)
        self.trainer, self.last, self.stop, self.calls = trainer, last, stop, 0

    def clips(self, indices: Sequence[int]) -> Clip:
        if os.getpid() == self.trainer:
            return super().clips(indices)
        self.calls += 1
        if self.calls == self.last:
            if self.stop:
                os.kill(self.trainer, signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().clips(indices)


@pytest.mark.parametrize("last", [pytest.param(1, marks=pytest.mark.slow), 6])
def test_a_training_that_is_to_stop_is_saved_though_its_loader_died(tmp_path, capfd, last) -> None:
    config = replace(LINEAR, steps=9, workers=1)
    data = Dying(os.getpid(), last, stop=True)
    with pytest.raises(Interrupted) as stopped:
        train(build(Linear), data, config, tmp_path, recipe={}, progress=False)
    assert states(tmp_path) == [stopped.value.state]
    assert int(stopped.value.state.name[5:]) < last
    for run, alone in ((tmp_path, replace(config, workers=0)), (tmp_path / "never", config)):
        whole = Dying(os.getpid(), 99, stop=False)
        train(build(Linear), whole, alone, run, recipe={}, resume=run == tmp_path, progress=False)
    weights = [load_file(run / "weights.safetensors") for run in (tmp_path, tmp_path / "never")]
    assert same(*weights)


def test_a_training_whose_loader_died_tells_the_step(tmp_path, capfd) -> None:
    config = replace(LINEAR, steps=9, workers=1)
    data = Dying(os.getpid(), 6, stop=False)
    with pytest.raises(ChildProcessError, match=r"step [3-5]: .* \(exit code -9\); killed"):
        train(build(Linear), data, config, tmp_path, recipe={}, progress=False)
    assert states(tmp_path) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_copied_beside_the_work_on_a_gpu_are_whole(tmp_path: Path) -> None:
    """Large batches, freed at once, while the device is kept busy."""
    spec = ClipSpec(frames=50, fps=10.0, size=128, sample_rate=40)
    device = torch.device("cuda")

    class Large(Waves):
        def clips(self, indices: Sequence[int]) -> Clip:
            video = torch.arange(len(indices) * 50 * 128 * 128) % 251 + float(indices[0])
            return Clip(spec, video=video.view(-1, 50, 1, 128, 128))

    Large.spec = spec
    batches = Batches(Large(), 8, pin=True)
    busy, sums = torch.rand(4000, 4000, device=device), []
    with closing(Feed(batches, device)) as feed:
        for _ in range(40):
            clip = feed.draw()
            for _ in range(5):
                busy = busy @ busy / 4000
            sums.append(clip.video.double().sum())
            del clip
    expected = [batches.batch(step).video.double().sum().item() for step in range(40)]
    assert [total.item() for total in sums] == expected


# ---- What is refused -----------------------------------------------------------------------------


def test_an_unknown_phase_is_named(tmp_path: Path) -> None:
    class Wrong(Linear):
        def losses(self, clip, *, step, generator):
            yield "critic", Loss(self.net.weight.sum(), {})

    with pytest.raises(ValueError, match=r"yielded the phase 'critic'; phases\(\) has \['net'\]"):
        go(build(Wrong), LINEAR, tmp_path)


def test_a_loss_without_parameters_is_named(tmp_path: Path) -> None:
    class Constant(Linear):
        def losses(self, clip, *, step, generator):
            yield "net", Loss(torch.ones(()), {})

    with pytest.raises(ValueError, match="loss of phase 'net' depends on none of its parameters"):
        go(build(Constant), LINEAR, tmp_path)


def test_micro_batches_out_of_step_are_refused(tmp_path: Path) -> None:
    class Uneven(Linear):
        calls = 0

        def losses(self, clip, *, step, generator):
            self.calls += 1
            for _ in range(self.calls):
                yield "net", Loss(self.net.weight.sum(), {})

    with pytest.raises(ValueError, match=r"same phases in order, not \[None, 'net'\]"):
        go(build(Uneven), replace(LINEAR, accumulate=2), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accumulate": 3}, "batch_size=8 is no multiple of accumulate=3"),
        ({"ema": 1.0}, "ema=1.0 must be between 0 and 1"),
        ({"steps": 0}, "steps"),
        ({"precision": "float16"}, "precision"),
        ({"log_every": 0}, "log_every"),
        ({"seed": -1}, "seed"),
        ({"workers": -1}, "workers"),
        ({"balance": "classes"}, "balance"),
    ],
)
def test_config_refuses(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(LINEAR, **change)


def test_config_refuses_unknown_fields() -> None:
    with pytest.raises(ValueError, match="setps"):
        TrainConfig(steps=1, batch_size=1, optim={}, setps=3)


def test_an_absent_device_is_named() -> None:
    with pytest.raises(ValueError, match=r"device='quantum' cannot .*; choose auto or cpu"):
        pick_device("quantum")
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ValueError, match=f"device='{absent}' cannot be used"):
        pick_device(absent)
