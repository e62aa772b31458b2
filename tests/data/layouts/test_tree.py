"""Folders listed in one order, whatever they hold."""

import pytest

from soundsight.data.layouts import pairing, tree


def test_walk_is_sorted_and_leaves_out_what_is_hidden(tmp_path, make):
    names = [
        "b/2.MP4",
        "a/1.mp4",
        ".git/x.mp4",
        "__MACOSX/a/1.mp4",
        "a/._1.mp4",
        "a/1.txt",
        "c.mp4",
    ]
    make.touch(*(tmp_path / name for name in names))
    (tmp_path / "folder.mp4").mkdir()
    found = tree.walk(tmp_path, (".mp4",))
    assert [tree.relative(path, tmp_path) for path in found] == ["a/1.mp4", "b/2.MP4", "c.mp4"]


def test_walk_ends_where_links_lead_back(tmp_path, make, looped):
    make.touch(tmp_path / "a" / "1.mp4")
    looped(tmp_path / "a")
    assert tree.walk(tmp_path, (".mp4",)) == [tmp_path / "a" / "1.mp4"]


def test_walk_follows_a_link_that_leads_elsewhere(tmp_path, make):
    make.touch(tmp_path / "store" / "1.mp4")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "store", target_is_directory=True)
    (tmp_path / "set" / "broken").symlink_to(tmp_path / "gone")
    found = tree.walk(tmp_path / "set", (".mp4",))
    assert [tree.relative(path, tmp_path) for path in found] == ["set/linked/1.mp4"]


def test_child_is_found_in_any_case_and_home_one_level_down(tmp_path, make):
    make.touch(tmp_path / "Outer" / "IMG" / "x")
    assert tree.child(tmp_path / "Outer", "img") == tmp_path / "Outer" / "IMG"
    assert tree.child(tmp_path, "img") is None
    assert tree.home(tmp_path, "img") == tmp_path / "Outer"
    assert tree.home(tmp_path / "Outer", "img") == tmp_path / "Outer"
    assert tree.home(tmp_path / "Outer" / "IMG", "img") is None


@pytest.mark.parametrize(
    ("cards", "hands", "most", "sizes"),
    [(10, 3, None, {4, 3}), (10, 3, 2, {2}), (2, 3, None, {1, 0}), (0, 2, 4, {0})],
)
def test_deal_gives_no_card_twice(cards, hands, most, sizes):
    deck = [f"image{i}" for i in range(cards)]
    names = [f"sound{i}" for i in range(hands)]
    dealt = pairing.deal({"c": deck}, {"c": names}, most)
    given = [card for hand in dealt.values() for card in hand]
    assert set(dealt) == set(names)
    assert len(given) == len(set(given))
    assert set(given) <= set(deck)
    assert {len(hand) for hand in dealt.values()} == sizes
    assert dealt == pairing.deal({"c": deck[::-1]}, {"c": names[::-1]}, most)


def test_deal_keeps_to_the_class():
    dealt = pairing.deal({"a": ["a1", "a2"], "b": ["b1"]}, {"b": ["x"], "a": ["y"]})
    assert dealt["x"] == ["b1"]
    assert sorted(dealt["y"]) == ["a1", "a2"]


def test_rank_is_the_same_on_every_machine():
    assert pairing.ranked("abcdef") == list("dfaebc")
