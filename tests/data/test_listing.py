"""Folders, files and CSV lists as recordings."""

import os
from pathlib import Path

import pytest

from soundsight.data.listing import checked, list_sources
from soundsight.data.source import Recording
from soundsight.media.picture import Box


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def ids(listing) -> list[str]:
    return [source.id for source in listing.sources]


def test_folder_is_searched_in_order_hidden_and_other_files_left_out(tmp_path):
    touch(tmp_path, "b.mp4", "a/z.MKV", "a/.hidden.mp4", ".dark/c.mp4", "notes.txt", "a/x.webm")
    assert ids(list_sources([tmp_path])) == ["a/x.webm", "a/z.MKV", "b.mp4"]


def test_links_to_folders_are_followed_but_no_loop(tmp_path):
    touch(tmp_path / "far", "v.mp4")
    folder = touch(tmp_path / "set", "a.mp4")
    (folder / "link").symlink_to(tmp_path / "far")
    (folder / "loop").symlink_to(folder)
    (folder / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert ids(list_sources([folder])) == ["a.mp4", "gone.mp4", "link/v.mp4"]


def test_names_of_any_characters(tmp_path):
    names = ["new\nline.mp4", "ümlaut 音.mp4", "a;b'c\"d.mp4"]
    touch(tmp_path, *names)
    raw = os.fsencode(tmp_path) + b"/\xff.mp4"
    Path(os.fsdecode(raw)).touch()
    assert sorted(ids(list_sources([tmp_path]))) == sorted([*names, os.fsdecode(b"\xff.mp4")])


def test_prepared_data_inside_a_folder_is_no_source(tmp_path):
    touch(tmp_path, "a.mp4", "out/dataset.json", "out/report/p.mp4", "half/.prepare/plan.json")
    touch(tmp_path, "half/report/q.mp4")
    assert ids(list_sources([tmp_path])) == ["a.mp4"]


def test_several_places_keep_files_of_one_name_apart(tmp_path):
    touch(tmp_path, "one/a.mp4", "two/a.mp4", "else/one/a.mp4")
    listing = list_sources([tmp_path / "one", tmp_path / "two", tmp_path / "else" / "one"])
    assert ids(listing) == ["one#2/a.mp4", "one/a.mp4", "two/a.mp4"]
    assert {Path(s.path).parent for s in listing.sources} == {
        tmp_path / "one",
        tmp_path / "two",
        tmp_path / "else" / "one",
    }


def test_same_file_twice_is_an_error(tmp_path):
    touch(tmp_path, "a.mp4", "x/b.mp4")
    for again in (tmp_path / "a.mp4", tmp_path / "x" / ".." / "a.mp4"):
        with pytest.raises(ValueError, match=r"a\.mp4: listed twice"):
            list_sources([tmp_path / "a.mp4", again])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda t: t / "no", "no such file or folder"),
        (lambda t: touch(t / "empty", "notes.txt"), "holds no video"),
    ],
)
def test_nothing_there(tmp_path, make, said):
    with pytest.raises(ValueError, match=said):
        list_sources([make(tmp_path)])


