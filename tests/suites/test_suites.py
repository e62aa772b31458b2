"""Every suite that is there can be run: its recipes exist, and its rows are trained alike."""

import functools
import importlib
import re
import shlex
from pathlib import Path

import pytest

from soundsight import suites
from soundsight.cli.experiments import Compare
from soundsight.cli.parse import parse
from soundsight.data.folder import VideoFolder
from soundsight.evaluation.claims import Claim
from soundsight.evaluation.forecasters import SHUFFLED
from soundsight.evaluation.scores import CONTROLS
from soundsight.experiment.suite_plan import Planned, check_ready, plan
from soundsight.models.sound2sight import FIDELITY
from soundsight.suites import Row, Suite
from soundsight.suites.sound2sight_defects_laptop import QUIRKS

TINY = "sound2sight_m3so_tiny"


def suite(*rows: Row, claims=()) -> Suite:
    return Suite(title="t", about="a", rows=rows, claims=claims, frames=(4,))


@functools.cache
def planned_of(name: str) -> list[Planned]:
    """All trainings of a suite, as they would be in a folder where nothing is yet."""
    return plan(suites.load(name), Path("nowhere"), seeds=(0, 1))


@pytest.mark.parametrize("name", suites.names())
def test_rows_of_a_suite_stand_in_one_table(name):
    planned = planned_of(name)
    assert [one.seed for one in planned] == sorted(one.seed for one in planned)
    assert len({one.run for one in planned}) == len(planned)
    protocol = planned[0].recipe.evaluate
    assert all(one.recipe.evaluate == protocol for one in planned)
    assert all(one.recipe.train.seed == one.seed for one in planned)


@pytest.mark.parametrize("name", suites.names())
def test_claims_and_frames_of_a_suite_can_be_looked_up(name):
    loaded = suites.load(name)
    protocol = planned_of(name)[0].recipe.evaluate
    known = {row.name for row in loaded.rows}
    known |= {row + SHUFFLED for row in known} | set(CONTROLS)
    for claim in loaded.claims:
        assert {claim.better, claim.worse} <= known, claim
        assert claim.rule in protocol.rules
    frames = {*loaded.frames, *(c.frame for c in loaded.claims if c.frame is not None)}
    assert all(protocol.seen < frame <= protocol.frames for frame in frames)
    assert loaded.name == name


def test_changes_reach_the_recipe():
    row = Row("mine", TINY, {"model.z_source": "prior", "train.batch_size": 2})
    recipe = row.resolve(seed=3, changes={"train.steps": 7, "train.batch_size": 8})
    assert recipe.model.z_source == "prior"
    assert (recipe.train.seed, recipe.train.steps, recipe.train.batch_size) == (3, 7, 2)
    assert recipe.name == TINY


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.z_sorce": "prior"}, "row 'mine': model: no field 'z_sorce'; did you mean 'z_sou"),
        ({"model.z_source": "dice"}, "row 'mine': model.z_source='dice'"),
        ({"z_source": "prior"}, "row 'mine': 'z_source' is no field of a recipe; write PART.FIELD"),
    ],
)
def test_a_wrong_change_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        Row("mine", TINY, changes).resolve(seed=0)


def test_an_unknown_suite_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'sound2sight_table1'"):
        suites.load("sound2sight_tabel1")


@pytest.mark.parametrize("name", ["Mine", "a b", "a:b", "../up", ""])
def test_names_of_rows_fit_into_paths(name):
    with pytest.raises(ValueError, match="make a row's name"):
        suite(Row(name, TINY))


def test_a_name_stands_for_one_row():
    with pytest.raises(ValueError, match="each name may be there once"):
        suite(Row("a", TINY), Row("a", TINY))


def test_fewer_rows_keep_their_claims_alone():
    def claim(better, worse):
        return Claim("", better, worse, "psnr", "mean")

    claims = (claim("a", "b"), claim("a", "c"), claim("a", "copy_last"), claim("c", "a" + SHUFFLED))
    whole = suite(Row("a", TINY), Row("b", TINY), Row("c", TINY), claims=claims)
    fewer = whole.only(("b", "a"))
    assert [row.name for row in fewer.rows] == ["a", "b"]
    assert fewer.claims == (claims[0], claims[2])
    with pytest.raises(ValueError, match="no row 'd'"):
        whole.only(("d",))


def test_rows_that_are_not_trained_alike_are_refused(tmp_path):
    unfair = suite(Row("a", TINY), Row("b", TINY, {"train.steps": 3}))
    with pytest.raises(ValueError, match=r"rows 'a' and 'b' differ in train\.steps"):
        plan(unfair, tmp_path, seeds=(0,))
    other = suite(Row("a", TINY), Row("b", TINY, {"data.digit": 6}))
    with pytest.raises(ValueError, match="rows 'a' and 'b' differ in data"):
        plan(other, tmp_path, seeds=(0,))
    plan(unfair.only(("b",)), tmp_path, seeds=(0,))


