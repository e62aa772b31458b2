"""What is wrong with a data set is found, and a sound one is left in peace."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.data.films import SPEC, film, write_film, write_films
from tests.data.flashes import SPEC as FLASHES
from tests.data.flashes import flashes

from soundsight.cli import main
from soundsight.data.check import MOST_LISTED, Finding, Findings, check, render
from soundsight.data.leaks import leaks
from soundsight.data.listing import list_sources
from soundsight.data.measure import Filters
from soundsight.data.plan import Plan, Settings
from soundsight.data.prepare import Engine, prepare
from soundsight.data.prepared import MANIFEST, ClipRecord, Span, open_prepared
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import encode

OFF = Filters(silence_db=None, static=None, cut=None, clipped=None, duplicates=False)


def prepared(films: Path, out: Path, **changes) -> Path:
    settings = Settings(**{"spec": SPEC, "filters": OFF} | changes)
    prepare(Plan(settings, *list_sources([films])), str(out), engine=Engine(workers=0))
    return out


def kinds(findings: Findings, *severities: str) -> set[str]:
    return {f.kind for f in findings.found if f.severity in (severities or ("error", "warning"))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A data set that is sound."""
    folder = tmp_path_factory.mktemp("whole")
    return prepared(write_films(folder / "films", 8), folder / "set")


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    """The same, to be spoilt."""
    return shutil.copytree(whole, tmp_path / "set")


def change_index(folder: Path, split: str, change) -> None:
    """Change the records of a split, as dictionaries."""
    path = folder / f"{split}.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for i, record in enumerate(records):
        change(i, record)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def change_manifest(folder: Path, **values) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# Prepared data sets.


@pytest.mark.parametrize("quick", [False, True])
def test_a_sound_data_set_is_sound(whole, quick):
    findings = check(whole, quick=quick)
    clips = {split: len(part) for split, part in open_prepared(str(whole)).splits.items()}
    assert findings.is_sound
    assert kinds(findings) == set()
    assert findings.clips == clips
    assert findings.looked_at == sum(clips.values())
    assert render(findings).startswith(f"{whole}: sound (0 errors, 0 warnings")
    assert json.loads(json.dumps(findings.to_json(), allow_nan=False))["is_sound"]


def test_a_changed_byte_is_found(copy):
    record = open_prepared(str(copy)).splits["train"][2]
    path = copy / record.shard
    data = bytearray(path.read_bytes())
    data[record.sound.offset + 50] ^= 1
    path.write_bytes(bytes(data))
    findings = check(copy)
    assert not findings.is_sound
    damaged = {f.where for f in findings.found if f.kind == "damage"}
    assert damaged == {record.shard, record.key}
    assert "NOT SOUND" in render(findings)


def test_a_clip_that_cannot_be_read_is_found_in_a_quick_check(copy):
    record = open_prepared(str(copy)).splits["train"][1]
    path = copy / record.shard
    data = bytearray(path.read_bytes())
    data[record.sound.offset : record.sound.offset + 12] = bytes(12)
    path.write_bytes(bytes(data))
    (finding,) = [f for f in check(copy, quick=True).found if f.severity == "error"]
    assert finding.kind == "unreadable"
    assert record.key in finding.where


def test_a_lost_shard_is_found_once(copy):
    shard = open_prepared(str(copy)).splits["test"][0].shard
    (copy / shard).unlink()
    for quick, kind in ((False, "damage"), (True, "unreadable")):
        (finding,) = [f for f in check(copy, quick=quick).found if f.severity == "error"]
        assert (finding.kind, finding.where) == (kind, shard)


@pytest.mark.parametrize("name", [MANIFEST, "train.jsonl"])
def test_a_torn_index_is_a_finding(copy, name):
    text = (copy / name).read_text()
    (copy / name).write_text(text[: len(text) // 2])
    findings = check(copy)
    assert kinds(findings, "error") == {"damage"}
    assert name in findings.found[0].what


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        {"measures": {}},
        {"shard": "../../x.tar"},
        {"video": [0, -3]},
        {"video": "ab"},
        {"start_s": None},
        {"label": "dog"},
        {"group": "Anna"},
    ],
)
def test_an_edited_index_is_a_finding(copy, quick, values):
    change_index(copy, "train", lambda i, record: record.update(values if i == 2 else {}))
    damaged = [f for f in check(copy, quick=quick).found if f.kind == "damage"]
    assert damaged[0].where == "train.jsonl"
    assert damaged[0].severity == "error"
    assert not quick or len(damaged) == 1


