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
    except ValueError as error:
        rule = _broken_rule(error)
        if rule is None:
            raise
        raise ValueError(rule) from None


def _broken_rule(error: ValueError) -> str | None:
    """The first rule that a value breaks, if pydantic says so."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return None
    first = error.errors()[0]
    said = first["msg"].removeprefix("Value error, ")
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {said}, not {first['input']!r}" if where else said


WORDINGS = (
    # What pydantic adds.
    (r" ?For (full helptext|further information).*$", ""),
    (r"Error parsing \S+: \d+ validation errors? for \w+ Value error, ", ""),
    (r"Error parsing \S+: \d+ validation errors? for \w+ (\w+)", r"\1:"),
    (r" \[type=\w+, input_value=ArgsKwargs.*$", ""),
    (r" \[type=\w+, input_value=(.*?), input_type=\w+\].*$", r", not \1"),
    # A value of the wrong type.
    (r" Argument helptext:.*$", ""),
    (r" Got errors:.*$", ""),
    (
        r"^Error parsing (\S+): invalid literal for int\(\).*: ('.*')$",
        r"\1 needs an integer, not \2",
    ),
    (r"^Error parsing (\S+): could not convert .*: ('.*')$", r"\1 needs a number, not \2"),
    (
        r"^Error parsing (\S+): no type matching (.*) could be instantiated from \[(.*)\]\.$",
        r"\1 needs \2, not \3",
    ),
    (r"^Error parsing (\S+): ", r"\1: "),
    (
        r"^invalid choice (.*) for argument '(.*)'\. Expected one of \((.*?),?\)\.$",
        r"\2 needs one of \3, not \1",
    ),
    # Nothing where something has to be.
    (r"^Missing value for argument '(.*)'\. Expected 1 values\.$", r"\1 needs a value"),
    (r"^Missing value for argument '(.*)'\. Expected (.*)\.$", r"\1 needs \2"),
)
"""Patterns of what tyro and pydantic say, and what is said instead; all are tried, in order."""


def _one_line(box: str) -> str:
    """What tyro's error box says, without the box, its title and its help."""
    box = re.sub(r"\x1b\[[0-9;]*m", "", box).strip()
    if box.startswith("╭"):
        box = box.partition("\n")[2]
    words = re.sub(r"\s+", " ", re.sub(r"[╭╮╰╯│─━┃┏┓┗┛]+", " ", box)).strip()
    for pattern, said in WORDINGS:
        words = re.sub(pattern, said, words).strip()
    if words.startswith("Unrecognized "):
        return _unknown(words)
    if words.startswith("Missing from "):
        return _missing(words)
    return words.replace("{None}|", "None or ")


def _unknown(words: str) -> str:
    """Options that are not known, without their values, and those that come near."""
    given, *near = re.split(
        r"Perhaps you meant:|Arguments similar to \S+:", words.partition(":")[2]
    )
    names = [word for word in given.strip().split(", ") if re.match(r"--?[A-Za-z]", word)]
    close = list(dict.fromkeys(re.findall(r"(?<!\S)--[\w.-]+", " ".join(near))))
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    if not names:
        return f"unexpected argument {given.strip()}"
    return f"unknown option{'s' if len(names) > 1 else ''} {', '.join(names)}{hint}"


def _missing(words: str) -> str:
    """Which arguments a verb needs."""
    verb, _, rest = words.removeprefix("Missing from ").partition(": ")
    needed = re.findall(r"((?:--\S+ )?\S+) (.*?)\.? \(required\)", rest)
    return f"{verb} needs " + ", ".join(f"{name} ({about})" for name, about in needed)


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
                kind = "FOLDER" if option in ("--out", "--data") else "VALUE"
                raise ValueError(f"{option} needs a value: {option} {kind}")
            return arguments[index + 1]
    return None


def say(text: str) -> None:
    """Tell people something on stderr."""
    print(text, file=sys.stderr, flush=True)
