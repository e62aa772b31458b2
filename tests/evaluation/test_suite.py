"""Scores of several trainings: joined by hand, and refused where they do not belong together."""

import dataclasses

import numpy as np
import pytest
from tests.evaluation.little_world import SEEN, Listener, Squares, evaluate
from tests.evaluation.test_report import Page

from soundsight.evaluation import suite as scoring
from soundsight.evaluation.claims import Claim
from soundsight.evaluation.forecasters import REAL, SHUFFLED
from soundsight.evaluation.scores import ForecastProtocol
from soundsight.evaluation.suite import Published, RunScores, SuiteScores, by_seed, join, seed_name
from soundsight.evaluation.suite_report import write_suite_report

LATE = ("psnr", "mean", 9)


def scored(row: str, jitter: float) -> RunScores:
    """A run that reads the sound, wrong by so many pixels."""
    return scoring.keep(evaluate({row: Listener(jitter)}), {"weights_sha256": str(jitter)})


@pytest.fixture(scope="module")
def runs() -> dict[str, dict[int, RunScores]]:
    """A good row and a bad one, two seeds each; seed 1 of the good one is worse than the bad."""
    return {
        "good": {0: scored("good", 0.5), 1: scored("good", 9.0)},
        "bad": {0: scored("bad", 4.0), 1: scored("bad", 4.5)},
    }


@pytest.fixture(scope="module")
def protocol() -> ForecastProtocol:
    return evaluate({"any": Listener(1.0)}).protocol


def claim(better: str, worse: str) -> Claim:
    return Claim(f"{better} beats {worse}", better, worse, *LATE)


@pytest.fixture(scope="module")
def joined(runs, protocol) -> SuiteScores:
    claims = [
        claim("good", "bad"), claim("good", "good" + SHUFFLED), claim("bad", "copy_last"),
        claim("good", "absent"),
    ]  # fmt: skip
    return join(runs, protocol, claims)


def test_a_row_is_the_mean_over_its_seeds(runs, joined):
    key = ("psnr", "mean")
    seeds = [runs["good"][seed].per_clip["good", *key] for seed in (0, 1)]
    expected = np.mean([seeds[0][:, -1].mean(), seeds[1][:, -1].mean()])
    assert joined.value("good", *LATE).value == pytest.approx(expected, rel=1e-12)
    own = [row.value for row in by_seed(joined, "good", *LATE)]
    assert own == pytest.approx([s[:, -1].mean() for s in seeds], rel=1e-12)


def test_what_a_run_scores_alone_it_scores_here(runs, joined):
    alone = evaluate({"good": Listener(0.5)})
    for row in alone.rows:
        if row.name in ("good", "good" + SHUFFLED):
            found = joined.value(seed_name(row.name, 0), row.metric, row.rule, row.frame)
            assert found is not None
            assert found[4:] == pytest.approx(row[4:])


def test_controls_are_there_once(joined):
    names = {row.name for row in joined.rows if " - " not in row.name}
    assert {"copy_last", "mean_image", "blank", REAL} < names
    assert not any(name.startswith("copy_last, seed") for name in names)


def test_claims_are_judged_by_all_seeds_and_by_each(joined):
    found = {one.judged.claim.text: one for one in joined.claims}
    listens = found["good beats good:shuffled_audio"]
    assert set(listens.seeds) == {0, 1}
    pair = found["good beats bad"]
    assert pair.seeds[0] == "holds"
    assert pair.seeds[1] == "does not hold"
    row = joined.value("good - bad", *LATE)
    assert pair.judged.row == row
    assert np.mean(list(pair.differences.values())) == pytest.approx(row.value)


def test_a_claim_about_a_control_is_judged_in_every_seed_of_its_row(joined):
    one = next(c for c in joined.claims if c.judged.claim.worse == "copy_last")
    assert set(one.seeds) == {0, 1}


def test_claims_about_absent_rows_are_left_out(joined):
    assert all(one.judged.claim.worse != "absent" for one in joined.claims)
    assert len(joined.claims) == 3


def test_only_seeds_that_both_have_are_paired(runs, protocol):
    fewer = {"good": runs["good"], "bad": {1: runs["bad"][1]}}
    (one,) = join(fewer, protocol, [claim("good", "bad")]).claims
    assert set(one.seeds) == {1}


