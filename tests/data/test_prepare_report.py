"""The report of a preparation: its numbers are the data's, and it opens whatever the names are."""

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from soundsight.data.prepare_page import MOST_BAD, NBSP, duration
from soundsight.data.prepare_report import write_report
from soundsight.media.clip import ClipSpec
from soundsight.media.io import decode_image, probe
from soundsight.page.pieces import safe

EMPTY = {"meta", "link", "img", "br", "source", "input", "hr"}
NASTY = "a<b>&\"'\n\udcff\u202e音;url(x)"
SPEC = ClipSpec(frames=3, fps=5, size=16, channels=3, sample_rate=8000)


class Record(NamedTuple):
    key: str
    source: str
    group: str
    start_s: float
    label: str | None
    measures: dict[str, Any]


@dataclass
class Made:
    """A prepared data set without files: the brightness of a clip is the number in its key."""

    splits: dict[str, list[Record]]
    spec: ClipSpec = SPEC
    labels: list[str] = field(default_factory=list)
    codec: str = "mp4"
    split_rule: str = "source"
    reads: list[str] = field(default_factory=list)

    @property
    def manifest(self):
        return SimpleNamespace(split_rule=self.split_rule)

    def read(self, record: Record):
        self.reads.append(record.key)
        s = self.spec
        frames = np.full((s.frames, s.size, s.size, s.channels), int(record.key) % 251, np.uint8)
        tone = np.sin(np.arange(s.samples) * 0.3).astype(np.float32)
        return frames, 0.3 * tone


def records(number: int, *, first: int = 0, labels: tuple[str | None, ...] = (None,)):
    """Two clips of each source."""
    return [
        Record(
            f"{i:05d}",
            f"folder/{i // 2:05d}.mp4",
            f"folder/{i // 2:05d}.mp4",
            float(i % 2),
            labels[i % len(labels)],
            {"rms_db": -20.0 - i % 7, "motion": 0.01 * (i % 5), "other": None},
        )
        for i in range(first, first + number)
    ]


def summary_of(data: Made, dropped=(), bad=(), notes=()) -> dict[str, Any]:
    words = [row["reason"].split(":")[0] for row in dropped]
    sources = {r.source for some in data.splits.values() for r in some}
    return {
        "command": "soundsight prepare IN <OUT>",
        "sources": {
            "total": len(sources) + len(bad),
            "used": len(sources),
            "bad": list(bad),
            "seconds": [2.0 + i for i in range(len(sources))],
        },
        "clips": {
            "kept": sum(map(len, data.splits.values())),
            "dropped": {word: words.count(word) for word in sorted(set(words))},
        },
        "dropped": list(dropped),
        "notes": list(notes),
        "settings": {"hop_s": None, "filters": {"min_rms_db": -50.0}},
    }


def drop(source: str, start_s: float, reason: str, **more) -> dict[str, Any]:
    return {"source": source, "start_s": start_s, "reason": reason, **more}


class Page(HTMLParser):
    """Checks that tags are balanced; collects tags, tables and text."""

    def __init__(self, path: Path):
        super().__init__()
        self.open, self.tags, self.tables, self.words = [], [], [], []
        self.raw = path.read_text(encoding="utf-8")
        self.feed(self.raw)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if self.open[-1:] in (["td"], ["th"]):
            self.tables[-1][-1][-1] += data

    def attributes(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]

    def table(self, first: str) -> list[list[str]]:
        """Rows of the table, in one part or two, whose first heading is given."""
        found = [rows[1:] for rows in self.tables if rows[0][0] == first]
        assert found
        return [row for rows in found for row in rows]

    @property
    def headings(self) -> list[str]:
        return re.findall(r"<h2[^>]*>([^<]*)</h2>", self.raw)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def written(data: Made, out: Path, **more) -> tuple[Page, dict[str, Any]]:
    """Write, check what every page must be, and read it again."""
    path = write_report(data, out, summary_of(data, **more))
    assert path == out / "report.html"
    page = Page(path)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a[key] for _, a in page.tags for key in ("href", "src") if key in a]
    for link in [*links, *re.findall(r"url\(([^)]*)\)", " ".join(
        a.get("style", "") for _, a in page.tags
    ))]:  # fmt: skip
        if link.startswith("#"):
            assert link[1:] in ids
        else:
            assert not link.startswith(("/", "http", "file", "..")), link
            assert (out / link).stat().st_size > 0
    assert "http" not in page.raw.replace("http-equiv", "")
    assert str(out) not in page.raw
    assert not [p for p in out.rglob("*") if p.name.startswith(".")]
    return page, json.loads((out / "report.json").read_text(encoding="utf-8"))


