"""Extractors: what networks from files are given, and what is refused."""

import hashlib
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import torch
from torch import Tensor, nn

from soundsight import recipes
from soundsight.data.bounce_tone import BounceTone
from soundsight.evaluation.extractors import (
    KINDS,
    Extractor,
    JudgeExtractor,
    open_extractor,
    resample,
)
from soundsight.media.clip import Clip, ClipSpec

SPEC = ClipSpec(frames=10, fps=10, size=16, channels=3, sample_rate=16_000)


class Echo(nn.Module):
    """Shape and range of what it is given, as features."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        sizes = torch.tensor(x.shape[1:]).to(x.dtype).expand(x.shape[0], -1)
        return torch.cat([flat.amin(1)[:, None], flat.amax(1)[:, None], sizes], dim=1)


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.flatten(1).mean(1)[:, None]
        return mean, torch.cat([mean, -mean], dim=1)


class Flat(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten()


class NeedsImages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean((2, 3))


@pytest.fixture
def saved(tmp_path):
    """Write a network as a TorchScript file; returns its path."""

    def save(network: nn.Module, name: str = "network.pt"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.script(network.eval()).save(str(tmp_path / name))
        return tmp_path / name

    return save


def clips(count: int = 2, **change) -> Clip:
    return BounceTone().build(ClipSpec(**{**vars(SPEC), **change}), "test").clips(range(count))


@pytest.mark.parametrize(
    ("kind", "rows", "sizes"),
    [
        ("i3d", 2, [3, 10, 224, 224]),
        ("inception", 20, [3, 299, 299]),
        ("vggish", 2, [1, 96, 64]),
        ("panns", 2, [32_000]),
        ("panns_16k", 2, [16_000]),
        ("clap", 2, [48_000]),
    ],
)
def test_each_kind_is_given_sizes_of_its_own(kind, rows, sizes, saved):
    extractor = open_extractor(f"{kind}={saved(Echo())}")
    found = extractor.outputs(clips()).features
    assert found.shape == (rows, 2 + len(sizes))
    assert found[0, 2:].tolist() == sizes
    assert found.isfinite().all()
    if extractor.part != "audio":
        assert found[:, 0].min() >= -1
        assert found[:, 0].max() < -0.8  # The dark ground is near -1, not 0.
        assert 0.3 < found[:, 1].max() <= 1
    assert isinstance(extractor, Extractor)


def test_every_kind_is_tested():
    assert set(KINDS) == {"i3d", "inception", "vggish", "panns", "panns_16k", "clap"}


@pytest.mark.parametrize("kind", ["i3d", "inception"])
def test_pictures_are_given_from_minus_1_to_1(kind, saved):
    """Not from 0 to 255, as some files of these networks expect."""
    extractor = open_extractor(f"{kind}={saved(Echo())}")
    assert "in [-1, 1]" in KINDS[kind].given
    for brightness, expected in ((0.0, -1.0), (0.5, 0.0), (1.0, 1.0)):
        clip = clips()
        found = extractor.outputs(clip.replace(video=torch.full_like(clip.video, brightness)))
        torch.testing.assert_close(
            found.features[:, :2], torch.full_like(found[0][:, :2], expected)
        )


@pytest.mark.parametrize("kind", ["clap", "panns", "panns_16k"])
def test_sounds_are_neither_scaled_nor_clipped(kind, saved):
    extractor = open_extractor(f"{kind}={saved(Echo())}")
    assert "full scale ±1" in KINDS[kind].given
    clip = clips()
    for level in (0.01, 1.0, 3.0):
        wave = level * torch.sin(torch.arange(16_000) / 20).expand(2, -1)
        found = extractor.outputs(clip.replace(audio=wave)).features
        inside = torch.tensor([-level, level]).expand(2, -1)
        torch.testing.assert_close(found[:, :2], inside, rtol=0.2, atol=0)


def test_the_documentation_says_what_each_kind_is_given():
    text = (Path(__file__).parents[2] / "docs" / "joint-evaluation.md").read_text("utf-8")
    for kind, told in KINDS.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{kind}` |")]
        assert f"| {told.given} |" in line


class Counting(nn.Module):
    """Says how often it ran before."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("runs", torch.zeros(()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.runs += 1
        found = self.runs.expand(x.shape[0], 2)
        return found, found


