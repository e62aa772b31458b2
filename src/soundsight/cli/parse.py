"""Read a verb's arguments, and tell people what goes on."""

import contextlib
import io
import re
import sys
from collections.abc import Sequence
from typing import Any

import tyro


def parse(kind: Any, arguments: Sequence[str], *, verb: str, description: str | None = None) -> Any:
    """Arguments as a value of a dataclass; a mistake is a ValueError of one line."""
    text = io.StringIO()
    try:
        with contextlib.redirect_stderr(text):
            return tyro.cli(
                kind, args=list(arguments), prog=f"soundsight {verb}", description=description
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ValueError(_one_line(text.getvalue())) from None


def _one_line(box: str) -> str:
    """What tyro's error box says, without the box and its help."""
    box = re.sub(r"\x1b\[[0-9;]*m", "", box)
    words = re.sub(r"\s+", " ", re.sub(r"[╭╮╰╯│─━┃┏┓┗┛]+", " ", box)).strip()
    words = re.sub(r"For (full helptext|further information).*$", "", words)
    words = re.sub(r"^(Parsing error|Value error|Required options)\W*", "", words)
    words = re.sub(r"Error parsing \S+: \d+ validation errors? for \w+ (\w+)", r"\1:", words)
    words = re.sub(r" \[type=\w+, input_value=(.*?), input_type=\w+\]", r", not \1", words)
    words = re.sub(r"^Value: error, |, not ArgsKwargs.*$", "", words)
    words = re.sub(r"^Unrecognized options:", "unknown option", words)
    return words.replace("Argument helptext:", "in").strip()


def value_of(option: str, arguments: Sequence[str]) -> str | None:
    """What follows `--option`, or `--option=`; None if it is not there.

    Raises:
        ValueError: if nothing follows.
    """
    for index, argument in enumerate(arguments):
        if argument.startswith(f"{option}="):
            return argument.split("=", 1)[1]
        if argument == option:
            if index + 1 == len(arguments):
                raise ValueError(f"{option} needs a value: {option} FOLDER")
            return arguments[index + 1]
    return None


def say(text: str) -> None:
    """Tell people something on stderr."""
    print(text, file=sys.stderr, flush=True)
