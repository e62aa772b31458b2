"""Small residual encoders of pictures and of maps: strided stages, then a coarse mean."""

import itertools

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soundsight.nn.trunks import Stage

GRID = 4
"""Height and width of the grid of means that is left of a map."""


class ResidualEncoder(nn.Module):
    """Stages of half the height and width each, then means over a grid of 4 x 4 of what is left.

    It takes the place of convolutions followed by one huge linear layer, where nearly all the
    parameters of older encoders are.

    Args:
        channels: of what is encoded.
        widths: channels after each stage.

    Source:
        He et al., Deep Residual Learning for Image Recognition, 2016, figure 3 (shortcuts by 1 x 1
        convolutions). Differs: one convolution a stage; a grid instead of one mean, as where a line
        stands in a spectrogram says what it is.
    """

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        pairs = itertools.pairwise((channels, *widths))
        self.stages = nn.ModuleList(Stage(i, o, temporal=False) for i, o in pairs)
        self.features = widths[-1] * GRID**2
        """Numbers that each picture becomes."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Features of pictures or maps of any size."""
        for stage in self.stages:
            x = stage(x, 1)
        return F.adaptive_avg_pool2d(x, GRID).flatten(1)