def test_a_network_runs_once_for_features_and_probabilities(saved):
    extractor = open_extractor(f"panns={saved(Counting())}")
    runs = [float(extractor.outputs(clips()).features[0, 0]) for _ in range(3)]
    assert runs == [1, 2, 3]


def test_the_files_checksum_is_part_of_the_name(saved):
    one, other = saved(Echo(), "one.pt"), saved(Pair(), "other.pt")
    extractors = [open_extractor(f"i3d={path}") for path in (one, other)]
    assert extractors[0].sha256 == hashlib.sha256(one.read_bytes()).hexdigest()
    assert extractors[0].name == f"i3d@{extractors[0].sha256[:12]}"
    assert extractors[0].name != extractors[1].name


def test_logits_become_probabilities(saved):
    pair = open_extractor(f"panns={saved(Pair())}")
    features, shares = pair.outputs(clips())
    assert features.shape == (2, 1)
    expected = torch.cat([features, -features], dim=1).softmax(1)
    torch.testing.assert_close(shares, expected)
    assert open_extractor(f"panns={saved(Echo(), 'echo.pt')}").outputs(clips())[1] is None


@pytest.mark.parametrize("kind", ["i3d", "inception", "vggish"])
def test_features_do_not_depend_on_the_batch(kind, saved):
    extractor = open_extractor(f"{kind}={saved(Pair())}")
    each = 10 if kind == "inception" else 1
    torch.testing.assert_close(
        extractor.outputs(clips(3)).features[each : 2 * each],
        extractor.outputs(clips(3)[1:2]).features,
    )


def test_pictures_never_need_sound_and_the_other_way(saved):
    path = saved(Echo())
    for kind in KINDS:
        extractor, clip = open_extractor(f"{kind}={path}"), clips()
        part, other = ("audio", "video") if extractor.part == "audio" else ("video", "audio")
        without = extractor.outputs(clip.replace(**{other: None})).features
        assert torch.equal(extractor.outputs(clip).features, without)
        with pytest.raises(ValueError, match=f"clips without {part}: {kind}"):
            extractor.outputs(clip.replace(**{part: None}))


def test_grey_becomes_colour(saved):
    extractor = open_extractor(f"i3d={saved(Echo())}")
    assert extractor.outputs(clips(channels=1)).features[0, 2:].tolist() == [3, 10, 224, 224]


# ---- Refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("i3d", "must be KIND=FILE, with KIND of .*i3d"),
        ("i3d=", "must be KIND=FILE"),
        ("i4d=network.pt", "kind 'i4d' must be one of .*clap.*i3d.*vggish"),
        ("i3d=absent.pt", "there is no file absent.pt"),
    ],
)
def test_what_cannot_be_opened_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        open_extractor(text)


def test_other_files_are_refused(tmp_path):
    text = tmp_path / "notes.pt"
    text.write_text("not a network")
    weights = tmp_path / "weights.pt"
    torch.save({"weight": torch.zeros(2)}, weights)
    exported = tmp_path / "exported.pt2"
    example = (torch.zeros(1, 3, 8, 8),)
    torch.export.save(torch.export.export(NeedsImages(), example), exported)
    for path in (text, weights, exported):
        with pytest.raises(ValueError, match="no TorchScript program"):
            open_extractor(f"inception={path}")


def test_a_network_for_something_else_is_refused(saved):
    extractor = open_extractor(f"i3d={saved(NeedsImages())}")
    with pytest.raises(ValueError, match=r"network.pt: fails on what i3d is given, RGB frames"):
        extractor.outputs(clips())


@pytest.mark.parametrize("network", [Flat(), nn.Identity()])
def test_a_network_without_features_is_refused(network, saved):
    extractor = open_extractor(f"vggish={saved(network)}")
    with pytest.raises(ValueError, match=r"for 2 inputs; an extractor returns features"):
        extractor.outputs(clips())


