"""Who turns clips into features: judges that were trained here, and published networks from files.

A published network is a TorchScript program in a local file; nothing is downloaded. It is given
what `KINDS` says, and nothing in the file says whether that is what it expects: files of one
network differ in the range they take. It returns features, or a pair of features and logits. A
score is void without the network that made it, so the file's checksum is part of its
name. TorchScript is no pickle, but it is a program: open only what you trust.
(Exported programs, `.pt2`, are refused: torch.export.load falls back to pickle.)
"""

import hashlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from soundsight.media.clip import Clip
from soundsight.models.judges import Classifier

Part = Literal["audio", "video", "image"]
"""What is looked at: the sound, all frames together, or each frame by itself."""
VGGISH_RATE, VGGISH_WINDOW, VGGISH_HOP, VGGISH_FFT = 16_000, 400, 160, 512
VGGISH_MELS, VGGISH_EDGES_HZ, VGGISH_FLOOR = 64, (125.0, 7500.0), 0.01
VGGISH_COLUMNS = 96
I3D_FRAMES = 9
"""Fewest frames of which I3D makes anything: it halves time three times and then pools two."""
SINC_ZEROS, SINC_ROLLOFF = 16, 0.95
"""Of the resampling filter: zero crossings on each side, and cut-off as a share of half the lower
of both rates."""


class Outputs(NamedTuple):
    """What one pass of a network says of clips, on the CPU."""

    features: Float[Tensor, "b d"]
    """One row for each clip; of "image", for each frame, a clip's frames one after another."""
    probabilities: Float[Tensor, "b k"] | None
    """Of the classes, in the same rows; None if it tells none."""


@runtime_checkable
class Extractor(Protocol):
    """Anything that turns clips into features."""

    @property
    def name(self) -> str:
        """Name in reports; different networks have different ones."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 of the file that holds the weights, hexadecimal."""
        ...

    @property
    def part(self) -> Part:
        """What it looks at."""
        ...

    def outputs(self, clip: Clip) -> Outputs:
        """Features and probabilities of clips, by one pass of the network."""
        ...


@dataclass(frozen=True)
class JudgeExtractor:
    """A classifier that was trained here, with dropout off, on its own device.

    Features of a clip are the same in any batch.
    """

    judge: Classifier
    name: str
    sha256: str

    @property
    def part(self) -> Part:
        """What it looks at."""
        return self.judge.part

    @torch.no_grad()
    def outputs(self, clip: Clip) -> Outputs:
        """Features and probabilities of its classes.

        A judge of pitch hears the clips twice: its probabilities are no function of its features,
        but a mean over steps.

        Raises:
            ValueError: if the clips are not like those it knows.
        """
        judge = self.judge.eval()
        clip = clip.to(next(judge.parameters()).device)
        features = judge.features(clip)
        by_steps = judge.config.target == "pitch"
        logits = judge.logits(clip) if by_steps else judge.to_logits(features)
        return Outputs(features.cpu(), logits.softmax(1).cpu())


class Kind(NamedTuple):
    """How a published network is fed."""

    part: Part
    given: str
    """What it is given, with its range, for people."""
    prepare: Callable[[Clip], Float[Tensor, "m ..."]]
    """Its input; rows of one clip, or one frame of it, stand one after another."""


@dataclass(frozen=True)
class FileExtractor:
    """A published network from a local file, on the CPU."""

    kind: str
    path: Path
    sha256: str
    network: Callable[[Tensor], object]

    @property
    def name(self) -> str:
        """Its kind, and the beginning of its file's checksum."""
        return f"{self.kind}@{self.sha256[:12]}"

    @property
    def part(self) -> Part:
        """What it looks at."""
        return KINDS[self.kind].part

    @torch.no_grad()
    def outputs(self, clip: Clip) -> Outputs:
        """Features and, if the network returns logits, their softmax.

        They are of each clip; of "image", of each frame; of VGGish, means over 0.96 s patches.

        Raises:
            ValueError: if the clips cannot be shown to this kind, or the network fails on what it
                is shown or returns no features.
        """
        clip = clip.to("cpu")
        shown = KINDS[self.kind].prepare(clip)
        try:
            found = self.network(shown)
        except Exception as error:  # A foreign program: whatever it raises is about the file.
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise ValueError(
                f"{self.path}: fails on what {self.kind} is given, {KINDS[self.kind].given}, here "
                f"of shape {tuple(shown.shape)}: {reason[-1]}"
            ) from error
        both = found if isinstance(found, tuple | list) else (found, None)
        rows = len(clip) * (clip.spec.frames if self.part == "image" else 1)
        if self.part == "image" and clip.video is not None:
            rows = clip.video.shape[0] * clip.video.shape[1]
        features = self._checked(both[0] if both else None, len(shown), rows)
        logits = both[1] if len(both) > 1 else None
        if logits is None:
            return Outputs(features, None)
        return Outputs(features, self._checked(logits, len(shown), rows).softmax(1))

    def _checked(self, found: object, shown: int, rows: int) -> Float[Tensor, "b d"]:
        """A matrix with a row for each clip or frame."""
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != shown:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(
                f"{self.path}: returns {shape} for {shown} inputs; an extractor returns features "
                f"of shape ({shown}, d), or a pair of features and logits"
            )
        return found.float().unflatten(0, (rows, -1)).mean(1)


