"""The report: the numbers are those of the scores, and the page is sound."""

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.evaluation.little_world import SEEN, Listener, Oracle, Squares, evaluate

from soundsight.evaluation.claims import Claim, default_claims, judge
from soundsight.evaluation.figures import INK, curves, film_strip, png, strip_frames
from soundsight.evaluation.labels import METRICS, metric, name_label
from soundsight.evaluation.page import claims_section, other_section
from soundsight.evaluation.report import write_report
from soundsight.evaluation.scores import RULES, Row

EMPTY = {"meta", "link", "img", "br", "source", "input", "hr"}
TITLE = 'A <b>title</b> with "quotes" & more'


class Page(HTMLParser):
    """Checks that tags are balanced and collects links, ids, text and tags."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.links, self.ids, self.tags, self.words = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        found = dict(attrs)
        self.links += [found[key] for key in ("href", "src", "srcset") if key in found]
        self.ids += [found["id"]] if "id" in found else []
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def check_page(path: Path) -> Page:
    page = Page(path.read_text(encoding="utf-8"))
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            assert not link.startswith(("/", "http", "file", "..")), link
            assert (path.parent / link).stat().st_size > 0
    for tag, attributes in page.tags:
        assert tag != "img" or attributes["alt"]
        assert tag != "video" or {"controls", "loop", "aria-label"} <= attributes.keys()
    assert page.tags[0] == ("html", {"lang": "en"})
    return page


@pytest.fixture(scope="module")
def report(scores, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "made" / "here"
    page = write_report(
        scores, folder, title=TITLE, protocol={"data": {"kind": "<squares>"}}, weights_sha256="ab12"
    )
    assert page == folder / "index.html"
    return folder


def test_scores_json_holds_the_protocol_once_and_tidy_rows(scores, report):
    found = json.loads((report / "scores.json").read_text(encoding="utf-8"))
    assert set(found) == {"format", "title", "protocol", "claims", "rows"}
    protocol = found["protocol"]
    assert {"split", "clips", "seed", "seen", "frames", "rules", "confidence"} <= protocol.keys()
    assert protocol["clip"]["fps"] == 5
    assert protocol["weights_sha256"] == "ab12"
    assert protocol["data"] == {"kind": "<squares>"}
    assert {"python", "torch", "numpy", "soundsight"} <= protocol["versions"].keys()
    assert protocol["indices"] == scores.indices
    keys = ("name", "metric", "rule", "frame", "value", "low", "high", "n", "seed")
    assert all(tuple(row) == keys for row in found["rows"])
    assert [Row(**row) for row in found["rows"]] == scores.rows
    assert {row["rule"] for row in found["rows"]} == {*RULES, "none"}
    assert len({tuple(row.values())[:4] for row in found["rows"]}) == len(found["rows"])


def test_scores_csv_holds_the_same_rows(scores, report):
    with (report / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(scores.rows)
    for row, expected in zip(rows, scores.rows, strict=True):
        assert row["name"] == expected.name
        assert float(row["value"]) == expected.value
        assert row["frame"] == ("" if expected.frame is None else str(expected.frame))


def test_the_page_is_sound_and_says_what_the_scores_say(scores, report):
    page = check_page(report / "index.html")
    text = page.text
    assert TITLE in text
    assert "<squares>" in text
    assert not [tag for tag, _ in page.tags if tag == "b"]
    for name in ("listener", "copy_last", "real", "centre_block"):
        assert name_label(name) in text
    for name, m in [("listener", "psnr"), ("blank", "ssim"), ("listener", "block_iou")]:
        assert f"{scores.row(name, m, 'mean').value:.{METRICS[m].decimals}f}" in text
    verdicts = [a["class"] for tag, a in page.tags if "verdict" in a.get("class", "")]
    assert len(verdicts) == len(default_claims(scores))
    # Truth, three futures, one with another's sound, the oracle: for each of four clips.
    assert len([tag for tag, _ in page.tags if tag == "video"]) == 4 * 6
    assert not list(report.rglob("*.tmp"))


def test_players_hold_the_whole_clip_with_its_sound(report):
    from soundsight.media.io import probe

    info = probe(report / "examples" / "01_02.mp4")
    assert info.has_audio
    assert info.has_video
    assert info.width >= 192
    assert info.seconds == pytest.approx(9 / 5, abs=0.15)


def test_a_report_of_one_future_without_examples(tmp_path):
    result = evaluate(num_samples=1, examples=0)
    page = check_page(write_report(result, tmp_path, title="One"))
    assert not [tag for tag, _ in page.tags if tag in ("video", "button")]
    assert "Best of the K futures" not in page.text
    assert not list(tmp_path.glob("curves/*oracle*"))
    # Written again over the old one, byte for byte.
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.*") if p.is_file()}
    write_report(evaluate(num_samples=1, examples=0), tmp_path, title="One")
    assert {p: p.read_bytes() for p in before} == before


def test_a_page_says_whose_discriminator_judged(tmp_path):
    def half(clip):
        return {"frame": torch.full(clip.video.shape[:2], 0.6)}

    models = {"a": Listener(), "b": Listener()}
    result = evaluate(models, num_samples=1, examples=0, realness={"a": half, "b": half})
    page = check_page(write_report(result, tmp_path, title="Judged"))
    for name in models:
        assert name_label(f"real:{name}") in page.text
    assert metric("labelled_real_frame").meaning in page.text
    # Two judges: no value is the best of both.
    table = other_section([row for row in result.rows if row.metric.startswith("labelled")])
    assert "<td>1.000" in table
    assert 'class="best"' not in table


def test_verdicts():
    result = evaluate({"listener": Listener(), "oracle": Oracle(Squares())})
    claims = [
        Claim("wrong", "listener", "oracle", "ssim", "mean"),
        Claim("right", "oracle", "blank", "ssim", "mean"),
    ]
    assert [found.verdict for found in judge(result, claims)] == ["does not hold", "holds"]
    twins = evaluate({"a": Listener(0.0), "b": Listener(0.0)})
    (same,) = judge(twins, [Claim("same", "a", "b", "psnr", "mean")])
    assert same.verdict == "not shown"
    assert same.row.low == same.row.high == 0
    with pytest.raises(ValueError, match="no row"):
        judge(result, [Claim("x", "oracle", "nobody", "ssim", "mean")])


def test_a_claim_about_one_frame():
    class Fading(Oracle):
        def __call__(self, given, num_samples, streams):
            clip = super().__call__(given, num_samples, streams)
            late = torch.ones_like(clip.video[:, 6:])
            return clip.replace(video=torch.cat([clip.video[:, :6], late], dim=1))

    result = evaluate({"fading": Fading(Squares())})
    claims = [Claim("", "fading", "blank", "psnr", "mean", frame) for frame in (6, 7)]
    judged = judge(result, claims)
    assert [found.verdict for found in judged] == ["holds", "does not hold"]
    for found, column in zip(judged, (2, 3), strict=True):
        ours, blank = (result.per_clip[name, "psnr", "mean"] for name in ("fading", "blank"))
        assert found.row.value == pytest.approx((ours - blank)[:, column].mean())
    assert "frame 6" in claims_section(judged)
    with pytest.raises(ValueError, match="no row"):
        judge(result, [Claim("a seen frame", "fading", "blank", "psnr", "mean", SEEN)])


def test_a_claim_about_a_later_model_and_a_double():
    result = evaluate({"listener": Listener(0.0), "deaf": Oracle(Squares())})
    claim = Claim("", "deaf", "listener:shuffled_audio", "psnr_first_half", "mean")
    assert judge(result, [claim])[0].verdict == "holds"


def test_less_is_better_where_it_is(scores):
    (found,) = judge(scores, [Claim("sooner", "oracle", "blank", "block_time_error", "mean")])
    assert found.row.high < 0
    assert found.verdict == "holds"


def test_default_claims_name_every_control(scores):
    claims = default_claims(scores)
    pairs = {(claim.better, claim.worse) for claim in claims}
    controls = {"copy_last", "mean_image", "blank", "centre_block"}
    assert pairs == {
        *(("listener", other) for other in controls | {"listener:shuffled_audio"}),
        *(("oracle", other) for other in controls),
    }
    assert {claim.rule for claim in claims} == {"mean"}


def test_film_strip_by_hand():
    video = torch.tensor([0.0, 0.2, 0.4, 1.0]).reshape(4, 1, 1, 1).expand(4, 1, 3, 3)
    strip = film_strip(video, [1, 2, 3], seen=2, scale=2)
    assert strip.shape == (6, 3 * 6 + 16 + 4, 4)
    assert strip[0, 0].tolist() == [51, 51, 51, 255]
    assert strip[0, 6 + 15].tolist() == [0, 0, 0, 0]
    assert strip[5, 6 + 16].tolist() == [102, 102, 102, 255]
    assert strip[5, -1].tolist() == [255, 255, 255, 255]
    assert png(strip).startswith(b"\x89PNG")


def test_strips_show_the_border_and_the_end():
    assert strip_frames(5, 25) == [3, 4, 5, 7, 9, 11, 13, 16, 18, 20, 22, 24]
    assert strip_frames(1, 3) == [0, 1, 2]
    assert strip_frames(SEEN, 70)[-1] == 69


def test_curves_are_the_same_bytes_and_differ_by_theme():
    rows = [Row("m", "psnr", "mean", k, 20.0 - k, 19.0 - k, 21.0 - k, 5, 0) for k in (4, 5, 6)]
    pictures = curves(rows, "psnr", seen=3)
    assert pictures == curves(rows, "psnr", seen=3)
    assert INK["light"].encode() in pictures["light"]
    assert INK["dark"].encode() in pictures["dark"]
    assert INK["light"].encode() not in pictures["dark"]
    assert b"<svg" in pictures["dark"]


def test_labels_of_unknown_names():
    assert name_label("mine:shuffled_audio") == "mine, given another clip's sound"
    assert name_label("mine") == "mine"
    assert name_label("real:mine") == "The real future, judged by mine's discriminator"
    assert metric("ssim_best_of_5").label == "SSIM, best of 5"
    assert metric("labelled_real_frame").label == "Labelled real (frame)"
    assert metric("new").label == "new"
    assert np.all([METRICS[m].meaning for m in METRICS])
