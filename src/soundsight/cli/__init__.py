"""The command line: `soundsight VERB ...`.

People's text and progress go to stderr; results go to files and, with `--json`, as one JSON
document to stdout.  Exit 0: fine.  1: `check` found something wrong.  2: bad input, one line says
what and how to mend it.  130: interrupted, with the state saved.  Verbs import what they need when
they run, so that `--help` is quick.

Under `torchrun`, which starts several processes, there is `train` only.  The first process speaks;
the others tell their errors, with their number, as it may be they that end the training.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from soundsight.cli.data import check, prepare
from soundsight.cli.experiments import compare, demo, evaluate, list_recipes, sample, train
from soundsight.cli.parse import say

VERBS: dict[str, Callable[[Sequence[str]], dict[str, Any]]] = {
    "demo": demo,
    "recipes": list_recipes,
    "prepare": prepare,
    "check": check,
    "train": train,
    "sample": sample,
    "evaluate": evaluate,
    "compare": compare,
}
USAGE = """\
usage: soundsight VERB ...        soundsight VERB --help tells more

  demo      [--out DIR]                            train, sample and score on built-in data: minutes
  recipes                                          every experiment there is
  prepare   SOURCE... OUT [...]                    raw videos into a data set; resumable; a report
  check     DATA [...]                             is it sound? silent, static, out of step, leaking
  train     RECIPE --out RUN [--data DIR] [...]    learn; any field: --train.steps 500; --resume
  sample    RUN [FILE ...] --out DIR [...]         continue, make the other half, or from nothing
  evaluate  RUN [--out DIR] [...]                  score against controls, with a report
  compare   RUN ... --out DIR [...]                several runs on the same clips, one page
  compare   --suite NAME --out DIR [...]           a paper's whole table: train, score, one page

Every verb takes --json (results on stdout) and --debug (tracebacks)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from soundsight import __version__

        print(__version__)
        return 0
    try:
        result = _verb(arguments[0])(arguments[1:])
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        say("soundsight: interrupted")
        return 130
    except Exception as error:
        if debug:
            raise
        code, rank = _exit_code(error), _rank()
        if code != 130:
            say(f"soundsight: {f'rank {rank}: ' if rank else ''}error: {_message(error)}")
        elif not rank:
            say(f"soundsight: {error}")
        return code
    if "--json" in arguments and not _rank():
        with contextlib.suppress(BrokenPipeError):  # Whoever reads has had enough.
            print(json.dumps(result), flush=True)
    return 0 if result.get("is_sound", True) else 1


def _verb(name: str) -> Callable[[Sequence[str]], dict[str, Any]]:
    if name not in VERBS:
        from soundsight.recipes import nearest

        raise ValueError(nearest(name, list(VERBS), "verb"))
    if name != "train" and _number("WORLD_SIZE", 1) > 1:
        raise ValueError(f"{name} runs in one process: start it without torchrun")
    return VERBS[name]


def _rank() -> int:
    """Number of this process among those that `torchrun` started; 0 without it."""
    return _number("RANK", 0) if _number("WORLD_SIZE", 1) > 1 else 0


def _number(name: str, default: int) -> int:
    """A number in the environment."""
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else default


def _exit_code(error: Exception) -> int:
    """130 for an interruption, 2 for bad input, 1 for all else."""
    if any(kind.__name__ == "Interrupted" for kind in type(error).__mro__):
        return 130
    return 2 if isinstance(error, ValueError | OSError) else 1


def _message(error: Exception) -> str:
    """One line of an error; pydantic's many lines become the first one's field and rule."""
    if hasattr(error, "errors") and callable(error.errors):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        said = str(first["msg"]).removeprefix("Value error, ")
        return f"{where}={first['input']!r}: {said}" if where else said
    text = " ".join(str(error).split()) or type(error).__name__
    known = isinstance(error, ValueError | OSError | RuntimeError) or _exit_code(error) == 130
    return text if known else f"{type(error).__name__}: {text} (--debug shows where)"