def test_too_short_clips_are_refused(saved):
    path = saved(Echo())
    with pytest.raises(ValueError, match="8 frames: i3d needs at least 9"):
        open_extractor(f"i3d={path}").outputs(clips(frames=8))
    with pytest.raises(ValueError, match=r"vggish needs at least 0.975 s"):
        open_extractor(f"vggish={path}").outputs(clips(frames=9))


# ---- What is computed ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"), [(8000, 16_000), (16_000, 48_000), (44_100, 16_000), (6000, 32_000)]
)
def test_resampled_tones_are_the_same_tones(old, new):
    def tone(rate: int) -> Tensor:
        t = torch.arange(rate, dtype=torch.float64) / rate
        return (0.5 * torch.sin(2 * math.pi * 1000 * t + 0.3)).float()[None]

    made = resample(tone(old), old, new)
    assert made.shape == (1, new)
    inside = slice(new // 10, -new // 10)
    torch.testing.assert_close(made[0, inside], tone(new)[0, inside], atol=2e-3, rtol=0)


def test_resampling_down_removes_what_the_new_rate_cannot_carry():
    t = torch.arange(48_000, dtype=torch.float64) / 48_000
    wave = torch.sin(2 * math.pi * 11_000 * t).float()[None]
    assert resample(wave, 48_000, 16_000)[0, 1000:-1000].abs().max() < 0.01
    assert resample(wave, 48_000, 48_000) is wave


def test_vggish_patches_equal_an_independent_computation(saved):
    """By scipy's short-time transform and triangles in a loop, as the parameters are published."""
    clip = clips(1)
    patches = KINDS["vggish"].prepare(clip)[0, 0].numpy()
    frames = scipy.signal.ShortTimeFFT(
        scipy.signal.windows.hann(400, sym=False), hop=160, fs=16_000, mfft=512, phase_shift=None
    )
    wave = clip.audio[0].double().numpy()
    columns = np.stack([
        np.abs(np.fft.rfft(wave[160 * k : 160 * k + 400] * frames.win, 512)) for k in range(96)
    ])  # fmt: skip
    edges = 700 * np.expm1(
        np.linspace(1127 * np.log1p(125 / 700), 1127 * np.log1p(7500 / 700), 66) / 1127
    )
    mels = np.zeros((96, 64))
    for m in range(64):
        for i, hertz in enumerate(np.linspace(0, 8000, 257)):
            low, middle, high = (np.log1p(edge / 700) for edge in edges[m : m + 3])
            at = np.log1p(hertz / 700)
            height = min((at - low) / (middle - low), (high - at) / (high - middle))
            mels[:, m] += columns[:, i] * max(0, height)
    np.testing.assert_allclose(patches, np.log(mels + 0.01), atol=1e-3)


# ---- Our own judges ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sound", "video", "image", "pitch"])
def test_judges_are_extractors(name):
    recipe = recipes.load(f"judge_{name}_tiny")
    torch.manual_seed(0)
    judge = recipe.model.build(recipe.clip).train()
    extractor = JudgeExtractor(judge, f"judge_{name}", "0" * 64)
    assert isinstance(extractor, Extractor)
    clip = recipe.data.build(recipe.clip, "test").clips([0, 1, 2])
    features, shares = extractor.outputs(clip)
    rows = 30 if name == "image" else 3
    assert len(features) == len(shares) == rows
    assert not features.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(features, judge.features(clip))
        torch.testing.assert_close(shares, judge.logits(clip).softmax(1))
    alone = extractor.outputs(clip[1:2]).features
    torch.testing.assert_close(features[rows // 3 : 2 * rows // 3], alone, atol=1e-5, rtol=1e-4)


def test_a_judge_of_classes_runs_once():
    recipe = recipes.load("judge_sound_tiny")
    judge, runs = recipe.model.build(recipe.clip), []
    judge.trunk.register_forward_hook(lambda *_: runs.append(1))
    JudgeExtractor(judge, "judge_sound", "0" * 64).outputs(
        recipe.data.build(recipe.clip, "test").clips([0, 1])
    )
    assert len(runs) == 1
