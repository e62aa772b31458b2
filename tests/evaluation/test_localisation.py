"""Locating a block: by construction, by hand, and against a brute-force search."""

import pytest
import torch

from soundsight.evaluation.localisation import (
    block_iou,
    centre_box,
    intersection_over_union,
    locate_block,
    time_to_appear,
)


def with_block(top: int, left: int, side: int, value: float = 1.0) -> torch.Tensor:
    frame = torch.zeros(1, 24, 24)
    frame[:, top : top + side, left : left + side] = value
    return frame


def test_finds_a_block_in_every_place():
    places = [(0, 0), (18, 18), (0, 18), (7, 11)]
    frames = torch.cat([with_block(top, left, 6) for top, left in places])
    found = locate_block(frames, 6)
    assert found.box.tolist() == [[x, y, x + 6, y + 6] for y, x in places]
    assert found.brightness.tolist() == [1, 1, 1, 1]


def test_equals_a_brute_force_search():
    frames = torch.rand(3, 15, 11, generator=torch.Generator().manual_seed(0))
    found = locate_block(frames, 4)
    for frame, box, brightness in zip(frames.double(), found.box, found.brightness, strict=True):
        means = {(i, j): frame[i : i + 4, j : j + 4].mean() for i in range(12) for j in range(8)}
        top, left = max(means, key=means.get)
        assert box.tolist() == [left, top, left + 4, top + 4]
        assert float(brightness) == pytest.approx(float(means[top, left]), abs=1e-9)


def test_iou_by_hand():
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0, 0, 1, 1], [0, 0, 1, 1]])
    b = torch.tensor([[0.0, 1.0, 2.0, 3.0], [0, 0, 1, 1], [1, 1, 2, 2]])
    assert intersection_over_union(a, b).tolist() == pytest.approx([1 / 3, 1, 0])


def test_a_dim_box_is_no_block():
    box = torch.tensor([[5.0, 7.0, 11.0, 13.0]])
    assert block_iou(with_block(7, 5, 6, 0.26), box, 6).tolist() == [1]
    assert block_iou(with_block(7, 5, 6, 0.24), box, 6).tolist() == [0]
    assert block_iou(with_block(7, 8, 6), box, 6).tolist() == pytest.approx([1 / 3])


def test_centre_control():
    # The block's corner is uniform in [12, 32)²: a constant guess scores a third.
    corner = torch.rand(20000, 2, generator=torch.Generator().manual_seed(0)) * 20 + 12
    boxes = torch.cat([corner, corner + 16], dim=1).double()
    centre = centre_box(boxes)
    assert centre[0].tolist() == pytest.approx([22, 22, 38, 38], abs=0.2)
    assert float(intersection_over_union(centre, boxes).mean()) == pytest.approx(0.33, abs=0.01)


def test_time_to_appear():
    nothing, dim, block = torch.zeros(1, 24, 24), with_block(3, 3, 6, 0.4), with_block(3, 3, 6)
    videos = torch.stack(
        [torch.cat(v) for v in ([nothing, dim, block, nothing], [dim] * 4, [block] * 4)]
    )
    assert time_to_appear(videos, 6).tolist() == [2, 4, 0]


def test_a_block_larger_than_the_frame_is_an_error():
    with pytest.raises(ValueError, match="24x24 pixels are smaller than window=25"):
        locate_block(torch.zeros(1, 24, 24), 25)
