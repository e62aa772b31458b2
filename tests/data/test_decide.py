"""Which clip stands in which split."""

import numpy as np
import pytest

from soundsight.data.decide import decide, place_groups
from soundsight.data.measure import Filters
from soundsight.data.part import Part, PartClip
from soundsight.data.plan import Settings
from soundsight.data.prepared import Span
from soundsight.data.source import Recording
from soundsight.media.clip import ClipSpec

SPEC = ClipSpec(frames=5, fps=5, size=16, channels=3, sample_rate=4000)
"""Clips of one second."""


def settings(**changes) -> Settings:
    filters = Filters(duplicates=False)
    return Settings(**{"spec": SPEC, "filters": filters, "fractions": (0.2, 0.2)} | changes)


def sources(number: int, **fields) -> list[Recording]:
    return [Recording(id=f"{i:03d}.mp4", path="", **fields) for i in range(number)]


def parts(of: list[Recording], seconds: int = 4) -> list[Part]:
    return [
        Part(
            source.id,
            "",
            float(seconds),
            1.0,
            1.0,
            0,
            [
                PartClip(f"{s:09d}", float(s), Span(0, 0), Span(0, 0), f"{source.id} {s}", {})
                for s in range(seconds)
            ],
            [],
            None,
        )
        for source in of
    ]


def split_of(decisions) -> dict[int, set[str]]:
    """The splits in which each source stands."""
    found: dict[int, set[str]] = {}
    for split, places in decisions.splits.items():
        for number, _ in places:
            found.setdefault(number, set()).add(split)
    return found


def test_a_source_stands_in_one_split_and_none_is_empty():
    for number in (3, 4, 7, 40):
        of = sources(number)
        found = split_of(decide(parts(of), of, settings()))
        assert all(len(splits) == 1 for splits in found.values())
        assert set().union(*found.values()) == {"train", "val", "test"}


def test_splits_do_not_depend_on_the_order_nor_on_the_others():
    of = sources(300)
    whole = split_of(decide(parts(of), of, settings()))
    backwards = of[::-1]
    again = split_of(decide(parts(backwards), backwards, settings()))
    assert {of[n].id: s for n, s in whole.items()} == {backwards[n].id: s for n, s in again.items()}
    some = of[::2]
    fewer = split_of(decide(parts(some), some, settings()))
    assert {some[n].id: s for n, s in fewer.items()}.items() <= {
        of[n].id: s for n, s in whole.items()
    }.items()
    shares = [sum(split in s for s in whole.values()) / 300 for split in ("val", "test")]
    assert np.allclose(shares, 0.2, atol=0.07)


def test_a_group_is_not_divided():
    of = [Recording(id=f"{i}.mp4", path="", group=f"speaker{i % 5}") for i in range(50)]
    found = split_of(decide(parts(of), of, settings()))
    for speaker in range(5):
        assert len(set().union(*(found[n] for n in range(50) if n % 5 == speaker))) == 1
    assert set().union(*found.values()) == {"train", "val", "test"}


def test_every_class_is_in_every_split():
    of = [Recording(id=f"{i}.mp4", path="", label="ab"[i % 2 == 0]) for i in range(8)]
    found = split_of(decide(parts(of), of, settings()))
    for parity in (0, 1):
        splits = set().union(*(found[n] for n in range(8) if n % 2 == parity))
        assert splits == {"train", "val", "test"}


def test_one_source_is_cut_in_time_with_a_gap():
    of = sources(1)
    decisions = decide(parts(of, 200), of, settings(fractions=(0.1, 0.1)))
    spans = {s: [i for _, i in places] for s, places in decisions.splits.items()}
    assert spans["test"] == list(range(180, 200))
    assert spans["val"] == list(range(155, 175))
    assert spans["train"] == list(range(150))
    gaps = [clip.start_s for _, clip in decisions.dropped]
    assert gaps == [*range(150, 155), *range(175, 180)]
    assert all(clip.reason.startswith("gap: ") for _, clip in decisions.dropped)
    assert decisions.notes == ["000.mp4: split in time, for want of other sources"]


@pytest.mark.parametrize("kept", [range(22, 40), range(18), range(0, 40, 5), [3, 4, 5, 30, 31, 39]])
def test_what_is_cut_in_time_is_what_was_kept(kept):
    """Wherever in the source its clips lie, no split is empty and none touches another."""
    of = sources(1)
    made = parts(of, 40)
    clips = [clip for clip in made[0].clips if clip.start_s in kept]
    decisions = decide([made[0]._replace(clips=clips)], of, settings())
    times = {
        split: [clips[i].start_s for _, i in places] for split, places in decisions.splits.items()
    }
    assert all(times.values())
    assert max(times["train"]) + 1 < min(times["val"])
    assert max(times["val"]) + 1 < min(times["test"])