def test_what_is_left_of_a_data_set_is_still_checked(copy):
    """One split's index is torn; a shard of another is damaged."""
    (copy / "train.jsonl").write_text("{}\n")
    record = open_prepared(str(copy)).index("test")[0]
    path = copy / record.shard
    path.write_bytes(path.read_bytes()[:-2000])
    findings = check(copy)
    where = {f.where for f in findings.found if f.kind == "damage"}
    assert {"train.jsonl", record.shard} <= where
    assert "train" not in findings.clips
    assert findings.looked_at > 0


@pytest.mark.parametrize("quick", [False, True])
def test_an_edited_manifest_is_a_finding(copy, quick):
    change_manifest(copy, labels=["cat"])
    damaged = [f for f in check(copy, quick=quick).found if f.kind == "damage"]
    assert [f.where for f in damaged] == [MANIFEST]


def test_a_check_that_fails_itself_has_found_nothing(whole, monkeypatch, capsys):
    def fail(*_, **__):
        raise ZeroDivisionError("of its own")

    monkeypatch.setattr("soundsight.data.check.near_duplicates", fail)
    assert main(["check", str(whole)]) == 2
    assert "the check failed, nothing is known of the data: ZeroDivisionError" in (
        capsys.readouterr().err.replace("\n", " ")
    )


def test_a_url_without_a_data_set_is_told():
    with pytest.raises(ValueError, match="memory://none: no prepared data set"):
        check("memory://none")


def test_the_same_moment_in_two_splits_is_an_error(copy):
    source = open_prepared(str(copy)).splits["train"][0].source
    change_index(copy, "test", lambda i, record: record.update(source=source, start_s=0.5))
    leaks = [f for f in check(copy, quick=True).found if f.kind == "leak"]
    assert [(f.severity, f.where) for f in leaks] == [("error", source)]
    assert "the same moments" in leaks[0].what


def test_a_source_split_by_clip_is_an_error(tmp_path):
    folder = prepared(write_films(tmp_path / "films", 4, 6.0), tmp_path / "set", split="clip")
    leaks = [f for f in check(folder, quick=True).found if f.kind == "leak"]
    assert leaks
    assert {f.severity for f in leaks} == {"error"}
    assert "split by source" in leaks[0].what


def test_a_source_cut_in_time_is_a_warning(tmp_path):
    folder = prepared(write_films(tmp_path / "films", 1, 30.0), tmp_path / "set")
    findings = check(folder, quick=True)
    assert [f.severity for f in findings.found if f.kind == "leak"] == ["warning"]
    assert findings.is_sound


@pytest.mark.parametrize("rule", ["source", "published"])
def test_a_speaker_in_two_splits_is_found(copy, rule):
    for split in ("train", "test"):
        change_index(copy, split, lambda i, record: record.update(group="Anna"))
    change_manifest(copy, split_rule=rule)
    (leak,) = [f for f in check(copy, quick=True).found if f.kind == "leak"]
    assert leak == ("error", "leak", "Anna", "the group stands in train and test")


def listed(folder: Path, rows: str, **changes) -> Path:
    """Segments of one film, prepared as a list says."""
    write_film(folder / "films" / "f.mp4", 6.0)
    (folder / "films" / "list.csv").write_text(rows)
    return prepared(folder / "films" / "list.csv", folder / "set", fractions=(0.0, 0.1), **changes)


@pytest.mark.parametrize("quick", [False, True])
def test_the_same_moment_in_two_segments_is_an_error(tmp_path, quick):
    rows = "path,start,end,split,source\nf.mp4,0,2,train,s\nf.mp4,1,3,test,t\n"
    folder = listed(tmp_path, rows)
    leaks = [f for f in check(folder, quick=quick).found if f.kind == "leak"]
    assert leaks == [("error", "leak", "f.mp4", "the same moments stand in train and test")]


@pytest.mark.parametrize(
    ("source", "expected"),
    [(",s,s", "s"), (",,", "f.mp4"), (",s,t", None)],
    ids=["named", "the file", "two names"],
)
def test_segments_of_one_file_are_one_source_unless_named_otherwise(tmp_path, source, expected):
    _, first, second = source.split(",")
    rows = f"path,start,end,split,source\nf.mp4,0,2,train,{first}\nf.mp4,3,5,test,{second}\n"
    leaks = [f for f in check(listed(tmp_path, rows), quick=True).found if f.kind == "leak"]
    said = "the group stands in train and test"
    assert leaks == ([("error", "leak", expected, said)] if expected else [])


