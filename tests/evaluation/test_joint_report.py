"""The report of generated clips: its verdicts are right, and its page is sound."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.evaluation.little_pairs import SPEC, Pairs, evaluate
from tests.evaluation.test_report import check_page

from soundsight.evaluation import joint
from soundsight.evaluation.joint import JointProtocol, JointScores
from soundsight.evaluation.joint_claims import entries, make_claims, runs_shown
from soundsight.evaluation.joint_labels import LABELS, label, number
from soundsight.evaluation.joint_page import (
    CAVEATS,
    Board,
    claims_section,
    together_section,
    variety_section,
)
from soundsight.evaluation.joint_report import spectrogram, write_joint_report
from soundsight.evaluation.joint_scores import P_VALUE, REAL, REPAIRED, group_rows
from soundsight.evaluation.scores import NO_RULE, Row
from soundsight.media.io import probe

TITLE = 'Pairs <b>and</b> "sounds" & more'
STRANGE = "../a <i>b</i>"
GROUPS = {"joint": ["joint_0", "joint_1"], "apart": ["apart"]}


@pytest.fixture(scope="module")
def scores():
    models = {
        "joint_0": Pairs(),
        "apart": Pairs(shift=7),
        "joint_1": Pairs(start=100),
        STRANGE: Pairs(few=3),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joint, "ALIGN_NEEDS", ("no_such_module",))
        return evaluate(models, clips=40, judges={"sound": "judge_sound"})


@pytest.fixture(scope="module")
def report(scores, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "made" / "here"
    page = write_joint_report(
        scores, folder, title=TITLE, protocol={"data": {"kind": "<balls>"}}, groups=GROUPS
    )
    assert page == folder / "index.html"
    return folder


def read(report: Path) -> dict:
    def refuse(word):
        raise AssertionError(word)

    text = (report / "scores.json").read_text(encoding="utf-8")
    return json.loads(text, parse_constant=refuse)


def test_scores_json_holds_protocol_judges_claims_and_rows(scores, report):
    found = read(report)
    assert set(found) == {"format", "title", "protocol", "claims", "rows"}
    protocol = found["protocol"]
    assert {"kind", "clips", "permutations", "bins", "seed", "reference"} <= protocol.keys()
    assert protocol["kind"] == "joint"
    assert protocol["groups"] == {"joint": ["joint_0", "joint_1"]}
    assert protocol["data"] == {"kind": "<balls>"}
    assert protocol["real_clips"] == 40
    assert len(protocol["indices"]) == 40
    (ear,) = [judge for judge in protocol["judged_by"] if judge["name"] == "sound"]
    assert ear == scores.judges[0]._asdict()
    assert len(ear["sha256"]) == 64
    single = [row for row in found["rows"] if row["rule"] == NO_RULE]
    assert len(single) == len(scores.rows)
    for row, expected in zip(single, scores.rows, strict=True):
        told = expected._asdict() | {
            key: None for key, value in expected._asdict().items() if value != value
        }
        assert row == told


def test_runs_that_differ_in_their_seed_have_a_row_together(scores, report):
    rows = {(r["name"], r["metric"], r["rule"]): r for r in read(report)["rows"]}
    both = [scores.row(name, "frechet_video").value for name in ("joint_0", "joint_1")]
    found = rows["joint", "frechet_video", "seeds"]
    assert found["value"] == pytest.approx(np.mean(both))
    assert found["high"] - found["value"] == pytest.approx(abs(both[0] - both[1]) / 2**0.5)
    assert found["n"] == 2
    assert ("joint re-paired", "pitch_place", "seeds") in rows
    assert not [key for key in rows if key[0] == "apart" and key[2] == "seeds"]


def test_scores_csv_holds_the_same_rows(report):
    rows = read(report)["rows"]
    with (report / "scores.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == len(rows)
    for row, expected in zip(found, rows, strict=True):
        assert row["name"] == expected["name"]
        assert float(row["value"]) == expected["value"]
        assert row["low"] == ("" if expected["low"] is None else str(expected["low"]))


def test_verdicts_are_those_of_the_models(report):
    claims = read(report)["claims"]
    first = {claim["name"]: claim for claim in claims[:3]}
    assert list(first) == ["joint", "apart", STRANGE]
    assert first["joint"]["verdict"] == "holds"
    assert "belongs to the generated sound" in first["joint"]["text"]
    assert first["apart"]["verdict"] == "not shown"
    assert first["apart"]["text"].startswith("apart: nothing shows")
    assert all(len(one["p"]) == one["shown"] == 2 for one in first["joint"]["evidence"])
    others = {(claim["name"], claim["text"].split(": ")[1]): claim for claim in claims[3:]}
    every = "there are clips of every class that real clips have"
    spread = "the sounds are spread as real ones are"
    assert others["joint", every]["verdict"] == others["joint", spread]["verdict"] == "holds"
    assert (
        others[STRANGE, every]["verdict"] == others[STRANGE, spread]["verdict"] == ("does not hold")
    )


def test_the_page_is_sound_and_says_what_the_scores_say(scores, report):
    page = check_page(report / "index.html")
    text = page.text
    assert TITLE in text
    assert STRANGE in text
    assert "<balls>" in text
    assert not [tag for tag, _ in page.tags if tag in ("b", "i")]
    for metric in ("ndb", "frechet_audio", "kernel_video", "pitch_place", "auc", "coverage_video"):
        shown = label(metric)
        assert shown.text in text
        for name in ("apart", STRANGE, REAL):
            assert number(scores.row(name, metric).value, shown.decimals) in text
    runs = [scores.row(name, "inception_video").value for name in ("joint_0", "joint_1")]
    assert f"{np.mean(runs):.2f} ± {np.std(runs, ddof=1):.2f}" in text
    assert f"chance {scores.row('apart' + REPAIRED, 'auc').value:.3f}" in text
    # Of place, class, moments and the judge of correspondence.
    assert "p ≤ 0.0025 in 2 of 2" in text
    assert "Copies were looked for among all 120 training clips." in text
    for number_of_the_paper in ("111.25", "97.43", "1.91", "4.33"):
        assert number_of_the_paper in text
    assert all(caveat in text for caveat in CAVEATS)
    assert scores.judges[0].sha256 in text
    assert all(note in text for note in scores.notes)
    assert not list(report.rglob("*.tmp"))


def test_players_have_sound_and_pictures_beside_them(scores, report):
    page = check_page(report / "index.html")
    videos = [a["src"] for tag, a in page.tags if tag == "video"]
    assert len(videos) == len(set(videos)) == 2 * 5
    assert all(link.startswith("clips/") and ".." not in link for link in videos)
    found = probe(report / videos[0])
    assert found.has_video
    assert found.has_audio
    assert found.seconds == pytest.approx(SPEC.seconds, abs=0.1)
    images = [a["src"] for tag, a in page.tags if tag == "img"]
    assert len(images) == 2 * len(videos)
    # The real clips stand first, and open; the second run of the group is on demand.
    assert "Real_clips" in videos[0] or "real" in videos[0]
    details = [i for i, (tag, _) in enumerate(page.tags) if tag == "details"]
    hidden = [i for i, (tag, a) in enumerate(page.tags) if a.get("src") == videos[-1]]
    assert any(i < hidden[0] for i in details)


def test_the_report_says_how_many_clips_there_were(tmp_path, monkeypatch):
    monkeypatch.setattr(joint, "ALIGN_NEEDS", ("no_such_module",))
    found = evaluate(jury={}, clips=5000, permutations=9, examples=0, bins=50)
    page = check_page(write_joint_report(found, tmp_path, title="Small"))
    protocol = read(tmp_path)["protocol"]
    assert (protocol["clips"], protocol["real_clips"], protocol["bins"]) == (60, 60, 24)
    assert "60 clips that one model made" in page.text
    assert "There are 24 bins of sounds, not 50" in page.text


def test_a_report_without_judges_groups_and_examples(tmp_path, monkeypatch):
    monkeypatch.setattr(joint, "ALIGN_NEEDS", ("no_such_module",))
    found = evaluate({"one": Pairs()}, jury={}, clips=8, permutations=99, examples=0)
    page = check_page(write_joint_report(found, tmp_path, title="Alone"))
    assert "No judge was given" in page.text
    assert "one model" in page.text
    assert not [tag for tag, _ in page.tags if tag == "video"]


def made_up(values: dict[tuple[str, str], float], models: list[str], **options: int) -> JointScores:
    """Scores with nothing but these values."""
    rows = [Row(*key, NO_RULE, None, v, math.nan, math.nan, 100, 0) for key, v in values.items()]
    compared = {"clips": 100, "bins": 50, "training_clips": 80, "training_clips_in_all": 90}
    compared |= {key: options.pop(key) for key in compared.keys() & options.keys()}
    protocol = JointProtocol(**options)
    return JointScores(protocol, SPEC, rows, models, [], compared, [], {})


def coupling(name: str, metric: str, value: float, p: float) -> dict[tuple[str, str], float]:
    return {(name, metric): value, (name, metric + P_VALUE): p, (name + REPAIRED, metric): 0.0}


def test_what_only_some_scores_or_runs_show_holds_partly():
    values = coupling(REAL, "pitch_place", 1.0, 0.001) | coupling(REAL, "class_match", 1.0, 0.001)
    for run, p in (("a0", 0.002), ("a1", 0.006)):
        values |= coupling(run, "pitch_place", 0.5, p) | coupling(run, "class_match", 0.2, 0.3)
    values |= coupling("b", "pitch_place", 0.5, 0.001) | coupling("b", "class_match", 0.2, 0.3)
    # Two scores share the level of 0.01, so 0.006 shows nothing, and 0.002 something in one of two
    # runs, which share it again.
    a, b = make_claims(made_up(values, ["a0", "a1", "b"]), {"a": ["a0", "a1"]})
    assert (a.verdict, b.verdict) == ("partly", "partly")
    assert a.text == (
        "a: picture and sound belong together in place and pitch (1 of 2 runs); not shown for class"
    )
    assert b.text == "b: picture and sound belong together in place and pitch; not shown for class"
    assert [(one.shown, one.level) for one in a.evidence] == [(1, 0.0025), (0, 0.0025)]
    assert [one.level for one in b.evidence] == [0.005, 0.005]


def test_runs_share_the_level_unless_all_show_it():
    # Of two scores: 0.005 each; of three runs in which not all do: 0.005 / 3.
    assert runs_shown([0.005, 0.004, 0.001], 2) == (3, 0.005)
    assert runs_shown([0.006, 0.004, 0.001], 2) == (1, 0.005 / 3)
    assert runs_shown([0.006, 0.004, 0.002], 2) == (0, 0.005 / 3)
    assert runs_shown([0.01], 1) == (1, 0.01)


def test_independent_pairs_rarely_show_anything():
    """Four scores and five seeds, with independent p-values: at most one verdict in a hundred."""
    metrics = ("pitch_place", "class_match", "onset_iou", "auc")
    runs = [f"a{i}" for i in range(5)]
    real = {}
    for metric in metrics:
        real |= coupling(REAL, metric, 1.0, 0.0001)
    rng = np.random.default_rng(0)
    verdicts, count = [], 2000
    for _ in range(count):
        values = dict(real)
        for run in runs:
            for metric in metrics:
                # Of 9,999 permutations.
                values |= coupling(run, metric, 0.0, int(rng.integers(1, 10001)) / 10000)
        (claim,) = make_claims(made_up(values, runs), {"a": runs})
        verdicts.append(claim.verdict)
    assert set(verdicts) == {"partly", "not shown"}
    # Expected: 0.01; three standard deviations above it.
    assert verdicts.count("partly") / count <= 0.01 + 3 * (0.01 * 0.99 / count) ** 0.5


def test_cells_count_runs_as_the_verdict_does():
    values, runs = {}, ["a0", "a1"]
    for metric, p in (("pitch_place", (0.002, 0.006)), ("class_match", (0.004, 0.005))):
        values |= coupling(REAL, metric, 1.0, 0.001)
        for run, one in zip(runs, p, strict=True):
            values |= coupling(run, metric, 0.5, one)
    scores = made_up(values, runs)
    rows = scores.rows + group_rows(scores.rows, {"a": runs})
    section = together_section(Board(rows, {"a": runs}))
    (claim,) = make_claims(scores, {"a": runs})
    assert [(one.shown, one.level) for one in claim.evidence] == [(1, 0.0025), (2, 0.005)]
    assert "p ≤ 0.0025 in 1 of 2" in section
    assert "p ≤ 0.005 in 2 of 2" in section
    short = claims_section([claim], [])
    assert "p ≤ 0.0025 in 1 of 2 runs" in short


def test_what_real_clips_do_not_show_is_not_asked_of_models():
    values = coupling(REAL, "pitch_place", 0.1, 0.4) | coupling("a", "pitch_place", 0.1, 0.5)
    (claim,) = make_claims(made_up(values, ["a"]), {})
    assert claim.verdict == "not shown"
    assert "cannot be said here: not even the real clips" in claim.text
    (claim,) = make_claims(made_up({("a", "x"): 1.0}, ["a"]), {})
    assert "no score tells it" in claim.text


def test_too_few_permutations_are_told():
    values = coupling(REAL, "pitch_place", 1.0, 0.01) | coupling("a", "pitch_place", 1.0, 0.01)
    (claim,) = make_claims(made_up(values, ["a"], permutations=98), {})
    assert claim.text.endswith("98 permutations are too few for any verdict")
    (claim,) = make_claims(made_up(values, ["a"], permutations=99), {})
    assert claim.verdict == "holds"
    # Enough for both runs together, too few for one of them.
    values |= coupling("b", "pitch_place", 1.0, 0.05)
    for permutations, too_few in ((99, True), (198, True), (199, False)):
        scores = made_up(values, ["a", "b"], permutations=permutations)
        (claim,) = make_claims(scores, {"both": ["a", "b"]})
        assert claim.verdict == "not shown"
        assert claim.text.endswith("are too few to tell it of single runs") == too_few


def test_copies_and_missing_bins_are_told():
    def told(**other):
        values = {("a", "memory_video"): 0.5, ("a", "copies_video"): 0.0, ("a", "ndb"): 6.0}
        values = values | {("a", key): value for key, value in other.items()}
        values |= {(REAL, "memory_video"): 0.5, (REAL, "copies_video"): 0.0, (REAL, "ndb"): 2.0}
        _, spread, copies = make_claims(made_up(values, ["a"]), {})
        return spread.verdict, copies.verdict

    # 50 bins: 2.5 differ by chance, 6.1 at most with a probability of 0.99.
    assert told() == ("holds", "holds")
    assert told(ndb=7.0) == ("does not hold", "holds")
    # Standard deviation 0.041 for 100 clips each.
    assert told(memory_video=0.6) == ("holds", "holds")
    assert told(memory_video=0.65) == ("holds", "does not hold")
    assert told(copies_video=0.06) == ("holds", "does not hold")


def test_the_claim_about_bins_knows_how_many_there_were():
    values = {("a", "ndb"): 2.0, (REAL, "ndb"): 0.0}
    # Of 50 bins 6.1 may differ by chance, of 5 only 1.4.
    for bins, verdict in ((50, "holds"), (5, "does not hold")):
        (_, spread) = make_claims(made_up(values, ["a"], bins=bins), {})
        assert spread.verdict == verdict


def test_the_claim_about_copies_says_where_they_were_looked_for():
    values = {("a", "memory_video"): 0.5, (REAL, "memory_video"): 0.5}
    (_, copies) = make_claims(made_up(values, ["a"]), {})
    assert copies.text == (
        "a: no copies are found among 80 of 90 training clips: clips are no nearer to these than "
        "unseen real ones"
    )
    (_, copies) = make_claims(made_up(values, ["a"], training_clips=90), {})
    assert "among all 90 training clips:" in copies.text
    page = variety_section(Board([], {}), {"training_clips": 5000, "training_clips_in_all": 12345})
    assert "Copies were looked for among 5,000 of 12,345 training clips." in page


def test_groups_stand_where_their_first_run_does():
    groups = {"g": ["b", "d"], "alone": ["a"]}
    assert entries(["a", "b", "c", "d"], groups) == {"a": ["a"], "g": ["b", "d"], "c": ["c"]}


def test_the_best_value_is_bold_and_equal_ones_are_both():
    values = {("a", "lag_s"): 0.2, ("b", "lag_s"): 0.1, ("c", "lag_s"): 0.1, (REAL, "lag_s"): 0.1}
    values |= {(name, "kid_audio"): v for name, v in (("a", -2.0), ("b", -1.0), ("c", 3.0))}
    rows = made_up(values | {(REAL, "kid_audio"): 0.0}, []).rows
    found = together_section(Board(rows, {name: [name] for name in "abc"}))
    assert found.count('class="best"') == 2
    assert '<td class="best">0.100' in found
    assert '<td class="best">0.200' not in found


def test_a_tone_is_a_line_at_its_height_and_silence_is_black():
    rate = 8000
    time = torch.arange(rate) / rate
    low, high = (
        0.5 * torch.sin(2 * torch.pi * pitch * time) * (time > 0.5) for pitch in (300.0, 2000.0)
    )
    pictures = [spectrogram(sound, sample_rate=rate) for sound in (low, high)]
    bright = [picture[..., :3].astype(int).sum(-1) for picture in pictures]
    row_low, row_high = (int(b.sum(1).argmax()) for b in bright)
    assert row_high < row_low  # Low tones lie at the bottom.
    for b in bright:
        assert b[:, : int(0.4 * b.shape[1])].max() < 30
        assert b[:, int(0.6 * b.shape[1]) :].max() > 400
    silence = spectrogram(torch.zeros(100), sample_rate=rate)
    assert silence[..., :3].max() < 8
    assert (silence[..., 3] == 255).all()


def test_every_score_has_words():
    texts = [one.meaning for one in LABELS.values() if one.meaning]
    assert all(text.endswith(".") for text in texts)
    assert label("frechet_video[i3d@12ab]").text == "Fréchet distance (i3d@12ab)"
    assert label("unheard_of").text == "unheard_of"