def open_extractor(text: str) -> FileExtractor:
    """Open a published network.

    Args:
        text: "kind=path", such as "i3d=/models/i3d_torchscript.pt"; kinds and what each is given
            are in `KINDS`.

    Raises:
        ValueError: if the text is no such pair, the kind is unknown, or the file is absent or no
            TorchScript program.
    """
    kind, equals, place = text.partition("=")
    if not equals or not place:
        raise ValueError(f"extractor {text!r} must be KIND=FILE, with KIND of {', '.join(KINDS)}")
    if kind not in KINDS:
        raise ValueError(f"extractor {text!r}: kind {kind!r} must be one of {', '.join(KINDS)}")
    path = Path(place).expanduser()
    if not path.is_file():
        raise ValueError(f"extractor {text!r}: there is no file {path}; it has to be fetched first")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileExtractor(kind, path, sha256, _load(path))


def _load(path: Path) -> Callable[[Tensor], object]:
    try:
        with warnings.catch_warnings():
            # There is no other format that runs without its source and is no pickle.
            warnings.filterwarnings("ignore", ".*torch.jit.load.*deprecated", DeprecationWarning)
            network = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"{path}: no TorchScript program ({str(error).strip().splitlines()[0]}); make one with "
            f"torch.jit.trace(network, example).save(file)"
        ) from error
    return network.eval()


# ---- What each kind is given ---------------------------------------------------------------------


def _pictures(clip: Clip, size: int, kind: str) -> Float[Tensor, "b t c h w"]:
    """Frames of a size, RGB, in [-1, 1]."""
    if clip.video is None:
        raise ValueError(f"clips without video: {kind} looks at pictures")
    video = clip.video.expand(-1, -1, 3, -1, -1)
    scaled = F.interpolate(
        video.flatten(0, 1), (size, size), mode="bilinear", align_corners=False, antialias=True
    )
    return 2 * scaled.unflatten(0, video.shape[:2]).clamp(0, 1) - 1


def _i3d(clip: Clip) -> Float[Tensor, "b c t h w"]:
    if clip.video is not None and clip.video.shape[1] < I3D_FRAMES:
        raise ValueError(f"clips of {clip.video.shape[1]} frames: i3d needs at least {I3D_FRAMES}")
    return _pictures(clip, 224, "i3d").transpose(1, 2)


def _inception(clip: Clip) -> Float[Tensor, "m c h w"]:
    return _pictures(clip, 299, "inception").flatten(0, 1)


def _sound(clip: Clip, rate: int, kind: str) -> Float[Tensor, "b n"]:
    if clip.audio is None:
        raise ValueError(f"clips without audio: {kind} listens to sound")
    return resample(clip.audio, clip.spec.sample_rate, rate)


def _waveform(rate: int, kind: str) -> Callable[[Clip], Float[Tensor, "b n"]]:
    return lambda clip: _sound(clip, rate, kind)


