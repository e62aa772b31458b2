"""What a media file may ask of us, and the error for a file that asks more or is no such file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on a file from a stranger; beyond them it is refused, so memory and time stay bounded.

    Raises:
        ValueError: if a bound is not positive.
    """

    max_seconds: float = 4 * 3600
    """Longest file, seconds."""
    max_pixels: int = 8192 * 8192
    """Largest picture, width times height."""
    max_streams: int = 64
    """Most streams in one file."""

    def __post_init__(self) -> None:
        for name in ("max_seconds", "max_pixels", "max_streams"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} must be positive")


DEFAULT_LIMITS = Limits()
"""Ample for any single recording."""


class MediaError(ValueError):
    """A file that cannot be read as asked: "FILE: what is wrong; the rule", one line."""
