import numpy as np
import pytest
import torch
import torch.nn.functional as F

from soundsight.nn.spatial_transformer import (
    bilinear_weights,
    box_centers,
    crop,
    paste,
    pixel_centers,
)

POSES = torch.tensor([[2.0, 0.03, -0.01], [1.7, 0.3, -0.8], [2.6, -1.9, 1.2], [1.23, 0.61, 0.57]])
"""No sample falls on the center of a pixel, where the slope has two values."""


def waves(*shape):
    """Smooth numbers in [0, 1] that need no random generator."""
    total = int(np.prod(shape))
    return (torch.cos(torch.arange(total) * 0.37) / 2 + 0.5).reshape(shape).float()


def sampled(image, rows, columns):
    """Bilinear samples of one channel at fractional pixels, black outside: pixel by pixel."""
    height, width = image.shape
    out = np.zeros((len(rows), len(columns)))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            for y in (int(np.floor(row)), int(np.floor(row)) + 1):
                for x in (int(np.floor(column)), int(np.floor(column)) + 1):
                    if 0 <= y < height and 0 <= x < width:
                        out[i, j] += (1 - abs(row - y)) * (1 - abs(column - x)) * image[y, x]
    return out


def pixels(at, size):
    """Fractional pixels of coordinates from edge to edge."""
    return (np.asarray(at) + 1) * size / 2 - 0.5


def test_crop_and_paste_equal_sampling_pixel_by_pixel():
    images, objects = waves(4, 2, 12, 12), waves(4, 2, 6, 6)
    cropped, pasted = crop(images, POSES, 6), paste(objects, POSES, 12)
    near, far = (np.arange(6) * 2 - 5) / 6, (np.arange(12) * 2 - 11) / 12
    for i, (s, x, y) in enumerate(POSES.double().numpy()):
        for c in range(2):
            inside = sampled(
                images[i, c].numpy(), pixels((near - y) / s, 12), pixels((near - x) / s, 12)
            )
            np.testing.assert_allclose(cropped[i, c], inside, atol=1e-5)
            around = sampled(objects[i, c].numpy(), pixels(s * far + y, 6), pixels(s * far + x, 6))
            np.testing.assert_allclose(pasted[i, c], around, atol=1e-5)


@pytest.mark.parametrize("corners", [True, False])
def test_it_is_torchs_grid_sample_with_its_gradients(corners):
    objects, pose = waves(4, 3, 6, 6).requires_grad_(), POSES.clone().requires_grad_()
    s, zero = pose[:, 0], torch.zeros(4)
    rows = [torch.stack([s, zero, pose[:, 1]], 1), torch.stack([zero, s, pose[:, 2]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), [4, 3, 12, 12], align_corners=corners)
    expected = F.grid_sample(objects, grid, align_corners=corners)
    made = paste(objects, pose, 12, align_corners=corners)
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)

    weight = waves(4, 3, 12, 12)
    theirs = torch.autograd.grad((expected * weight).sum(), [objects, pose])
    ours = torch.autograd.grad((made * weight).sum(), [objects, pose])
    torch.testing.assert_close(ours[0], theirs[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(ours[1], theirs[1], atol=1e-3, rtol=1e-4)


def test_known_shift_and_scale():
    """A box of half the frame, moved by whole pixels, holds those pixels."""
    image = waves(1, 1, 8, 8)
    # The center two pixels to the right and one up: (0.5, -0.25) = (-x/2, -y/2).
    pose = torch.tensor([[2.0, -1.0, 0.5]])
    assert torch.equal(box_centers(pose), torch.tensor([[0.5, -0.25]]))
    assert torch.equal(crop(image, pose, 4), image[..., 1:5, 4:8])
    # Twice as coarse: a pixel of an object as large as the frame is the mean of two by two.
    whole = crop(image, torch.tensor([[1.0, 0.0, 0.0]]), 4)
    torch.testing.assert_close(whole, F.avg_pool2d(image, 2))


def test_crop_then_paste_is_identity_in_the_box_and_black_around():
    image, pose = waves(1, 3, 8, 8), torch.tensor([[2.0, -0.5, 1.0]])
    back = paste(crop(image, pose, 4), pose, 8)
    box = (..., slice(0, 4), slice(3, 7))
    assert torch.equal(back[box], image[box])
    back[box] = 0
    assert not back.any()


def test_paste_then_crop_gives_the_object_back():
    thing, pose = waves(1, 2, 4, 4), torch.tensor([[2.0, 0.5, 0.5]])
    assert torch.equal(crop(paste(thing, pose, 8), pose, 4), thing)


def test_a_box_out_of_the_frame_is_black():
    assert crop(torch.ones(1, 1, 8, 8), torch.tensor([[2.0, -9.0, 0.0]]), 4).sum() == 0
    assert paste(torch.ones(1, 1, 4, 4), torch.tensor([[2.0, 0.0, 9.0]]), 8).sum() == 0


def test_leading_axes_are_broadcast():
    objects, poses = waves(2, 1, 3, 1, 4, 4), POSES.repeat(6, 1).view(2, 4, 3, 3)
    made = paste(objects, poses, 8)
    assert made.shape == (2, 4, 3, 1, 8, 8)
    assert torch.equal(made[1, 2, 0], paste(objects[1, 0, 0][None], poses[1, 2, 0][None], 8)[0])


def test_weights_of_a_row():
    """By hand: on a center, between two, half a pixel out, and a pixel out."""
    at = torch.tensor([-0.75, 0.0, -1.0, -1.25])
    expected = [[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0.5, 0, 0, 0], [0, 0, 0, 0]]
    assert bilinear_weights(at, 4).tolist() == expected
    assert pixel_centers(5, align_corners=True).tolist() == [-1, -0.5, 0, 0.5, 1]
    corners = bilinear_weights(torch.tensor([-1.0, 1.0]), 4, align_corners=True)
    assert corners.tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]


def test_bfloat16_arithmetic_around_it_does_not_blur_positions():
    image, pose = waves(1, 1, 64, 64), torch.tensor([[2.0, 0.013, -0.4]])
    with torch.autocast("cpu", torch.bfloat16):
        made = crop(image, pose, 32)
    assert torch.equal(made, crop(image, pose, 32))
