"""The sound chunk encoder of Sound2Sight: one frame's spectrogram to a code."""

from jaxtyping import Float
from torch import Tensor, nn

from soundsight.nn.dcgan import ConvBlock


class ChunkEncoder(nn.Module):
    """Spectrogram chunks of f bins and k columns to codes in [-1, 1].

    Two layouts, as published: the first for chunks of about 23 x 21 (M3SO), the second, with two
    layers of stride (2, 1), for chunks of 40 bins and more, about 45 x 17 (Drums, Painting).

    Raises:
        ValueError: if the chunk is too small for four layers of 4 x 4 kernels.
    """

    def __init__(self, bins: int, columns: int, code: int, width: int = 64) -> None:
        super().__init__()
        w = [width, 2 * width, 4 * width, 8 * width]
        if bins < 40:
            head = [nn.Conv2d(1, w[0], 4), nn.Conv2d(w[0], w[1], 4, 2, 1)]
            rest = ((bins - 3) // 2, (columns - 3) // 2)
        else:
            head = [nn.Conv2d(1, w[0], 4, (2, 1)), nn.Conv2d(w[0], w[1], 4, (2, 1), (2, 0))]
            rest = (((bins - 4) // 2 + 1) // 2 + 1, columns - 6)
        tail = [nn.Conv2d(w[1], w[2], 4, 2, 1), nn.Conv2d(w[2], w[3], 4, 2, 1)]
        kernel = (rest[0] // 4, rest[1] // 4)
        if min(kernel) < 1:
            raise ValueError(
                f"sound chunks of {bins} bins x {columns} columns are too small for the chunk "
                f"encoder: it needs at least 11 x 11; use a larger n_fft or a smaller hop_length"
            )
        self.blocks = nn.ModuleList(ConvBlock(conv) for conv in [*head, *tail])
        self.code = ConvBlock(nn.Conv2d(w[3], code, kernel), "tanh")

    def forward(self, chunks: Float[Tensor, "m 1 f k"], steps: int = 1) -> Float[Tensor, "m d"]:
        """Codes (m, d) of m chunks, time-major, of `steps` separate batches (`StepBatchNorm`)."""
        x = chunks
        for block in self.blocks:
            x = block(x, steps)
        return self.code(x, steps)[:, :, 0, 0]
