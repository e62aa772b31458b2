"""Pairs of one picture and its sound: what cross-modal models ask of clips, how they sample.

Inside these models pictures and maps are in [-1, 1].
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from soundsight.media.clip import Clip, ClipSpec
from soundsight.nn.log_mel import LogMel, Vocoder, open_vocoder

SIZES = (16, 32, 64, 128)
"""Sides of the pictures that cross-modal networks make, px."""


def check_spec(spec: ClipSpec) -> None:
    """Raise a ValueError unless clips are of one frame, of a side that networks can make."""
    if spec.frames != 1:
        raise ValueError(f"frames={spec.frames}: pairs of a picture and a sound have 1 frame")
    if spec.size not in SIZES:
        raise ValueError(f"size={spec.size}: pictures must have one of {[*SIZES]} px")


def pictures(clip: Clip, spec: ClipSpec) -> Float[Tensor, "b c h w"]:
    """The pictures of clips, in [-1, 1].

    Raises:
        ValueError: if there are none, or they are not as those of `spec`.
    """
    if clip.video is None:
        raise ValueError("the picture of each clip is needed: these have none")
    have, want = tuple(clip.video.shape[1:]), (1, spec.channels, spec.size, spec.size)
    if have != want:
        raise ValueError(f"video of {have} (frames, channels, height, width): must be {want}")
    return 2 * clip.video[:, 0] - 1


@torch.no_grad()
def sound_maps(clip: Clip, log_mel: LogMel) -> Float[Tensor, "b 1 f k"]:
    """Log-mel maps of the sounds of clips.

    Raises:
        ValueError: if there are none, or their rate or length is not what `log_mel` was made for.
    """
    if clip.audio is None:
        raise ValueError("the sound of each clip is needed: these have none")
    if (rate := clip.spec.sample_rate) != (want := log_mel.spec.sample_rate):
        raise ValueError(f"sample_rate={rate}: must be {want}, as in training")
    return log_mel(clip.audio)


def class_labels(clip: Clip, classes: int) -> Int64[Tensor, " b"]:
    """The class of each clip.

    Raises:
        ValueError: if a clip has none, which -1 stands for, or one that the model does not know.
    """
    if clip.label is None:
        raise ValueError("class labels are needed: these clips have none")
    low, high = torch.stack(clip.label.aminmax()).tolist()
    if low < 0:
        raise ValueError(f"label {low}: class labels are needed, there are clips without one")
    if high >= classes:
        raise ValueError(f"label {high}: classes={classes} allows 0 to {classes - 1}")
    return clip.label


def fitting_vocoder(path: str, log_mel: LogMel, *, wanted: bool) -> Vocoder | None:
    """The vocoder of a file, tried on one map; None without a path.

    Args:
        path: of a TorchScript file, see `soundsight.nn.log_mel.open_vocoder`, or nothing.
        log_mel: the maps that it has to read.
        wanted: whether the model makes sounds at all.

    Raises:
        ValueError: if there is no such file, it does not fit, or there is no use for one.
    """
    if not path:
        return None
    if not wanted:
        raise ValueError(f'vocoder={path!r} is for direction="image_to_sound" alone')
    vocoder = open_vocoder(path)
    with torch.device("cpu"):
        vocoder(torch.zeros(1, log_mel.n_mels, log_mel.columns), log_mel.spec.samples)
    return vocoder


# ---- Sampling ------------------------------------------------------------------------------------


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients for a while; each module returns to the mode it had."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def one_by_one(f: Callable[..., Tensor], *inputs: Clip | Tensor) -> Float[Tensor, "b ..."]:
    """`f` of one row at a time, so that a row's result is the same to the bit in any batch.

    (Within a batch it may depend on its place: linear layers of a few numbers round by place.)
    """
    rows = range(len(inputs[0]))
    return torch.cat([f(*(x[row : row + 1] for x in inputs)) for row in rows]).float()
