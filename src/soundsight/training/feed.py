"""The device, batches on their way to it, and how long they are waited for."""

import time

import torch

from soundsight.data.loader import Batches
from soundsight.media.clip import Clip


def pick_device(name: str) -> torch.device:
    """The device of this name; "auto" is CUDA where there is one, else the CPU.

    Raises:
        ValueError: if there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA.
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={name!r} cannot be used: {reason}; choose auto or cpu") from error


class Feed:
    """The batches of a training one after the other, on its device.

    On a GPU a batch is copied on a stream of its own, beside what is still being computed; that
    takes page-locked batches (`Batches.pin`).

    Args:
        batches: where they come from. They are begun with the first `draw`.
        device: where the model is.
    """

    def __init__(self, batches: Batches, device: torch.device) -> None:
        self._drawn, self._device = iter(batches), device
        self._copying = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._waited_s = 0.0

    def draw(self) -> Clip:
        """The batch of the next step.

        Raises:
            ValueError, OSError: see `Batches`.
        """
        asked = time.perf_counter()
        _, clip = next(self._drawn)
        self._waited_s += time.perf_counter() - asked
        if self._copying is None:
            return clip.to(self._device)
        with torch.cuda.stream(self._copying):
            clip = clip.to(self._device, non_blocking=True)
        computing = torch.cuda.current_stream(self._device)
        computing.wait_stream(self._copying)
        for part in clip.parts().values():
            part.record_stream(computing)  # Its memory is not given away while it is read.
        return clip

    def waited(self) -> float:
        """Seconds spent waiting for the loader since this was last asked."""
        waited_s, self._waited_s = self._waited_s, 0.0
        return waited_s

    def close(self) -> None:
        """End the loader's thread or processes."""
        self._drawn.close()