def test_segments_of_one_file_are_cut_at_the_same_times():
    of = [Recording(f"f.mp4@{a}-{a + 30}", "", start_s=float(a), group="f.mp4") for a in (0, 10)]
    made = parts(of, 30)
    late = [c._replace(start_s=c.start_s + 10) for c in made[1].clips]
    decisions = decide([made[0], made[1]._replace(clips=late)], of, settings())
    clips = (made[0].clips, late)
    times = {
        split: {clips[n][i].start_s for n, i in places}
        for split, places in decisions.splits.items()
    }
    assert all(times.values())
    assert max(times["train"]) + 1 < min(times["val"])
    assert max(times["val"]) + 1 < min(times["test"])


def test_a_class_with_one_source_is_cut_in_time_alone():
    of = [*sources(6, label="many"), Recording(id="only.mp4", path="", label="one")]
    found = split_of(decide(parts(of, 60), of, settings()))
    assert found[6] == {"train", "val", "test"}
    assert all(len(found[n]) == 1 for n in range(6))


def test_classes_of_few_short_sources_are_split_together():
    of = [Recording(f"{i}.mp4", "", label=str(i // 2)) for i in range(40)]
    decisions = decide(parts(of, 1), of, settings())
    assert not decisions.dropped
    assert all(len(places) > 3 for places in decisions.splits.values())


def test_what_cannot_be_split_is_train():
    of = sources(2)
    decisions = decide(parts(of, 2), of, settings())
    assert len(decisions.splits["train"]) == 4
    assert decisions.notes == ["split val is empty", "split test is empty"]


def test_by_clip_leaks_and_says_so():
    of = sources(20)
    decisions = decide(parts(of, 30), of, settings(split="clip"))
    assert sum(len(s) > 1 for s in split_of(decisions).values()) > 15
    assert "flatter" in decisions.notes[0]


def test_published_splits_are_kept_and_val_comes_out_of_train():
    of = [*sources(10, split="train"), *(Recording(f"t{i}", "", split="test") for i in range(5))]
    decisions = decide(parts(of), of, settings())
    found = split_of(decisions)
    assert decisions.rule == "published"
    assert all(found[n] == {"test"} for n in range(10, 15))
    assert {frozenset(found[n]) for n in range(10)} == {frozenset({"train"}), frozenset({"val"})}
    assert "val" in decisions.notes[0]
    whole = decide(parts(of), of, settings(fractions=(0.0, 0.2)))
    assert not whole.splits["val"]


def test_published_splits_must_be_there():
    of = [*sources(2, split="train"), Recording("x.mp4", "")]
    with pytest.raises(ValueError, match=r"1 of 3 sources have no published split, 'x\.mp4'"):
        decide(parts(of), of, settings(split="published"))
    with pytest.raises(ValueError, match=r"split='auto': 1 of 3 .* fill it in"):
        decide(parts(of), of, settings())
    assert decide(parts(of), of, settings(split="source")).rule == "source"


@pytest.mark.parametrize("number", range(2, 9))
@pytest.mark.parametrize("fractions", [(0.1, 0.1), (0.45, 0.5), (0.0, 0.3), (0.3, 0.0)])
def test_groups_fill_the_wanted_splits(number, fractions):
    for seed in range(30):
        found = place_groups([f"{seed}-{i}" for i in range(number)], fractions)
        wanted = {"train"} | {s for s, f in zip(("val", "test"), fractions, strict=True) if f > 0}
        assert set(found.values()) <= wanted
        if number >= len(wanted):
            assert set(found.values()) == wanted


def test_a_clip_that_repeats_one_of_another_source_is_dropped():
    of = sources(4)
    made = parts(of, 2)
    rng = np.random.default_rng(0)
    for part in made:
        for clip in part.clips:
            clip.measures["picture_hash"] = rng.bytes(16).hex()
            clip.measures["sound_hash"] = rng.bytes(32).hex()
    made[2].clips[1].measures.update(made[0].clips[1].measures)
    made[1].clips[1].measures.update(made[1].clips[0].measures)  # Within a source: kept.
    made[3].clips[0] = made[3].clips[0]._replace(digest=made[1].clips[1].digest)  # The same bytes.
    decisions = decide(made, of, settings(filters=Filters()))
    assert [(n, clip.name, clip.reason) for n, clip in decisions.dropped] == [
        (2, "000000001", "duplicate: of 000.mp4 at 1 s, in picture and sound"),
        (3, "000000000", "duplicate: of 001.mp4 at 1 s, in picture and sound"),
    ]