def test_a_row_whose_optimizers_do_not_fit_is_refused_before_any_training(tmp_path):
    wrong = suite(Row("a", TINY), Row("b", TINY, {"model.discriminator": "none"}))
    with pytest.raises(
        ValueError, match=r"row 'b': its model has the phases generator, train\.opt"
    ):
        plan(wrong, tmp_path, seeds=(0,))


def test_seeds_are_given_once(tmp_path):
    with pytest.raises(ValueError, match=r"seeds=\[1, 1\]: name at least one, and each once"):
        plan(suite(Row("a", TINY)), tmp_path, seeds=(1, 1))
    with pytest.raises(ValueError, match=r"train\.seed is set by the seeds"):
        plan(suite(Row("a", TINY)), tmp_path, seeds=(1,), changes={"train.seed": 3})


@pytest.mark.parametrize("name", suites.names())
def test_a_suite_can_be_made_shorter(name):
    changes = {"train.steps": 7, "evaluate.clips": 4, "evaluate.num_samples": 2}
    planned = plan(suites.load(name), Path("nowhere"), seeds=(0,), changes=changes)
    assert {one.recipe.train.steps for one in planned} == {7}
    assert {one.recipe.evaluate.clips for one in planned} == {4}


@pytest.mark.parametrize("name", suites.names())
def test_the_command_of_a_suite_is_understood(name):
    text = importlib.import_module(f"soundsight.suites.{name}").__doc__
    command = re.search(r"^Command: (.*?)(?=^\w+: |\Z)", text, re.M | re.S).group(1)
    program, verb, *arguments = shlex.split(command)
    assert (program, verb) == ("soundsight", "compare")
    assert parse(Compare, arguments, verb="compare").suite == name


def test_every_quirk_of_the_released_model_has_its_row():
    fields = {field for changes in QUIRKS.values() for field in changes}
    assert fields == {f"model.{field}" for field in FIDELITY["paper"]}
    for changes in QUIRKS.values():
        ((field, value),) = changes.items()
        assert value == FIDELITY["paper"][field.removeprefix("model.")]


@pytest.mark.parametrize(
    ("row", "claims", "frames", "message"),
    [
        (Row("a", TINY), (), (3,), "frame 3 of suite 't' is not predicted: those from 4 to 9 are"),
        (Row("a", TINY), (), (10,), "frame 10 of suite"),
        (Row("a", TINY), (("psnr", "mean", 30),), (4,), "frame 30 of suite"),
        (Row("a", TINY), (("psnr", "dice", None),), (4,), "rests on the rule 'dice'"),
        (Row("a", TINY, {"evaluate.frames": 60}), (), (4,), r"frames=60: clips have only 9"),
        (Row("a", TINY, {"evaluate.region": (0, 0, 0.1, 1)}), (), (4,), "is 2x16 pixels of frames"),
        (Row("a", "joint_gan_bounce_tiny"), (), (4,), "is a joint experiment; suites compare"),
    ],
)
def test_what_cannot_be_scored_is_told_before_any_training(row, claims, frames, message):
    made = tuple(Claim("c", "a", "blank", *claim) for claim in claims)
    wrong = Suite(title="t", about="a", rows=(row,), claims=made, frames=frames)
    with pytest.raises(ValueError, match=message):
        plan(wrong, Path("nowhere"), seeds=(0,))


def test_a_claim_about_a_row_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no row of 'c' 'aa'"):
        suite(Row("a", TINY), claims=(Claim("c", "aa", "blank", "psnr", "mean"),))


def test_a_table_needs_rows_and_frames():
    with pytest.raises(ValueError, match="at least one row and one frame"):
        Suite(title="t", about="a", rows=(Row("a", TINY),), frames=())


def test_data_that_is_not_there_is_told_before_any_training(tmp_path):
    faces = suites.load("sound2sight_faces_laptop")
    with pytest.raises(ValueError, match="say where they are with --data"):
        check_ready(plan(faces, tmp_path, seeds=(0,)))
    gone = VideoFolder(path=str(tmp_path / "gone"))
    with pytest.raises((ValueError, OSError), match="gone"):
        check_ready(plan(faces, tmp_path, seeds=(0,), data=gone))


def test_rows_that_see_other_frames_are_refused(tmp_path):
    wrong = suite(Row("a", TINY), Row("b", TINY, {"train.precision": "bfloat16"}))
    with pytest.raises(ValueError, match=r"differ in train\.precision"):
        plan(wrong, tmp_path, seeds=(0,))
