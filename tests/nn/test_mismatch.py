import pytest
import torch
from torch import Generator

from soundsight.media.clip import Clip, ClipSpec
from soundsight.nn.mismatch import masked_mean, wrong_partner

SPEC = ClipSpec(frames=1, fps=2, size=16, sample_rate=2000)


def batch(label=None, source=None, start=None, count=6):
    return Clip(
        SPEC,
        video=torch.zeros(count, 1, 1, 16, 16),
        label=None if label is None else torch.tensor(label),
        source=None if source is None else torch.tensor(source),
        start=None if start is None else torch.tensor(start, dtype=torch.float64),
    )


def partners(clip, by, draws=200, **kwargs):
    """Every partner that is ever drawn, by clip, and which clips have one."""
    found = [set() for _ in range(len(clip))]
    valid = set()
    for seed in range(draws):
        index, has = wrong_partner(clip, by, Generator().manual_seed(seed), **kwargs)
        valid.add(tuple(has.tolist()))
        for i, (j, good) in enumerate(zip(index.tolist(), has.tolist(), strict=True)):
            found[i] |= {j} if good else set()
    assert len(valid) == 1
    return found, valid.pop()


def test_of_another_class_never_of_the_same():
    found, valid = partners(batch([0, 0, 1, 1, 2, 2]), "class")
    assert found == [{2, 3, 4, 5}] * 2 + [{0, 1, 4, 5}] * 2 + [{0, 1, 2, 3}] * 2
    assert all(valid)


def test_a_batch_of_one_class_has_none():
    clip = batch([3] * 6)
    what = "^mismatch='class': no wrong partner among 6 clips; .* train.balance='class'$"
    with pytest.warns(UserWarning, match=what):
        index, valid = wrong_partner(clip, "class", Generator())
    assert not valid.any()
    assert index.tolist() == list(range(6))


def test_no_label_is_not_another_class():
    found, valid = partners(batch([0, 0, -1, 1, -1, 1]), "class")
    assert found == [{3, 5}, {3, 5}, set(), {0, 1}, set(), {0, 1}]
    assert valid == (True, True, False, True, False, True)


def test_all_wrong_ones_are_equally_likely():
    clip = batch([0, 1, 1, 1, 1, 0])
    counts = torch.zeros(6)
    draws = 2000
    generator = Generator().manual_seed(0)
    for _ in range(draws):
        counts[wrong_partner(clip, "class", generator)[0][0]] += 1
    assert counts[[0, 5]].sum() == 0
    # Four cells of p = 1/4: within five standard errors.
    share = counts[1:5] / draws
    assert (share - 0.25).abs().max() < 5 * (0.25 * 0.75 / draws) ** 0.5


def test_the_same_seed_draws_the_same():
    clip = batch([0, 1, 2, 0, 1, 2])
    once, twice = (wrong_partner(clip, "class", Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(once[0], twice[0])


def test_pose_is_of_the_same_class_and_never_within_a_second():
    clip = batch([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1], [0.0, 0.9, 1.0, 0.1, 2.3, 1.3])
    found, valid = partners(clip, "pose")
    # 2.3 - 1.3 is a little less than 1 in binary, and still a second.
    assert found == [{2, 3}, {3}, {0, 3}, {0, 1, 2}, {5}, {4}]
    assert all(valid)
    found, valid = partners(clip, "pose", apart_s=0.5)
    assert found == [{1, 2, 3}, {0, 3}, {0, 3}, {0, 1, 2}, {5}, {4}]
    found, valid = partners(clip, "pose", apart_s=1.5)
    assert valid == (True, True, True, True, False, False)


def test_pose_without_plumbing():
    """Without sources every clip is a recording; without labels all are of one class."""
    everyone = [set(range(6)) - {i} for i in range(6)]
    assert partners(batch(), "pose")[0] == everyone
    assert partners(batch([0, 0, 0, 1, 1, 1]), "pose")[0] == [
        {0, 1, 2} - {i} if i < 3 else {3, 4, 5} - {i} for i in range(6)
    ]
    # One recording and no times: nothing is known to be apart.
    what = "^mismatch='pose': no wrong partner among 6 clips; .*a larger batch$"
    with pytest.warns(UserWarning, match=what):
        assert partners(batch(source=[5] * 6), "pose", draws=2)[1] == (False,) * 6


def test_one_clip_with_a_partner_is_enough_for_no_warning():
    index, valid = wrong_partner(batch([0, 0, 0, -1, -1, 1]), "class", Generator())
    assert valid.tolist() == [True, True, True, False, False, True]
    assert index[3:5].tolist() == [3, 4]


def test_classes_need_labels():
    with pytest.raises(ValueError, match='mismatch="class" needs class labels'):
        wrong_partner(batch(), "class", Generator())


def test_masked_mean_counts_what_is_valid():
    x = torch.tensor([1.0, float("nan"), 3.0], requires_grad=True)
    valid = torch.tensor([True, False, True])
    mean = masked_mean(x, valid)
    mean.backward()
    assert float(mean.detach()) == 2
    assert x.grad.tolist() == [0.5, 0, 0.5]
    assert float(masked_mean(torch.ones(2), torch.tensor([False, False]))) == 0
