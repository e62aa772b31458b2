"""Differentiable augmentations of what a discriminator sees (DiffAugment).

Real and generated samples are changed by the same law, in the discriminator's step and in the
generator's, and gradients pass through: so nothing of it leaks into what is generated. All frames
of a clip are changed alike.

Source: Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, 2020.
"""

from collections.abc import Callable, Collection

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor

from soundsight.nn.trunks import hide_parts

Draw = Callable[[], Float[Tensor, " b"]]
"""One uniform number in [0, 1) for each clip."""

VIDEO = ("color", "translation", "cutout")
AUDIO = ("shift", "gain", "polarity")
TRANSLATION, CUTOUT = 1 / 8, 1 / 2
"""Largest shift and side of the hole, as shares of the picture's side."""
GAIN_DB = 6.0
"""Largest change of the level, dB."""


def _uniform(clips: Tensor, generator: Generator) -> Draw:
    return lambda: torch.rand(len(clips), generator=generator, device=clips.device)


def augment_video(
    video: Float[Tensor, "b t c h w"], kinds: Collection[str], generator: Generator
) -> Float[Tensor, "b t c h w"]:
    """Change pictures.

    Args:
        video: frames in [-1, 1].
        kinds: of `VIDEO`. "color": brightness ±0.5, saturation by 0 to 2, contrast by 0.5 to 1.5;
            "translation": by up to an eighth of the side, grey moves in; "cutout": a grey square
            of half the side.
        generator: source of the draws, one set a clip.
    """
    draw = _uniform(video, generator)
    if "color" in kinds:
        brightness, saturation, contrast = (draw()[:, None, None, None, None] for _ in range(3))
        video = video + brightness - 0.5
        grey = video.mean(2, keepdim=True)
        video = grey + (video - grey) * 2 * saturation
        mean = video.mean((1, 2, 3, 4), keepdim=True)
        video = mean + (video - mean) * (contrast + 0.5)
    if "translation" in kinds:
        video = _translate(video, draw)
    if "cutout" in kinds:
        video = _cut_out(video, draw)
    return video


def _translate(video: Float[Tensor, "b t c h w"], draw: Draw) -> Float[Tensor, "b t c h w"]:
    size = video.shape[-1]
    most = round(size * TRANSLATION)
    moves = [(draw() * (2 * most + 1)).long() for _ in range(2)]
    at = torch.arange(size, device=video.device)
    rows, columns = (at + move[:, None] for move in moves)  # In the padded picture.
    padded = F.pad(video.flatten(1, 2), (most,) * 4)
    layers, side = padded.shape[1], padded.shape[2]
    padded = padded.gather(2, rows[:, None, :, None].expand(-1, layers, -1, side))
    shifted = padded.gather(3, columns[:, None, None, :].expand(-1, layers, size, -1))
    return shifted.unflatten(1, video.shape[1:3])


def _cut_out(video: Float[Tensor, "b t c h w"], draw: Draw) -> Float[Tensor, "b t c h w"]:
    size = video.shape[-1]
    at = torch.arange(size, device=video.device)
    inside = [
        ((at - (draw()[:, None] * (size + 1)).floor()).abs() < size * CUTOUT / 2) for _ in range(2)
    ]
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return video * ~hole[:, None, None]


def augment_maps(
    maps: Float[Tensor, "b c h w"], generator: Generator, *, rows: bool = True
) -> Float[Tensor, "b c h w"]:
    """Shift pictures, or sound maps, by up to an eighth of their sides; their edges are repeated.

    Args:
        maps: of any shape and range.
        generator: source of the draws, one set a map.
        rows: shift up and down as well as sideways; False for sound maps whose bins have to stay.
    """
    draw = _uniform(maps, generator)
    for axis in (2, 3)[not rows :]:
        size, most = maps.shape[axis], round(maps.shape[axis] * TRANSLATION)
        move = (draw() * (2 * most + 1)).long() - most
        at = (torch.arange(size, device=maps.device) + move[:, None]).clamp(0, size - 1)
        at = at[:, None, :, None] if axis == 2 else at[:, None, None]
        maps = maps.gather(axis, at.expand_as(maps))
    return maps


def vary(
    maps: Float[Tensor, "b c h w"], part: str, generator: Generator
) -> Float[Tensor, "b c h w"]:
    """Change what a network learns to tell classes from, not what they are.

    Args:
        maps: pictures, or log-mel maps of sounds.
        part: "image", shifted; or "sound", shifted in time, a band and a span hidden.
        generator: source of the draws.
    """
    if part == "sound":
        maps = hide_parts(maps, generator)
    return augment_maps(maps, generator, rows=part == "image")


def augment_audio(
    audio: Float[Tensor, "b n"], kinds: Collection[str], generator: Generator
) -> Float[Tensor, "b n"]:
    """Change sounds.

    Args:
        audio: waveforms.
        kinds: of `AUDIO`. "shift": round in time, by any amount; "gain": by ±6 dB; "polarity":
            upside down or not.
        generator: source of the draws, one set a clip.
    """
    draw, length = _uniform(audio, generator), audio.shape[1]
    if "shift" in kinds:
        start = (draw() * length).long()[:, None]
        at = torch.arange(length, device=audio.device)
        audio = audio.gather(1, (at + start) % length)
    if "gain" in kinds:
        audio = audio * 10 ** (GAIN_DB * (2 * draw()[:, None] - 1) / 20)
    if "polarity" in kinds:
        audio = audio * torch.where(draw() < 0.5, -1.0, 1.0)[:, None]
    return audio


def random_frames(
    video: Float[Tensor, "b t c h w"], generator: Generator
) -> Float[Tensor, "b c h w"]:
    """One frame of each clip: MoCoGAN's S_1."""
    at = torch.randint(video.shape[1], (len(video),), generator=generator, device=video.device)
    return video[torch.arange(len(video), device=video.device), at]


def random_windows(
    video: Float[Tensor, "b t c h w"], frames: int, generator: Generator
) -> Float[Tensor, "b i c h w"]:
    """`frames` consecutive frames of each clip: MoCoGAN's S_T."""
    starts = video.shape[1] - frames + 1
    if starts == 1:
        return video
    first = torch.randint(starts, (len(video), 1), generator=generator, device=video.device)
    rows = torch.arange(len(video), device=video.device)[:, None]
    return video[rows, first + torch.arange(frames, device=video.device)]