@pytest.fixture
def data() -> Made:
    labels = ("cat", "dog", None)
    return Made(
        {
            "test": records(6, first=90, labels=labels),
            "train": records(80, labels=labels),
            "val": records(0),
        },
        labels=["cat", "dog", "owl"],
    )


def test_numbers_of_page_and_json_are_the_datas(data, tmp_path):
    silent = "silent: -63.2 dBFS; at least -50"
    dropped = [
        drop("folder/a.mp4", 1.5, silent),
        drop("folder/b.mp4", 0.0, "static: 0.0001; at least 0.001"),
        drop("folder/c.mp4", 3.0, silent),
        drop("folder/d.mp4", 3.0, "odd"),
    ]
    bad = [{"source": "x.mp4", "reason": "no sound"}]
    page, found = written(data, tmp_path / "My <clips>", dropped=dropped, bad=bad, notes=["a note"])
    told = summary_of(data, dropped, bad, ["a note"])
    assert {key: found[key] for key in told} == told
    assert found.keys() - told.keys() == {"contents", "histograms"}
    contents = found["contents"]
    assert contents["title"] == "My <clips>"
    assert list(contents["splits"]) == ["train", "val", "test"]
    train = {"clips": 80, "seconds": 80 * 0.6, "sources": 40, "groups": 40, "labels": 2}
    assert contents["splits"]["train"] == pytest.approx(train)
    assert contents["splits"]["val"]["clips"] == 0
    assert contents["shared"] == {"sources": 0, "groups": 0}
    assert contents["labels"]["cat"] == {"train": 27, "val": 0, "test": 2}
    assert contents["labels"]["owl"] == {"train": 0, "val": 0, "test": 0}
    assert contents["labels"][""] == {"train": 26, "val": 0, "test": 2}
    assert ClipSpec(**contents["spec"]) == SPEC

    assert page.words.count("My <clips>") == 2
    assert page.table("Split") == [
        ["train", "80", f"48.0{NBSP}s", "40", "40", "2"],
        ["val", "0", f"0.0{NBSP}s", "0", "0", "0"],
        ["test", "6", f"3.6{NBSP}s", "3", "3", "2"],
    ]
    assert page.table("Outcome") == [
        ["kept", "86", f"95.6{NBSP}%", ""],
        ["silent", "2", f"2.2{NBSP}%", "folder/a.mp4 at 1.5 s: -63.2 dBFS; at least -50"],
        ["odd", "1", f"1.1{NBSP}%", "folder/d.mp4 at 3 s"],
        ["static", "1", f"1.1{NBSP}%", "folder/b.mp4 at 0 s: 0.0001; at least 0.001"],
    ]
    assert page.table("File") == [["x.mp4", "no sound"]]
    assert page.table("Label") == [
        ["cat", "27", "0", "2", "29"],
        ["dog", "27", "0", "2", "29"],
        ["owl", "0", "0", "0", "0"],
        ["(no label)", "26", "0", "2", "28"],
    ]
    for words in ("3 frames of 16 × 16 pixels (RGB) at 5 per second", "4,800 samples", "a note"):
        assert words in page.text
    assert "soundsight prepare IN <OUT>" in page.words


def test_histograms_count_every_clip(data, tmp_path):
    dropped = [
        drop("a", 0.0, "silent: x", measures={"rms_db": -70.0, "motion": None}),
        drop("b", 0.0, "late: x"),
    ]
    page, found = written(data, tmp_path, dropped=dropped)
    assert found["histograms"].keys() == {"seconds", "rms_db", "motion"}
    loud = found["histograms"]["rms_db"]
    kept = [r.measures["rms_db"] for some in data.splits.values() for r in some]
    counts = np.histogram(kept, loud["edges"])[0]
    assert loud["series"]["kept"]["counts"] == counts.tolist()
    assert loud["series"]["kept"]["median"] == np.median(kept)
    assert sum(loud["series"]["dropped"]["counts"]) == loud["series"]["dropped"]["number"] == 1
    assert found["histograms"]["motion"]["series"]["dropped"]["missing"] == 1
    assert not found["histograms"]["seconds"]["log"]
    assert found["histograms"]["seconds"]["series"]["sources"]["number"] == 43
    assert "kept: 86" in page.words
    assert len([a for a in page.attributes("svg") if "bars" not in a["class"]]) == 3


