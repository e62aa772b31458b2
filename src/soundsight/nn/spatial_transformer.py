"""Crop a box out of an image, and paste it back: a spatial transformer without rotation.

A pose is (s, x, y): image coordinate v, in [-1, 1] from edge to edge, shows the object at s v + x
(across) or s v + y (down).  So the object fills a box 1/s as wide as the image, with its center at
(-x/s, -y/s).  Outside of what is sampled there is black.

Such a map moves rows and columns each by themselves, so that bilinear sampling is one matrix times
the image times another: differentiable in image and pose, and free of the scattered additions
whose order, and so whose result, differs from run to run on GPUs.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def pixel_centers(size: int, *, align_corners: bool = False) -> Float[Tensor, " n"]:
    """Coordinates of the centers of `size` pixels.

    Args:
        size: number n of pixels in a row.
        align_corners: whether -1 and 1 are the centers of the first and last pixel, not their
            outer edges.

    Example:
        >>> pixel_centers(4).tolist()
        [-0.75, -0.25, 0.25, 0.75]
    """
    if align_corners:
        return torch.linspace(-1.0, 1.0, size)
    return (2 * torch.arange(size) + 1 - size) / size


def bilinear_weights(
    at: Float[Tensor, "*p n"], size: int, *, align_corners: bool = False
) -> Float[Tensor, "*p n m"]:
    """How much each of m = `size` pixels in a row counts at n coordinates.

    Args:
        at: coordinates; those out of [-1, 1] are in the black.
        size: number m of pixels.
        align_corners: see `pixel_centers`.

    Returns:
        Weights in [0, 1], at most two of a row not 0; they add up to 1 between pixels' centers and
        fall to 0 within a pixel beyond the outermost ones.
    """
    index = (at + 1) * (size - 1) / 2 if align_corners else ((at + 1) * size - 1) / 2
    pixels = torch.arange(size, device=at.device, dtype=at.dtype)
    return torch.relu(1 - (index[..., None] - pixels).abs())


def crop(
    images: Float[Tensor, "*#p c h w"],
    pose: Float[Tensor, "*#p 3"],
    size: int,
    *,
    align_corners: bool = False,
) -> Float[Tensor, "... c size size"]:
    """The objects that stand in the boxes of `pose`.

    Args:
        images: images of any range; leading axes are broadcast against those of `pose`.
        pose: (s, x, y), s > 0.
        size: height and width of an object, pixels.
        align_corners: see `pixel_centers`.

    Source:
        Jaderberg et al., "Spatial Transformer Networks" (NeurIPS 2015), equation 5, with an affine
        map of three numbers.
    """
    centers = pixel_centers(size, align_corners=align_corners).to(pose.device)
    at = (centers - pose[..., 1:, None]) / pose[..., :1, None]
    return _resample(images, at, align_corners=align_corners)


def paste(
    objects: Float[Tensor, "*#p c i j"],
    pose: Float[Tensor, "*#p 3"],
    size: int,
    *,
    align_corners: bool = False,
) -> Float[Tensor, "... c size size"]:
    """Black images with the objects in the boxes of `pose`: the way back from `crop`.

    Args:
        objects: as `crop` gives them; leading axes are broadcast against those of `pose`.
        pose: (s, x, y), s > 0.
        size: height and width of an image, pixels.
        align_corners: see `pixel_centers`.
    """
    centers = pixel_centers(size, align_corners=align_corners).to(pose.device)
    at = pose[..., :1, None] * centers + pose[..., 1:, None]
    return _resample(objects, at, align_corners=align_corners)


def box_centers(pose: Float[Tensor, "*p 3"]) -> Float[Tensor, "*p 2"]:
    """Where in the image the centers of boxes are: (x, y) in [-1, 1], y down."""
    return -pose[..., 1:] / pose[..., :1]


def _resample(
    source: Float[Tensor, "*#p c h w"], at: Float[Tensor, "*#p 2 n"], *, align_corners: bool
) -> Float[Tensor, "... c n n"]:
    """Bilinear samples on the grid of coordinates `at`, (across, down), in float32."""
    height, width = source.shape[-2:]
    with torch.autocast(at.device.type, enabled=False):  # bfloat16 cannot tell pixels apart.
        at = at.float()
        across = bilinear_weights(at[..., 0, :], width, align_corners=align_corners)
        down = bilinear_weights(at[..., 1, :], height, align_corners=align_corners)
        rows = down.unsqueeze(-3) @ source.float()
        return rows @ across.unsqueeze(-3).transpose(-1, -2)
