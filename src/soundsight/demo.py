"""The main job on built-in data: train, sample, score, and a page that shows it.

Two small Sound2Sights learn the same moving digits for the same number of steps, one with ears and
one without.  Then both, the first one with the sound of other clips, and the predictors that learn
nothing forecast clips that none of them has seen.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from soundsight import recipes, sampling
from soundsight.evaluation.claims import Claim, judge
from soundsight.experiment import run_evaluation, run_training, write_evaluation
from soundsight.recipes import Recipe

RUNS = {"sound2sight": "sound2sight_m3so_laptop", "no_audio": "sound2sight_m3so_laptop_no_audio"}
"""Rows of the table and the recipes behind them."""
SHOWN_CLIPS, SHOWN_FUTURES = 3, 4


def claims(last_frame: int) -> list[Claim]:
    """What the demo is there to show, each on the same held-out clips."""
    ours, first_half = "sound2sight", "psnr_first_half"
    shuffled = f"{ours}:shuffled_audio"
    return [
        Claim("Over the first half of the future, Sound2Sight is better than keeping the last "
              "frame", ours, "copy_last", first_half, "mean"),
        Claim("Over the first half of the future, Sound2Sight is better than the mean image",
              ours, "mean_image", first_half, "mean"),
        Claim("In the last frame, the best of its futures is better than the mean image",
              ours, "mean_image", "psnr", "sequence_best", last_frame),
        Claim("Sound2Sight that hears is better than Sound2Sight that does not",
              ours, "no_audio", first_half, "mean"),
        Claim("Given another clip's sound it is no better than the one that does not hear: that "
              "one is better", "no_audio", shuffled, first_half, "mean"),
        Claim("It listens: its own sound helps more than the sound of another clip",
              ours, shuffled, first_half, "mean"),
    ]  # fmt: skip


def run_demo(out: Path, *, seed: int, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the demo into a folder; what an interrupted demo has done is not done again.

    Args:
        out: gets `runs/`, `samples/` and `report/index.html`.
        seed: root of all randomness.
        quick: seconds instead of minutes; nothing is learned.
        say: tells people how it goes.

    Returns:
        The page, the verdicts on the claims and the scores behind them.

    Raises:
        ValueError, OSError: if the folder holds something else or cannot be written.
        Interrupted: with the training's state saved; the same command goes on from there.
    """
    runs = {}
    for step, (name, recipe_name) in enumerate(RUNS.items(), start=1):
        folder = out / "runs" / name
        recipe = with_seed(recipes.load(recipe_name), seed, quick)
        say(f"[{step}/4] training {recipe_name} in {folder}")
        run_training(recipe, folder, resume=True, validate=False)
        runs[name] = sampling.load_run(folder)

    say(f"[3/4] sampling {SHOWN_FUTURES} futures of {SHOWN_CLIPS} unseen clips")
    futures = sampling.sample_data(
        runs["sound2sight"], out / "samples", clips=SHOWN_CLIPS, samples=SHOWN_FUTURES, seed=seed
    )
    for clip, paths in futures:
        say(f"      {clip}: {paths[0].parent}")

    protocol = runs["sound2sight"].recipe.evaluate
    say(f"[4/4] scoring {protocol.num_samples} futures of each of {protocol.clips} unseen clips")
    scores = run_evaluation(runs)
    wanted_claims = claims(protocol.frames)
    judged = judge(scores, wanted_claims)
    page = write_evaluation(
        scores, runs, out / "report", title="Sound2Sight on moving digits", claims=wanted_claims
    )
    for claim, row, verdict in judged:
        say(f"      {verdict}: {claim.text} ({row.value:+.2f} [{row.low:+.2f}, {row.high:+.2f}])")
    say(f"open {page}")
    found = [
        {"claim": c.text, "verdict": v, "difference": r.value, "low": r.low, "high": r.high}
        for c, r, v in judged
    ]
    return {"report": str(page), "claims": found}


def with_seed(recipe: Recipe, seed: int, quick: bool) -> Recipe:
    """The demo's recipe with another seed, or cut down to seconds."""
    train = dataclasses.replace(recipe.train, seed=seed)
    evaluate = dataclasses.replace(recipe.evaluate, seed=seed)
    if quick:
        train = dataclasses.replace(train, steps=2, batch_size=4)
        evaluate = dataclasses.replace(evaluate, clips=4, num_samples=2, resamples=50)
    return dataclasses.replace(recipe, train=train, evaluate=evaluate)
