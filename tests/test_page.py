"""Pieces of pages and charts: what they show is what they were given."""

import math
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from soundsight.page.chart import bars, bin_values, histogram
from soundsight.page.pieces import definitions, document, plain_table, player, safe

EMPTY = {"meta", "link", "img", "br", "source", "input", "hr"}
NASTY = ["a<b>&\"'", "two\nlines", "\udcff.mp4", "\x00\x1b[31m", "\u202etxt.exe", "été 音 🎵"]


class Checked(HTMLParser):
    """Fails on unbalanced tags; collects tags and text."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def attributes(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def percent(text: str) -> float:
    return float(text.removesuffix("%"))


# Text.


@pytest.mark.parametrize("text", NASTY)
def test_any_text_is_safe_in_elements_and_attributes(text):
    html = safe(text)
    assert not set('<>"\n\x00\x1b\u202e') & set(html)
    assert html.encode("utf-8").decode("utf-8") == html
    page = Checked(f'<p title="{html}">{html}</p>')
    assert page.tags == [("p", {"title": unescape(html)})]


def test_what_can_be_shown_is_shown_and_what_cannot_is_told():
    assert safe("été 音 🎵 \u05e9\u05dc") == "été 音 🎵 \u05e9\u05dc"
    assert safe("a\nb\udcff\u202e\u2028") == "a\\nb\\udcff\\u202e\\u2028"
    assert safe("👩\u200d🔬") == "👩\u200d🔬"  # Of three code points, one picture.
    assert safe("<&>\"'") == "&lt;&amp;&gt;&quot;&#x27;"


def test_a_document_is_whole_and_leaves_empty_sections_out():
    page = Checked(
        document("<T>", "lead & more", [("One", "<p>1</p>"), ("None", "")], footer="<i>end</i>")
    )
    assert [tag for tag, _ in page.tags].count("section") == 1
    assert page.words.count("<T>") == 2
    assert "lead & more" in page.words
    assert "None" not in page.words
    assert ("i", {}) in page.tags


def test_a_table_shows_its_cells_in_order():
    html = plain_table("All <of> it", ["a", "b"], [["1", "<x>"], ["2", "y"]], words=[1])
    page = Checked(html)
    assert page.words == ["All <of> it", "a", "b", "1", "<x>", "2", "y"]
    assert page.attributes("td") == [{"class": "words"}] * 2
    assert page.attributes("th")[-1] == {"scope": "row"}
    with pytest.raises(ValueError, match="zip"):
        plain_table("", ["a", "b"], [["1"]])


def test_definitions_fold_what_is_long():
    page = Checked(definitions({"no_value": None, "short": [1], "long": list(range(99)), "<": "&"}))
    assert page.words[:3] == ["no value", "–", "short"]
    assert len(page.attributes("details")) == 1
    assert page.words[-2:] == ["<", "&"]


def test_only_a_forecast_is_outlined():
    assert "data-seen" not in player("t", "n", "a.mp4")
    assert Checked(player("t", "n", "a.mp4", seen_s=0.5)).attributes("video")[0]["data-seen"] == (
        "0.5000"
    )


# Histograms.


def test_values_are_counted_in_round_bins():
    found = bin_values({"a": [0.0, 0.5, 1.0, 1.5, 4.0], "b": [2.0]}, bins=4)
    assert found.edges == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert found.series["a"].counts == [2, 2, 0, 1]
    assert found.series["b"].counts == [0, 0, 1, 0]
    assert found.series["a"][1:] == (5, 0, 0.0, 1.0, 4.0)


@pytest.mark.parametrize("scale", [1e-9, 0.003, 1.0, 77.0, 1e12])
@pytest.mark.parametrize("shift", [0.0, -60.0, 3.0])
@pytest.mark.parametrize("log", [False, True])
def test_every_value_is_in_a_bin(scale, shift, log):
    random = np.random.default_rng(0)
    values = (random.random(500) + shift) * scale
    if log:
        values = np.exp(values / scale / 10) * scale
    found = bin_values({"a": values.tolist()}, log=log)
    assert sum(found.series["a"].counts) == 500 == found.series["a"].number
    assert np.all(np.diff(found.edges) > 0)
    assert 5 <= len(found.edges) <= 70
    assert found.edges[0] <= values.min()
    assert found.edges[-1] >= values.max()


@pytest.mark.parametrize("value", [0.0, 3.0, -60.0, 1e-7, 2.97, 1e9])
def test_one_value_has_one_bar(value):
    found = bin_values({"a": [value] * 3})
    assert sorted(found.series["a"].counts)[-2:] == [0, 3]
    assert found.edges[0] <= value <= found.edges[-1]
    if value > 0:
        assert found.edges[0] >= 0
        assert sorted(bin_values({"a": [value] * 3}, log=True).series["a"].counts)[-1] == 3


def test_nearly_equal_values_are_one_value():
    found = bin_values({"a": [3.0, 3.0 + 1e-9, 3.0 - 1e-9]})
    assert sum(found.series["a"].counts) == 3
    assert len(found.edges) < 20


def test_logarithmic_bins_hold_the_same_number_of_a_decade():
    found = bin_values({"a": [1.0, 2.0, 5.0, 20.0, 1000.0]}, log=True, bins=3)
    assert found.edges == pytest.approx([1.0, 10.0, 100.0, 1000.0])
    assert found.series["a"].counts == [3, 1, 1]
    with pytest.raises(ValueError, match="positive"):
        bin_values({"a": [0.0, 1.0]}, log=True)


def test_missing_values_are_told_and_never_counted():
    found = bin_values({"a": [None, math.nan, -math.inf, 1.0, 2.0], "b": [None]})
    assert found.series["a"][1:3] == (2, 3)
    assert found.series["b"][1:3] == (0, 1)
    assert bin_values({"a": [None, math.inf]}) is None
    assert bin_values({}) is None
    html = histogram(found, name="x", title="t", axis="s")
    assert "3 unknown" in html
    assert "b:" not in html


def test_bars_of_a_histogram_stand_where_their_values_are():
    found = bin_values({"kept": [0.0, 0.5, 3.5, 4.0], "other": [2.0]}, bins=4)
    page = Checked(histogram(found, name="h", title="A <title>", axis="s & s"))
    first, last, other = page.attributes("rect")
    assert (percent(first["x"]), percent(first["width"])) == (0, 25)
    assert (percent(last["x"]), percent(other["x"])) == (75, 50)
    assert first["height"] == last["height"] == other["height"]
    assert (first["class"], other["class"]) == ("series-0", "series-1")
    for words in ("A <title>", "s & s", "kept: 4", "0 to 1: 2", "2 to 3: 1"):
        assert words in page.words
    svg = page.attributes("svg")[0]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert (svg["role"], svg["aria-labelledby"].split()) == ("img", ids)
    marks = [percent(line["x1"]) for line in page.attributes("line") if line["x1"] == line["x2"]]
    assert marks == [0, 25, 50, 75, 100]


def test_ticks_of_a_logarithmic_axis_stand_at_powers():
    found = bin_values({"a": [1.0, 1e4]}, log=True)
    page = Checked(histogram(found, name="h", title="t", axis="s"))
    marks = [percent(line["x1"]) for line in page.attributes("line") if line["x1"] == line["x2"]]
    assert marks == [0, 25, 50, 75, 100]
    assert [w for w in page.words if w in ("1", "10", "100", "1,000", "10,000")][-5:] == [
        "1", "10", "100", "1,000", "10,000"
    ]  # fmt: skip


@pytest.mark.parametrize("ends", [(1.0, 1e9), (2.0, 3.0), (0.5, 700.0), (1e-6, 1e-3)])
@pytest.mark.parametrize("log", [False, True])
def test_an_axis_has_a_few_marks(ends, log):
    found = bin_values({"a": list(ends)}, log=log)
    page = Checked(histogram(found, name="h", title="t", axis="s"))
    marks = [percent(line["x1"]) for line in page.attributes("line") if line["x1"] == line["x2"]]
    assert 2 <= len(marks) <= 12
    assert marks == sorted(set(marks))
    assert all(0 <= mark <= 100 for mark in marks)


# Bars.


def test_lengths_of_bars_are_the_numbers():
    rows = {"dog": {"train": 6, "val": 2}, NASTY[0]: {"train": 0, "val": 4}, "none": {"train": 0}}
    page = Checked(bars(rows, parts=["train", "val"], name="b", title="t"))
    drawn = [r for r in page.attributes("rect") if r["class"] != "back"]
    places = [(r["class"], percent(r["x"]), percent(r["width"])) for r in drawn]
    assert places == [("series-0", 0, 75), ("series-1", 75, 25), ("series-1", 0, 50)]
    for words in ("6 + 2", "0 + 4", "0 + 0", NASTY[0], "train", "val"):
        assert words in page.words


def test_long_names_are_cut_and_whole_in_their_title():
    name = "x" * 100 + "<"
    page = Checked(bars({name: {"n": 1}}, parts=["n"], name="b", title="t"))
    assert page.words.count("x" * 27 + "…") == 1
    assert name in page.words


def test_no_bars_is_a_drawing_too():
    assert Checked(bars({}, parts=["n"], name="b", title="t")).attributes("rect") == []