def test_durations_of_many_sizes_are_on_a_logarithmic_axis(data, tmp_path):
    summary = summary_of(data)
    summary["sources"]["seconds"] = [1.0, 3600.0]
    write_report(data, tmp_path, summary)
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["histograms"]["seconds"]["log"]
    summary["sources"]["seconds"] = [0.0, 3600.0]
    write_report(data, tmp_path, summary)
    found = json.loads((tmp_path / "report.json").read_text())
    assert not found["histograms"]["seconds"]["log"]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_equal_data_give_equal_bytes_anywhere(data, tmp_path):
    first, second = tmp_path / "a" / "clips", tmp_path / "b" / "c" / "clips"
    written(data, first)
    data.splits = dict(reversed(data.splits.items()))
    written(data, second)
    assert files(first) == files(second)
    written(data, first)
    assert files(first) == files(second)
    players = [f"report/clip_{i}.mp4" for i in range(1, 7)]
    assert sorted(files(first)) == ["report.html", "report.json", *players, "report/sheet.png"]


def test_what_is_shown_comes_from_everywhere_and_nothing_else_is_read(data, tmp_path):
    data.splits["train"] = records(20_000, labels=("cat", "dog"))[::-1]
    data.splits["test"] = records(6, first=30_000, labels=("cat", "dog"))
    page, found = written(data, tmp_path)
    sheet, players = found["contents"]["sheet"], found["contents"]["players"]
    assert data.reads == [*sheet, *players]
    assert (len(sheet), len(players)) == (48, 6)
    assert sheet == sorted(sheet)
    steps = np.diff([int(key) for key in sheet])
    assert steps[:-1].min() > 400
    assert steps.max() - steps[:-1].min() < 10_100
    tiles = [a for a in page.attributes("div") if a.get("class") == "tile"]
    assert len(tiles) == 48
    assert "folder/00104.mp4 at 0 s, train" in tiles[0]["title"]
    train = [key for key in players if int(key) < 30_000]
    assert len(train) == 3
    assert {int(key) % 2 for key in train} == {int(k) % 2 for k in set(players) - set(train)}
    assert len({int(key) % 2 for key in train}) == 2  # Both labels.


def test_each_tile_shows_its_clip(data, tmp_path):
    """The place in the picture that the page gives to a clip has that clip's brightness."""
    page, found = written(data, tmp_path)
    side = 16 * 6
    sheet = ClipSpec(frames=1, fps=5, size=side * 6, channels=3, sample_rate=8000)
    picture = decode_image(tmp_path / "report/sheet.png", sheet)
    # Eight columns and six rows: the decoder's centre square leaves the outer columns out.
    square = (picture.video[0, 0, 0] * 255).round().numpy()
    tiles = [a["style"] for a in page.attributes("div") if a.get("class") == "tile"]
    looked = 0
    for key, style in zip(found["contents"]["sheet"], tiles, strict=True):
        assert "background-size:800% 600%" in style
        x, y = map(float, re.search(r"position:(.*)% (.*)%", style).groups())
        column, row = round(x / 100 * 7), round(y / 100 * 5)
        if 1 <= column <= 6:
            tile = square[row * side : (row + 1) * side, (column - 1) * side : column * side]
            assert np.all(tile == int(key) % 251)
            looked += 1
    assert looked == 36


def test_players_have_picture_and_sound(data, tmp_path):
    page, found = written(data, tmp_path)
    assert len(page.attributes("video")) == 6
    info = probe(tmp_path / "report/clip_1.mp4")
    assert (info.has_video, info.has_audio, info.width) == (True, True, 192)
    assert info.seconds == pytest.approx(0.6, abs=0.1)
    # Three of train and three of test; val has none.
    assert [int(key) < 80 for key in found["contents"]["players"]] == [True] * 3 + [False] * 3


@pytest.mark.parametrize("size", [16, 100, 192, 250])
def test_pictures_of_the_sheet_have_a_moderate_size(size, tmp_path):
    spec = ClipSpec(frames=1, fps=5, size=size, channels=1, sample_rate=8000)
    written(Made({"train": records(3)}, spec=spec), tmp_path)
    info = probe(tmp_path / "report/sheet.png")
    assert info.width == 3 * info.height
    assert 96 <= info.height < 192