def test_runs_on_other_clips_are_refused(runs, protocol):
    other = dataclasses.replace(runs["bad"][0], about={"indices": [1, 2, 3]})
    with pytest.raises(ValueError, match="row 'bad', seed 0 was scored on other clips"):
        join({**runs, "bad": {0: other}}, protocol)


def test_runs_beside_other_controls_are_refused(runs, protocol):
    per_clip = dict(runs["bad"][0].per_clip)
    key = ("copy_last", "psnr", "mean")
    per_clip[key] = per_clip[key] * (1 + 1e-4)
    other = dataclasses.replace(runs["bad"][0], per_clip=per_clip)
    with pytest.raises(ValueError, match="control 'copy_last' scores otherwise in psnr"):
        join({**runs, "bad": {0: other}}, protocol)


def test_kept_scores_come_back_bit_for_bit(runs, tmp_path):
    one = runs["good"][0]
    scoring.save(one, tmp_path / "a" / "one.npz")
    back = scoring.read(tmp_path / "a" / "one.npz")
    assert back.about == one.about
    assert back.per_clip.keys() == one.per_clip.keys()
    assert all(np.array_equal(back.per_clip[k], v) for k, v in one.per_clip.items())
    assert back.strips.keys() == one.strips.keys()
    assert all(np.array_equal(back.strips[k], v) for k, v in one.strips.items())


def test_another_file_is_refused_by_name(tmp_path):
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, values=np.zeros(3))
    with pytest.raises(ValueError, match=r"wrong\.npz: not scores that a suite has kept"):
        scoring.read(wrong)
    wrong.write_bytes(b"not a zip")
    with pytest.raises(ValueError, match=r"wrong\.npz: not scores that a suite has kept"):
        scoring.read(wrong)


def test_the_page_shows_rows_claims_published_numbers_and_strips(joined, tmp_path):
    published = {"good": Published((6, 15), (0.9575, 0.8943), (21.69, 17.62)), "bad": None}
    costs = [
        {"row": name, "seed": seed, "steps": 10, "seconds": 2.0, "generator": 1234}
        for name in ("good", "bad")
        for seed in (0, 1)
    ]
    path = write_suite_report(
        joined, tmp_path, title="A <table>", about="What it is & why.", frames=(4, 9),
        published=published, costs=costs, protocol={"suite": "little"},
    )  # fmt: skip
    page = Page(path.read_text())
    for link in page.links:
        if not link.startswith("#"):
            assert (tmp_path / link).is_file(), link
    value = joined.value("good", *LATE).value
    for told in ("A <table>", "What it is & why.", "21.69", "0.8943", f"{value:.2f}", "1,234",
                 "holds in 1 of 2 seeds, does not hold in 1"):  # fmt: skip
        assert told in page.text, told
    told = (tmp_path / "table.md").read_text().splitlines()
    (line,) = [line for line in told if line.startswith("| good |")]
    seeds = [row.value for row in by_seed(joined, "good", *LATE)]
    assert f"{value:.2f}" in line
    assert f"({min(seeds):.2f} to {max(seeds):.2f})" in line
    assert any(line.startswith("| good beats bad |") and line.endswith("1 of 2 |") for line in told)
    strips = [link for link in page.links if link.startswith("strips/")]
    assert len(strips) == len(joined.runs["good"][0].strips[REAL]) * 3
    assert joined.protocol.seen == SEEN


def test_equal_scores_give_equal_pages(joined, tmp_path):
    kept = {"title": "t", "about": "a", "frames": (4, 9), "published": {}, "costs": []}
    first = write_suite_report(joined, tmp_path / "a", protocol={}, **kept)
    second = write_suite_report(joined, tmp_path / "b", protocol={}, **kept)
    files = sorted(p.relative_to(first.parent) for p in first.parent.rglob("*") if p.is_file())
    assert files
    for file in files:
        assert (first.parent / file).read_bytes() == (second.parent / file).read_bytes(), file


def test_a_world_with_a_block_has_its_section(protocol, tmp_path):
    world = Squares(block=True)
    one = scoring.keep(evaluate({"row": Listener(1.0)}, world), {})
    scores = join({"row": {0: one}}, protocol)
    path = write_suite_report(
        scores, tmp_path, title="t", about="a", frames=(9,), published={}, costs=[], protocol={}
    )
    assert "Block overlap (IoU)" in Page(path.read_text()).text
