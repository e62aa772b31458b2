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
    touch(tmp_path, "a.mp4")
    with pytest.raises(ValueError, match=r"a\.mp4: listed twice"):
        list_sources([tmp_path / "a.mp4", tmp_path / "a.mp4"])


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
    boxes.write_text("path,x0,y0,x1,y1\nb.mp4,10,20,110,140\n")
    a, b = list_sources([tmp_path / "a.mp4", tmp_path / "b.mp4"], boxes=boxes).sources
    assert (a.box, b.box) == (None, Box(10, 20, 110, 140))
    for text, said in (
        ("path,x0,y0,x1,y1\nc.mp4,1,1,2,2\n", "'c.mp4' is no source"),
        ("path,x0,y0,x1,y1\na.mp4,5,1,2,2\n", "line 2: needs"),
        ("path,x0,y0,x1,y1\na.mp4,x,1,2,2\n", "line 2: .* are no numbers"),
        ("path,x,y,w,h\na.mp4,5,1,2,2\n", "needs path, x0, y0, x1, y1"),
    ):
        boxes.write_text(text)
        with pytest.raises(ValueError, match=said):
            list_sources([tmp_path / "a.mp4"], boxes=boxes)


def test_order_is_that_of_the_ids():
    sources = [Recording(id=name, path="x") for name in ("b", "a", "B")]
    assert [s.id for s in checked(sources, []).sources] == ["B", "a", "b"]