def _vggish(clip: Clip) -> Float[Tensor, "m 1 k f"]:
    """Log-mel patches of 96 columns and 64 bins, one after another; what is left over is dropped.

    Source:
        Hershey et al., CNN architectures for large-scale audio classification, 2017, and the
        parameters released with it: magnitudes, the HTK mel scale, log(x + 0.01).
    """
    wave = _sound(clip, VGGISH_RATE, "vggish")
    columns = 1 + (wave.shape[1] - VGGISH_WINDOW) // VGGISH_HOP
    if columns < VGGISH_COLUMNS:
        least = (VGGISH_WINDOW + (VGGISH_COLUMNS - 1) * VGGISH_HOP) / VGGISH_RATE
        raise ValueError(
            f"clips of {clip.spec.seconds:.3f} s: vggish needs at least {least:.3f} s of sound"
        )
    windows = wave.unfold(1, VGGISH_WINDOW, VGGISH_HOP) * torch.hann_window(VGGISH_WINDOW)
    magnitude = torch.fft.rfft(windows, VGGISH_FFT).abs()
    log_mel = (magnitude @ _htk_filters() + VGGISH_FLOOR).log()
    patches = columns // VGGISH_COLUMNS
    kept = log_mel[:, : patches * VGGISH_COLUMNS]
    return kept.reshape(-1, 1, VGGISH_COLUMNS, VGGISH_MELS)


def _htk_filters() -> Float[Tensor, "f m"]:
    """Triangles of height 1, even on the HTK mel scale 1127 log(1 + f / 700)."""

    def mel(hertz: Float[Tensor, " i"]) -> Float[Tensor, " i"]:
        return 1127 * (hertz / 700).log1p()

    low, high = mel(torch.tensor(VGGISH_EDGES_HZ, dtype=torch.float64)).tolist()
    edges = torch.linspace(low, high, VGGISH_MELS + 2, dtype=torch.float64)
    bins = torch.linspace(0, VGGISH_RATE / 2, VGGISH_FFT // 2 + 1, dtype=torch.float64)
    rise = (mel(bins)[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - mel(bins)[:, None]) / (edges[2:] - edges[1:-1])
    return torch.minimum(rise, fall).clamp(min=0).float()


def resample(audio: Float[Tensor, "b n"], old: int, new: int) -> Float[Tensor, "b m"]:
    """Waveforms at another sample rate, by a windowed sinc.

    Args:
        audio: waveforms at `old` Hz, shape (b, n); taken as silent before and after.
        old: their sample rate, Hz.
        new: the one wanted, Hz.

    Returns:
        Sample i stands at i / new s; m = ceil(n * new / old).

    Source:
        J. O. Smith, "Digital audio resampling", ccrma.stanford.edu/~jos/resample.
    """
    if old == new:
        return audio
    step, phases = old // math.gcd(old, new), new // math.gcd(old, new)
    cutoff = min(old, new) / old * SINC_ROLLOFF  # As a share of half the old rate.
    reach = math.ceil(SINC_ZEROS / cutoff)
    # Sample i of the new ones is at i * step / phases of the old ones: phase i mod phases.
    offset = torch.arange(phases, dtype=torch.float64)[:, None] * step / phases
    whole = torch.arange(-reach, reach + step + 1, dtype=torch.float64)
    distance = (whole - offset) * cutoff
    window = torch.cos(distance.clamp(-SINC_ZEROS, SINC_ZEROS) * math.pi / SINC_ZEROS / 2) ** 2
    kernel = (cutoff * torch.sinc(distance) * window).to(audio.dtype)
    padded = F.pad(audio, (reach, reach + step))
    made = F.conv1d(padded[:, None], kernel[:, None], stride=step)
    return made.transpose(1, 2).flatten(1)[:, : math.ceil(audio.shape[1] * new / old)]


KINDS: dict[str, Kind] = {
    "clap": Kind(
        "audio", "the whole waveform of 48 kHz, full scale ±1, b n", _waveform(48_000, "clap")
    ),
    "i3d": Kind("video", "RGB frames of 224 px in [-1, 1], b c t h w", _i3d),
    "inception": Kind("image", "RGB frames of 299 px in [-1, 1], b c h w", _inception),
    "panns": Kind(
        "audio", "the whole waveform of 32 kHz, full scale ±1, b n", _waveform(32_000, "panns")
    ),
    "panns_16k": Kind(
        "audio", "the whole waveform of 16 kHz, full scale ±1, b n", _waveform(16_000, "panns_16k")
    ),
    "vggish": Kind(
        "audio",
        "log(x + 0.01) of mel magnitudes, neither scaled nor shifted, 16 kHz, patches of "
        "96 x 64, m 1 96 64",
        _vggish,
    ),
}
"""Networks: what each looks at and is given.

A file that expects another range gives numbers all the same, and they mean nothing. The
TorchScript Inception that NVIDIA distributes with StyleGAN is one: it takes 0 to 255 and scales
inside, so it has to be wrapped in a program that is given [-1, 1] and hands on 127.5 (x + 1).
"""