def write_csv(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_text(text)
    return path


def test_general_csv(tmp_path):
    path = write_csv(
        tmp_path,
        "\ufeffLabel,path,start,end,source,split,sound\n"
        "dog,v/a.mp4,1.5,4,rex,train,\n"
        '\n"cat, big",v/b.mp4,,,,VALIDATION,s/b.wav\n',
    )
    cat, dog = sorted(list_sources([path]).sources, key=lambda s: str(s.label))
    assert dog == Recording(
        id="v/a.mp4@1.5-4",
        path=str(tmp_path / "v/a.mp4"),
        start_s=1.5,
        end_s=4.0,
        label="dog",
        split="train",
        group="rex",
    )
    assert (cat.label, cat.split, cat.id) == ("cat, big", "val", "v/b.mp4")
    assert (cat.sound, cat.group) == (str(tmp_path / "s/b.wav"), "v/b.mp4")


def test_segments_of_one_file_are_of_one_group(tmp_path):
    path = write_csv(tmp_path, "path,start,end\na.mp4,0,2\na.mp4,2,4\nb.mp4,0,2\n")
    assert [s.group for s in list_sources([path]).sources] == ["a.mp4", "a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("file,begin\na.mp4,1\n", "columns file, begin are unknown"),
        ("path,begin\na.mp4,1\n", "column 'begin' is unknown"),
        ("path,path\na.mp4,1\n", "column 'path' is unknown or there twice"),
        ("path,start\na.mp4\n", "line 2: has 1 columns, the header 2"),
        ("path,start\na.mp4,soon\n", "line 2: start 'soon' is no time"),
        ("path,start\na.mp4,-1\n", "line 2: start '-1' is no time"),
        ("path,start\na.mp4,nan\n", "line 2: start 'nan' is no time"),
        ("path,start,end\na.mp4,5,5\n", "line 2: end 5 is not after start 5"),
        ("path,start,end\na.mp4,5,5.0009\n", "line 2: start 5, end 5.0009: .* at least 0.001 s"),
        ("path,start,end\n\na.mp4,123456.7,123456.6\n", "line 3: end 123456.6 is not after"),
        ("path,label\n", "names no file"),
        ("path,start\n,3\n", "line 2: has no path"),
        ("path,split\na.mp4,holdout\n", "split 'holdout' is none of train, val"),
        ("# YTID, start, end, labels\nabc,1,2\n", "line 2: has 3 columns; AudioSet"),
    ],
)
def test_wrong_csv_is_told_by_line(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        list_sources([write_csv(tmp_path, text)])


def test_audioset_list_over_files_on_disk(tmp_path):
    touch(tmp_path / "clips", "--4gqARaEJE.mkv", "-0BIyqJj9ZU_30000.mp4", "-0CamVQdP_Y_000000.mp4")
    path = write_csv(
        tmp_path,
        "# Segments csv created Sun Mar  5 10:54:25 2017\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
        '--4gqARaEJE, 12.500, 22.500, "/m/068hy,/m/07q6cd_,/m/0bt9lr"\n'
        '-0BIyqJj9ZU, 30.000, 40.000, "/m/07rgt08"\n'
        '-0CamVQdP_Y, 0.000, 6.000, "/m/04rlf"\n'
        '-missing, 1.000, 2.000, "/m/04rlf"\n',
    )
    listing = list_sources([path], media=tmp_path / "clips")
    found = {Path(s.path).name: s for s in listing.sources}
    whole = found["--4gqARaEJE.mkv"]
    assert (whole.start_s, whole.end_s, whole.label) == (12.5, 22.5, "/m/068hy")
    assert whole.group == "--4gqARaEJE"
    for name in ("-0BIyqJj9ZU_30000.mp4", "-0CamVQdP_Y_000000.mp4"):
        assert (found[name].start_s, found[name].end_s) == (0.0, None)
    assert "-missing_000001.mp4" in found
    assert listing.notes == ["list.csv: 1 segments have several labels; the first is used"]


def test_vggsound_list(tmp_path):
    touch(tmp_path, "---g-f_I2yQ_000001.mp4", "--0PQM4-hqg.mp4")
    path = write_csv(
        tmp_path,
        '---g-f_I2yQ,1,"people marching",test\n--0PQM4-hqg,30,"waterfall burbling",train\n',
    )
    own, whole = sorted(list_sources([path]).sources, key=lambda s: str(s.label))
    assert (own.start_s, own.end_s, own.label, own.split) == (0.0, None, "people marching", "test")
    assert (whole.start_s, whole.end_s, whole.split) == (30.0, 40.0, "train")


def test_boxes(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("path,x0,y0,x1,y1\n b.mp4 , 10,20,110,140\n")
    a, b = list_sources([tmp_path / "a.mp4", tmp_path / "b.mp4"], boxes=boxes).sources
    assert (a.box, b.box) == (None, Box(10, 20, 110, 140))
    for text, said in (
        ("path,x0,y0,x1,y1\nc.mp4,1,1,2,2\n", "'c.mp4' is no source"),
        ("path,x0,y0,x1,y1\na.mp4,5,1,2,2\n", "line 2: needs"),
        ("path,x0,y0,x1,y1\na.mp4,x,1,2,2\n", "line 2: .* are no numbers"),
        ("path,x,y,w,h\na.mp4,5,1,2,2\n", "needs path, x0, y0, x1, y1"),
        ("", "needs path, x0, y0, x1, y1"),
        ("path,x0,y0,x1,y1\na.mp4,1,1,1.9,9\n", r"line 2: needs .* x0 \+ 1 <= x1"),
        ("path,x0,y0,x1,y1\na.mp4,1,1,9,inf\n", "line 2: needs"),
        ("path,x0,y0,x1,y1\na.mp4,1,1,9,9,9\n", "line 2: has 6 columns, the header 5"),
        ("path,x0,y0,x1,y1\na.mp4,1,1,9\n", "line 2: has 4 columns, the header 5"),
        ("path,x0,y0,x1,y1\na.mp4,1,1,9,9\na.mp4,1,1,8,8\n", "line 3: a.mp4 has a box already"),
        (f"path,x0,y0,x1,y1\n{'a' * 200_000},1,1,9,9\n", "line 2: is no CSV"),
    ):
        boxes.write_text(text)
        with pytest.raises(ValueError, match=said):
            list_sources([tmp_path / "a.mp4"], boxes=boxes)


def test_order_is_that_of_the_ids():
    sources = [Recording(id=name, path="x") for name in ("b", "a", "B")]
    assert [s.id for s in checked(sources, []).sources] == ["B", "a", "b"]


def groups(listing) -> dict[str, str]:
    return {source.id: source.group or source.id for source in listing.sources}


def test_a_file_spelled_in_several_ways_is_one_group(tmp_path):
    path = write_csv(
        tmp_path,
        "path,start,end\na.mp4,0,1\n./a.mp4,1,2\nx/../a.mp4,2,3\n"
        f"{tmp_path}/a.mp4,3,4\nb//c.mp4,0,1\n../{tmp_path.name}/a.mp4,4,5\n",
    )
    listing = list_sources([path])
    assert groups(listing) == {
        "a.mp4@0-1": "a.mp4",
        "a.mp4@1-2": "a.mp4",
        "a.mp4@2-3": "a.mp4",
        "a.mp4@3-4": "a.mp4",
        "a.mp4@4-5": "a.mp4",
        "b/c.mp4@0-1": "b/c.mp4",
    }
    assert listing.notes == []
    with pytest.raises(ValueError, match=r"a\.mp4: listed twice"):
        list_sources([write_csv(tmp_path, "path\na.mp4\n./a.mp4\n")])


def test_relative_listings_do_not_depend_on_where_they_lie(tmp_path, monkeypatch):
    found = []
    for place in (tmp_path / "here", tmp_path / "far" / "there"):
        touch(place, "lists/in.mp4", "films/v.mp4")
        text = f"path\nin.mp4\n../films/v.mp4\n{place}/lists/own.mp4\n"
        path = write_csv(place / "lists", text)
        monkeypatch.chdir(place)
        relative = list_sources([path.relative_to(place)])
        assert groups(relative) == groups(list_sources([path]))
        found.append((groups(relative), relative.notes))
    assert found[0] == found[1]
    assert found[0] == ({n: n for n in ("../films/v.mp4", "in.mp4", "own.mp4")}, [])


def test_absolute_paths_elsewhere_are_noted(tmp_path):
    touch(tmp_path / "disk", "v.mp4", "w.mp4")
    (tmp_path / "lists").mkdir()
    disk = tmp_path / "disk"
    path = write_csv(tmp_path / "lists", f"path\n{disk}/v.mp4\n{disk}/w.mp4\n")
    (note,) = list_sources([path]).notes
    assert note.startswith("list.csv: 2 lines name absolute paths outside of")
    assert "splits, depend on where these files lie" in note
    inside = list_sources([path], media=tmp_path / "disk")
    assert (ids(inside), inside.notes) == (["v.mp4", "w.mp4"], [])


def test_a_source_named_in_two_lists_is_one_group(tmp_path):
    one, two = touch(tmp_path / "one", "list.csv"), touch(tmp_path / "two", "list.csv")
    first = write_csv(one, "path,source\na.mp4,anna\nc.mp4,\n")
    second = write_csv(two, "path,source\nb.mp4,anna\nc.mp4,\n")
    assert groups(list_sources([first, second])) == {
        "list.csv/a.mp4": "anna",
        "list.csv/c.mp4": "list.csv/c.mp4",
        "list.csv#2/b.mp4": "anna",
        "list.csv#2/c.mp4": "list.csv#2/c.mp4",
    }


def test_one_file_under_several_names_is_one_group(tmp_path):
    films = touch(tmp_path / "films", "b.mp4", "sub/v.mp4", "z.mp4")
    (films / "a.mp4").hardlink_to(films / "b.mp4")
    (films / "c.mp4").symlink_to(films / "b.mp4")
    (films / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    listing = list_sources([films])
    assert groups(listing) == {
        "a.mp4": "a.mp4",
        "b.mp4": "a.mp4",
        "c.mp4": "a.mp4",
        "gone.mp4": "gone.mp4",
        "sub/v.mp4": "sub/v.mp4",
        "z.mp4": "z.mp4",
    }
    assert listing.notes == [
        "1 file is listed under several names, such as 'a.mp4' and 'b.mp4'; all names of a file "
        "count as one group"
    ]
    nested = groups(list_sources([films, films / "sub"]))
    assert nested["films/sub/v.mp4"] == nested["sub/v.mp4"] == "films/sub/v.mp4"


def test_groups_that_share_files_are_one_in_a_chain(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    (tmp_path / "a2.mp4").hardlink_to(tmp_path / "a.mp4")
    (tmp_path / "b2.mp4").hardlink_to(tmp_path / "b.mp4")
    path = write_csv(
        tmp_path,
        "path,source\na.mp4,\na2.mp4,anna\nb.mp4,anna\nb2.mp4,bob\nother.mp4,bob\nc.mp4,cleo\n",
    )
    found = groups(list_sources([path]))
    assert found.pop("c.mp4") == "cleo"
    assert set(found.values()) == {"a.mp4"}


def test_segments_of_a_file_keep_the_groups_they_have(tmp_path):
    touch(tmp_path, "talk.mp4")
    path = write_csv(tmp_path, "path,start,end,source\ntalk.mp4,0,5,anna\ntalk.mp4,5,9,bob\n")
    listing = list_sources([path])
    assert [s.group for s in listing.sources] == ["anna", "bob"]
    assert listing.notes == []


def test_one_file_in_two_lists_is_one_group(tmp_path):
    touch(tmp_path, "talk.mp4")
    (tmp_path / "a.csv").write_text("path,start,end\ntalk.mp4,0,5\n")
    (tmp_path / "b.csv").write_text("path,start,end\ntalk.mp4,5,9\n")
    listing = list_sources([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert {s.group for s in listing.sources} == {"a.csv/talk.mp4"}
    assert len(listing.notes) == 1


def test_files_of_one_name_are_told_apart(tmp_path):
    touch(tmp_path, "a/v.mp4", "b/v.mp4", "c/v.mp4#2", "d/v.mp4")
    places = [tmp_path / name for name in ("a/v.mp4", "b/v.mp4", "d/v.mp4")]
    found = {s.id: Path(s.path) for s in list_sources(places).sources}
    assert found == dict(zip(("v.mp4", "v.mp4#2", "v.mp4#3"), places, strict=True))
    odd = [tmp_path / "c" / "v.mp4#2", *places[:2]]
    assert ids(list_sources(odd)) == ["v.mp4", "v.mp4#2", "v.mp4#3"]


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("1234567.5", "1234568.25", "1234567.5-1234568.25"),
        ("1000000", "1000000.5", "1000000-1000000.5"),
        ("0.000001", "100", "0.000001-100"),
        ("-0", "1e1", "0-10"),
    ],
)
def test_times_in_ids_are_exact(tmp_path, start, end, said):
    path = write_csv(tmp_path, f"path,start,end\na.mp4,{start},{end}\n")
    assert ids(list_sources([path])) == [f"a.mp4@{said}"]


def test_the_shortest_segment(tmp_path):
    path = write_csv(tmp_path, "path,start,end\na.mp4,5,5.001\n")
    assert ids(list_sources([path])) == ["a.mp4@5-5.001"]


@pytest.mark.parametrize("name", ["dataset.json", ".prepare/plan.json"])
def test_prepared_data_is_no_source(tmp_path, name):
    touch(tmp_path / "out", name, "report/p.mp4")
    with pytest.raises(ValueError, match="out: is prepared data; give the raw videos"):
        list_sources([tmp_path / "out"])


def test_report_of_prepared_data_without_its_manifest_is_no_source(tmp_path):
    touch(tmp_path, "a.mp4", "copy/train.jsonl", "copy/train-00000.tar", "copy/report/p.mp4")
    touch(tmp_path, "films/report/b.mp4", "films/notes.jsonl")
    assert ids(list_sources([tmp_path])) == ["a.mp4", "films/report/b.mp4"]
    with pytest.raises(ValueError, match="holds no video"):
        list_sources([tmp_path / "copy"])


def test_media_is_a_folder_for_a_csv(tmp_path):
    touch(tmp_path, "a.mp4")
    path = write_csv(tmp_path, "path\na.mp4\n")
    for media in (tmp_path / "no", tmp_path / "a.mp4"):
        with pytest.raises(ValueError, match=f"media={media} is no folder"):
            list_sources([path], media=media)
    with pytest.raises(ValueError, match="no CSV is given"):
        list_sources([tmp_path / "a.mp4"], media=tmp_path)
    with pytest.raises(ValueError, match="no such file"):
        list_sources([tmp_path / "none.csv"])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("path\na.mp4\n".encode("utf-16"), "line 1: is no UTF-8; save it as UTF-8"),
        ("path\na.mp4\n".encode("utf-16-le"), "line 1: holds NUL characters; save it as UTF-8"),
        ("path\na.mp4\nü.mp4\n".encode("latin-1"), "line 3: is no UTF-8; save it as UTF-8"),
        (b"path\na.mp4\nb\0.mp4\n", "line 3: holds NUL"),
        (b'path\na.mp4\n"b' + b"x" * 200_000, "line 3: is no CSV .field larger than field limit"),
    ],
)
def test_csv_that_is_no_text(tmp_path, data, said):
    path = tmp_path / "list.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"list\.csv, {said}"):
        list_sources([path])


def test_lines_are_counted_as_an_editor_does(tmp_path):
    path = write_csv(tmp_path, 'path,label\na.mp4,"two\nlines"\n\n,x\n')
    with pytest.raises(ValueError, match="line 5: has no path"):
        list_sources([path])