@pytest.mark.parametrize(
    ("rule", "start_s", "said"),
    [
        ("source", 2.5, None),
        ("source", 2.0, ("error", "a", "stands in train and test, without a gap in time")),
        ("source", 1.5, ("error", "a", "the same moments stand in train and test")),
        ("published", 2.5, ("error", "a", "stands in train and test")),
        ("clip", 2.5, ("error", "a", "stands in train and test: split by source instead")),
    ],
)
def test_only_a_cut_with_a_gap_is_a_warning(rule, start_s, said):
    def clip(start_s: float) -> ClipRecord:
        return ClipRecord("k", "a", "a", start_s, None, 0.0, "s", Span(0, 1), Span(1, 1), "", {})

    splits = {"test": [clip(start_s)], "train": [clip(0.0), clip(1.0)]}
    (found,) = leaks(splits, rule, 1.0)
    if said is None:
        assert found[0] == "warning"
        assert found[2].startswith("1 of 1 source is cut in time")
    else:
        assert found == said


def test_labels_missing_rare_or_not_given_are_warnings(copy):
    change_manifest(copy, labels=["cat", "dog"])
    change_index(copy, "train", lambda i, record: record.update(label="cat" if i else None))
    change_index(copy, "test", lambda i, record: record.update(label=["dog", "cat"][i % 2]))
    told = [f for f in check(copy, quick=True).found if f.kind == "labels"]
    assert all(f.severity == "warning" for f in told)
    train = [f.what for f in told if f.where == "train"]
    assert train == ["1 clip has no label", "1 of 2 classes have no clip: dog"]
    assert not [f for f in told if f.where == "test"]


def test_unequal_classes_are_a_warning(tmp_path):
    for i in range(2):
        write_film(tmp_path / f"films/{i}.mp4", seconds=12.0 if i else 1.0, seed=i)
    rows = "path,label,split\n0.mp4,rare,train\n1.mp4,common,train\n"
    (tmp_path / "films" / "list.csv").write_text(rows)
    folder = prepared(tmp_path / "films" / "list.csv", tmp_path / "set", fractions=(0.0, 0.0))
    told = [f.what for f in check(folder, quick=True).found if f.kind == "labels"]
    assert told == ["12 clips of common, 1 of rare: 12 to 1"]


def test_copies_of_a_film_are_found_in_and_across_splits(tmp_path):
    films = write_films(tmp_path / "films", 8)
    first = prepared(films, tmp_path / "first")
    names = {s: {r.source for r in part} for s, part in open_prepared(str(first)).splits.items()}
    trained, tested = sorted(names["train"])[0], sorted(names["test"])[0]
    seeds = {f"{chr(97 + i)}.mp4": i for i in range(8)}
    for name, seed in ((trained, seeds[trained]), (tested, seeds[tested])):
        made = film(2.0 + seed % 3, seed)
        quiet = made.replace(audio=made.audio * 0.5)
        encode(quiet, films / f"again_{name}")
    table = {trained: "train", f"again_{trained}": "train", tested: "test"}
    rows = [f"{n},{s}" for n, s in table.items()] + [f"again_{tested},train"]
    (films / "list.csv").write_text("path,split\n" + "\n".join(rows) + "\n")
    findings = check(prepared(films / "list.csv", tmp_path / "set", fractions=(0.0, 0.1)))
    found = [f for f in findings.found if f.kind == "duplicate"]
    across = [f for f in found if f.severity == "error"]
    within = [f for f in found if f.severity == "warning"]
    assert across
    assert within
    assert all(tested in f.what + f.where and "in two splits" in f.what for f in across)
    assert all(trained in f.what + f.where for f in within)


def test_silent_and_still_clips_are_found(tmp_path):
    films = write_films(tmp_path / "films", 6)
    made = film(2.0, 50)
    encode(made.replace(audio=made.audio * 0), films / "silent.mp4")
    still = made.video[:, :1].repeat(1, made.video.shape[1], 1, 1, 1)
    encode(made.replace(video=still, audio=film(2.0, 51).audio), films / "still.mp4")
    folder = prepared(films, tmp_path / "set")
    for quick in (False, True):
        findings = check(folder, quick=quick)
        by_kind = {
            kind: {f.where for f in findings.found if f.kind == kind and f.where}
            for kind in ("silent", "static")
        }
        assert len(by_kind["silent"]) == 2
        assert all("(silent.mp4 at " in where for where in by_kind["silent"])
        assert len(by_kind["static"]) == 2
        assert all("(still.mp4 at " in where for where in by_kind["static"])
    many = [f for f in findings.found if f.severity == "error"]
    assert not [f for f in many if f.where], "few clips are warnings"