def test_names_of_any_characters(tmp_path):
    record = Record("7", NASTY, NASTY, 0.0, NASTY, {})
    data = Made({"train": [record]}, labels=[NASTY], split_rule=NASTY)
    bad = [{"source": NASTY, "reason": NASTY}]
    dropped = [drop(NASTY, 0.0, f"silent: {NASTY}")]
    folder = tmp_path / "a<b>&\"'é音"
    page, found = written(data, folder, bad=bad, dropped=dropped, notes=[NASTY])
    assert found["sources"]["bad"] == bad
    assert found["dropped"] == dropped
    assert list(found["contents"]["labels"]) == [NASTY]
    assert {"b", "script"} & {tag for tag, _ in page.tags} == {"script"}
    assert page.raw.count(safe(NASTY)) >= 8
    assert "url(x)" not in " ".join(a.get("style", "") for _, a in page.tags)
    shown = page.table("File")[0]
    assert shown == ["a<b>&\"'\\n\\udcff\\u202e音;url(x)"] * 2
    assert page.words.count("a<b>&\"'é音") == 2


def test_many_bad_files_notes_and_labels(tmp_path):
    labels = [f"label {i}" for i in range(1200)]
    data = Made({"train": records(2000, labels=tuple(labels))}, labels=labels)
    bad = [{"source": f"{i}.mp4", "reason": "r"} for i in range(MOST_BAD + 50)]
    notes = [f"note {i}" for i in range(40)]
    page, found = written(data, tmp_path, bad=bad, notes=notes)
    assert [row[0] for row in page.table("File")] == [f"{i}.mp4" for i in range(MOST_BAD)]
    assert "250 files" in page.text
    assert len(found["sources"]["bad"]) == MOST_BAD + 50
    assert len(page.table("Label")) == 1000
    assert len(found["contents"]["labels"]) == 1200
    assert len([a for a in page.attributes("rect") if a["class"] == "back"]) == 20
    assert all(note in page.words for note in notes)


def test_images_with_sound(tmp_path):
    spec = ClipSpec(frames=1, fps=1, size=32, channels=1, sample_rate=8000)
    some = [r._replace(measures={"rms_db": -20.0, "motion": None}) for r in records(5)]
    page, found = written(Made({"train": some}, spec=spec, codec="raw"), tmp_path)
    assert found["histograms"].keys() == {"seconds", "rms_db"}
    assert "one picture of 32 × 32 pixels (grey) with 8,000 samples" in page.text
    assert "kept exactly" in page.text
    assert len(found["contents"]["sheet"]) == len(found["contents"]["players"]) == 5
    info = probe(tmp_path / "report/clip_5.mp4")
    assert (info.has_video, info.has_audio) == (True, True)


def test_without_labels_drops_and_errors(tmp_path):
    page, _ = written(Made({"train": records(4), "test": []}), tmp_path)
    assert "Labels" not in page.headings
    assert "Files with errors" not in page.headings
    assert page.table("Outcome") == [["kept", "4", f"100.0{NBSP}%", ""]]
    assert "Nothing was dropped." in page.words


def test_nothing_kept(data, tmp_path):
    written(data, tmp_path)
    page, _ = written(Made({}), tmp_path, dropped=[drop("a", 0.0, "silent: x")])
    assert page.table("Outcome")[0] == ["kept", "0", f"0.0{NBSP}%", ""]
    assert not page.attributes("video")
    assert sorted(files(tmp_path)) == ["report.html", "report.json"]  # The old ones are gone.


@pytest.mark.parametrize(
    ("rule", "shared", "warned"),
    [
        ("source", False, False),
        ("source", True, False),  # Cut in time, with a gap.
        ("clip", True, True),
        ("clip", False, True),
        ("published", True, True),
        ("published", False, False),
    ],
)
def test_leaking_splits_are_told(rule, shared, warned, tmp_path):
    test = records(2, first=0 if shared else 2)
    test = [r._replace(key=f"9{r.key}") for r in test]
    page, found = written(Made({"train": records(2), "test": test}, split_rule=rule), tmp_path)
    assert found["contents"]["shared"]["groups"] == int(shared)
    assert [a for a in page.attributes("p") if a.get("class") == "warning"] == (
        [{"class": "warning"}] if warned else []
    )
    assert ("No source and no group has clips in more than one split." in page.text) == (not shared)
    assert ("In more than one split: 1 sources, 1 groups" in page.text) == shared


def test_durations_in_words():
    assert [duration(s).split(NBSP)[0] for s in (59.9, 61, 7_200_000)] == [
        "59.9",
        "1.0",
        "2,000.00",
    ]


def test_a_file_that_cannot_be_written_is_named(data, tmp_path):
    (tmp_path / "report.json").mkdir()
    with pytest.raises(OSError, match=r"report\.json"):
        write_report(data, tmp_path, summary_of(data))
    assert not [p for p in tmp_path.rglob("*") if p.suffix == ".part"]
