"""What is written of an evaluation of cross-modal generation."""

import json
import re

import numpy as np
import pytest
import torch
from tests.evaluation.little_tones import Common, Deaf, Eye, Matchmaker, Oracle, evaluate

from soundsight.evaluation.crossmodal_claims import make_claims
from soundsight.evaluation.crossmodal_report import write_crossmodal_report
from soundsight.evaluation.scores import NO_RULE, Row

BOTH = frozenset({"audio", "image"})
HOSTILE = "<b>deaf & dumb"


class Cyclic(Oracle):
    """Makes each of the other, and has a classifier of its own."""

    classifier = "there"

    def classify_columns(self, clip, generator):
        return {"V-A": torch.eye(4)[torch.zeros(len(clip)).long()]}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Two seeds of one model, one of another with an awkward name, and what was written."""
    models = {"a0": Oracle(), "a1": Common(), HOSTILE: Deaf(), "c": Cyclic(takes=BOTH, makes=BOTH)}
    jury = {"image": Eye(), "correspondence": Matchmaker()}
    scores = evaluate(models, clips=30, jury=jury, permutations=9, resamples=50, examples=2)
    out = tmp_path_factory.mktemp("report")
    page = write_crossmodal_report(
        scores, out, title="A & B", protocol={"data": {"kind": "tones"}},
        groups={"a": ["a0", "a1"], "alone": ["c"]},
    )  # fmt: skip
    return scores, out, page.read_text(), json.loads((out / "scores.json").read_text())


def test_numbers_are_tidy_and_complete(written):
    scores, out, _, found = written
    rows = [row for row in found["rows"] if row["rule"] == "none"]
    assert len(rows) == len(scores.rows)
    for row, own in zip(rows, scores.rows, strict=True):
        assert (row["name"], row["metric"]) == own[:2]
        assert row["value"] == own.value
        assert row["low"] is None if np.isnan(own.low) else row["low"] == own.low
    assert (out / "scores.csv").read_text().count("\n") == len(found["rows"]) + 1
    protocol = found["protocol"]
    assert protocol["kind"] == "crossmodal"
    assert protocol["clips"] == 30
    assert protocol["data"] == {"kind": "tones"}
    assert len(protocol["indices"]) == 30
    assert [judged["name"] for judged in protocol["judged_by"]] == ["image", "correspondence"]


def test_groups_of_seeds_are_means_also_of_their_doubles(written):
    scores, _, page, found = written
    rows = {(r["name"], r["metric"]): r for r in found["rows"] if r["rule"] == "seeds"}
    for suffix in ("", " shuffled"):
        values = [scores.row(f"a{i}{suffix}", "image_accuracy").value for i in (0, 1)]
        row = rows["a" + suffix, "image_accuracy"]
        assert row["value"] == pytest.approx(np.mean(values))
        assert row["high"] - row["value"] == pytest.approx(np.std(values, ddof=1))
    assert not [name for name, _ in rows if name.startswith("alone")]
    assert "2 runs" in page
    assert "Single runs" in page


def test_the_page_has_all_controls_and_nothing_unsafe(written):
    _, _, page, _ = written
    assert "<b>deaf" not in page
    assert "&lt;b&gt;deaf &amp; dumb" in page
    for text in (
        "A &amp; B", "Real pairs (ceiling)", "Always the most frequent class (floor)",
        "Blind guessing", "c, given another clip", "Pictures made from sounds",
        "Sounds made from pictures", ".7556", "GV-A", ".9861", "none of these", "Place and pitch",
    ):  # fmt: skip
        assert text.lower() in page.lower(), text
    assert not re.search(r'(src|href)="https?:', page)


def test_every_file_that_the_page_names_is_there(written):
    _, out, page, _ = written
    links = re.findall(r'src="([^"]+)"', page)
    pictures = [link for link in links if link.endswith(".png")]
    players = [link for link in links if link.endswith(".mp4")]
    assert len(pictures) == 3 + 1 + 1  # Pictures of four models, sounds of one.
    assert len(players) == 2 + 5 * 2 * 2  # Real pairs, and two outputs of each.
    for link in links:
        assert (out / link).stat().st_size > 100
    assert {p.name for p in (out / "clips").iterdir()} == {link.split("/")[1] for link in links}


def test_a_grid_has_a_row_for_each_pair_and_a_column_for_each_output(written):
    from matplotlib.image import imread

    _, out, _, _ = written
    grid = imread(out / "clips" / "01_a0_image.png")
    # Frames of 16 px, four times as large: real, wide gap, three outputs, gap, nearest.
    assert grid.shape == (64 + 6 + 64, 64 + 32 + 3 * 64 + 2 * 8 + 6 + 64, 4)
    real, first = grid[:64, :64], grid[:64, 96:160]
    assert np.array_equal(real, first)  # An oracle's output is the real picture.


def test_claims_say_who_listens(written):
    scores, _, page, found = written
    verdicts = {(c["name"], c["text"]): c["verdict"] for c in found["claims"]}

    def of(name, word):
        return next(v for (n, text), v in verdicts.items() if n == name and word in text)

    assert of("c", "listens") == "holds"
    assert of("c", "most frequent class") == "holds"
    assert of("c", "more like the given sound") == "holds"
    assert of("c", "more like the given picture") == "holds"
    assert of(HOSTILE, "listens") == "not shown"
    assert of("a", "listens") == "partly"  # One of two runs.
    evidence = next(c for c in found["claims"] if c["name"] == "a")["evidence"]
    assert [row["name"] for row in evidence] == ["a0 - a0 shuffled", "a1 - a1 shuffled"]
    assert "SHA-256 of its weights" in page
    assert page.count('class="verdict') == len(found["claims"])
    assert len(scores.models) == 4


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        ((0.1, 0.2), (0.3, 0.3), "holds"), ((-0.1, 0.2), (0.3, 0.3), "partly"),
        ((-0.1, -0.2), (0.3, -0.1), "not shown"), ((-0.3, -0.2), (-0.1, -0.1), "does not hold"),
        ((float("nan"),) * 2, (float("nan"),) * 2, "not shown"),
    ],
)  # fmt: skip
def test_verdicts_are_those_of_all_runs(low, high, verdict):
    rows = [
        Row(f"r{i} - r{i} shuffled", "sound_accuracy", NO_RULE, None, 0.1, low[i], high[i], 9, 0)
        for i in (0, 1)
    ]
    (claim,) = make_claims(rows, ["r0", "r1"], {"r": ["r0", "r1"]}, recordings=6)
    assert (claim.verdict, claim.level) == (verdict, 0.0)
    assert claim.text.startswith("r looks: its sounds show the class of its own picture")
    assert json.dumps(claim.numbers(), allow_nan=False)
    (few,) = make_claims(rows, ["r0", "r1"], {"r": ["r0", "r1"]}, recordings=5)
    assert few == claim._replace(verdict="not shown")


def test_without_examples_there_are_no_pictures(tmp_path):
    scores = evaluate(clips=8, jury={}, permutations=9, examples=0)
    page = write_crossmodal_report(scores, tmp_path, title="t").read_text()
    assert not (tmp_path / "clips").exists()
    assert "<img" not in page
    assert "Not scored" in page
    assert "No judge was given: scored is only what can be read without training." in page


def test_a_new_report_leaves_no_old_files_and_nobody_elses(tmp_path):
    mine = tmp_path / "clips" / "holiday_image.png"
    for name, pairs in (("old", 3), ("new", 2)):
        scores = evaluate({name: Oracle()}, clips=8, jury={}, permutations=9, examples=pairs)
        page = write_crossmodal_report(scores, tmp_path, title="t").read_text()
        mine.write_text("mine")
    links = set(re.findall(r'src="clips/([^"]+)"', page))
    assert {p.name for p in (tmp_path / "clips").iterdir()} == links | {mine.name}
    assert {link for link in links if "old" in link} == set()
    assert len(links) == 1 + 2 + 2 * 2  # A grid, real pairs, and two outputs of each.