def test_a_flaw_of_many_clips_is_an_error(whole):
    findings = check(whole, filters=Filters(silence_db=-1.0))
    clips = sum(findings.clips.values())
    silent = [f for f in findings.found if f.kind == "silent"]
    assert (silent[0].severity, silent[0].where) == ("error", "")
    assert silent[0].what == f"{clips} of {clips} clips (100%)"
    assert len(silent) <= MOST_LISTED + 2
    if clips > MOST_LISTED:
        assert silent[-1].what == f"and {clips - MOST_LISTED} more"


def test_a_limit_looks_at_clips_evenly(whole):
    done = []
    findings = check(whole, limit=5, progress=lambda i, of: done.append((i, of)))
    assert findings.looked_at == 5
    assert sum(findings.clips.values()) > 5
    assert done == [(i, 5) for i in range(6)]


# Lag.


def flashing(folder: Path, number: int, late_s: float) -> Path:
    folder.mkdir()
    for seed in range(number):
        video, sound = flashes(seed, late_s)
        frames = torch.from_numpy(video).permute(0, 3, 1, 2).float()[None] / 255
        clip = Clip(FLASHES, video=frames, audio=torch.from_numpy(sound)[None])
        encode(clip, folder / f"{seed:02d}.mp4")
    return folder


@pytest.mark.parametrize("late_s", [0.25, 0.0])
@pytest.mark.slow
def test_sound_out_of_step_is_found_raw_and_prepared(tmp_path, late_s):
    films = flashing(tmp_path / "films", 20, late_s)
    spec = ClipSpec(frames=50, fps=25, size=32, channels=1, sample_rate=8000)
    folder = prepared(films, tmp_path / "set", spec=spec)
    for place in (films, folder):
        findings = check(place)
        (offset,) = [f for f in findings.found if f.kind == "offset"]
        assert offset.severity == ("error" if late_s else "note")
        assert findings.lag.lag_s == pytest.approx(late_s, abs=0.02)
        if late_s:
            assert "ms late (lag" in offset.what


# Videos that are not prepared yet.


def test_a_folder_of_videos(tmp_path):
    folder = write_films(tmp_path / "films", 5, seconds=4.0)
    write_film(folder / "short.mp4", seconds=1.0, seed=9)
    (folder / "broken.mp4").write_bytes(b"no film at all" * 100)
    whole_file = (folder / "a.mp4").read_bytes()
    (folder / "sub").mkdir()
    (folder / "sub" / "same.mp4").write_bytes(whole_file)
    findings = check(folder)
    assert {(f.severity, f.kind, f.where) for f in findings.found if f.severity != "note"} == {
        ("error", "unreadable", "broken.mp4"),
        ("warning", "short", "short.mp4"),
        ("warning", "duplicate", "sub/same.mp4 at 0 s"),
        ("warning", "duplicate", "sub/same.mp4 at 2 s"),
    }
    assert not [f for f in findings.found if str(folder) in f.what]
    assert findings.clips == {"": findings.looked_at}


def test_one_video_and_limits(tmp_path):
    path = write_film(tmp_path / "one.mp4", seconds=30.0)
    assert check(path).looked_at == 15
    assert check(path, quick=True).looked_at == 10
    assert check(tmp_path, limit=3).looked_at == 3


@pytest.mark.parametrize("name", ["absent", ""])
def test_nothing_to_check_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=str(tmp_path)):
        check(tmp_path / name)


def test_a_senseless_limit_is_refused(whole):
    with pytest.raises(ValueError, match="limit=0"):
        check(whole, limit=0)


def test_findings_are_ordered_and_rendered():
    text = render(
        Findings("set", {"train": 3, "test": 1}, 4, [Finding("error", "leak", "a", "stands in b")])
    )
    assert text.splitlines() == [
        "set: NOT SOUND (1 error, 0 warnings, 0 notes)",
        "clips: 3 train, 1 test; 4 read",
        "error    leak  a: stands in b",
    ]


@pytest.mark.shared_data
def test_real_talking_faces(shared_data, tmp_path):
    for path in sorted((shared_data / "grid").glob("*.mpg"))[:16]:
        (tmp_path / path.name).symlink_to(path)
    findings = check(tmp_path)
    assert findings.is_sound, render(findings)
    assert not kinds(findings) & {"static", "cut", "duplicate", "clipped"}
    assert findings.lag is None or findings.lag.verdict in ("in step", "cannot tell")
    assert findings.looked_at == 16
