"""`soundsight compare --suite`: a whole table, from nothing."""

import json
from typing import Any

from soundsight.cli.experiments import Compare, data_at, refuse
from soundsight.cli.parse import say


def compare_suite(options: Compare) -> dict[str, Any]:
    """Train, score and show what the options ask for.

    Raises:
        ValueError: if there is no such suite, row or field, or an option is for comparing runs.
    """
    from soundsight import recipes, suites
    from soundsight.experiment.suite import run_suite

    assert options.suite is not None
    if options.runs:
        raise ValueError(
            f"{options.runs[0]}: a suite trains its own runs; name none, or no --suite"
        )
    refuse(options, ("judges", "extractor"), "is for generation; suites compare forecasts")
    if options.jobs < 1:
        raise ValueError(f"--jobs {options.jobs}: at least one training at a time")
    suite = suites.load(options.suite)
    kept = tuple(row for row in options.rows if "=" not in row)
    added = (row.partition("=") for row in options.rows if "=" in row)
    more = tuple(suites.Row(name, recipe) for name, _, recipe in added)
    suite = (suite.only(kept) if kept else suite).adding(more)
    data = None
    if options.data is not None:
        first = recipes.load(suite.rows[0].recipe)
        data = data_at(first.data, options.data, suite.name, first.model)
    page = run_suite(
        suite,
        options.out,
        seeds=options.seeds,
        changes=changes(options),
        data=data,
        jobs=options.jobs,
        say=say,
    )
    say(f"report: {page}")
    return dict(json.loads(page.with_name("scores.json").read_text()))


def changes(options: Compare) -> dict[str, Any]:
    """Fields of all rows' recipes that the options change, by PART.FIELD.

    Raises:
        ValueError: if a `--set` is no PART.FIELD=VALUE.
    """
    named = {
        "train.steps": options.budget,
        "train.device": None if options.device == "auto" else options.device,
        "evaluate.num_samples": options.samples,
        "evaluate.clips": options.clips,
        "evaluate.seed": options.seed,
    }
    found: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    for text in options.set:
        name, sign, value = text.partition("=")
        if not sign or "." not in name:
            raise ValueError(f"--set {text}: write PART.FIELD=VALUE, such as data.digits=mnist")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:  # A word.
            found[name] = value
    return found
