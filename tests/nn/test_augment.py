import numpy as np
import pytest
import torch
import torch.nn.functional as F

from soundsight.nn import augment
from soundsight.nn.augment import augment_audio, augment_maps, augment_video, vary

VIDEO_SETS = [("color",), ("translation",), ("cutout",), augment.VIDEO]
AUDIO_SETS = [("shift",), ("gain",), ("polarity",), augment.AUDIO]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(batch=3, frames=4, channels=3, size=16):
    x = torch.rand(batch, frames, channels, size, size, generator=seeded(7))
    return 2 * x - 1


def sounds(batch=3, samples=50):
    return torch.randn(batch, samples, generator=seeded(8))


# ---- What holds for all of them ------------------------------------------------------------------


def test_none_is_the_identity_and_draws_nothing():
    source, video, audio = seeded(), pictures(), sounds()
    before = source.get_state()
    assert augment_video(video, (), source) is video
    assert augment_audio(audio, (), source) is audio
    assert torch.equal(source.get_state(), before)


def test_kinds_of_the_other_modality_change_nothing():
    assert augment_video(pictures(), augment.AUDIO, seeded()).equal(pictures())
    assert augment_audio(sounds(), augment.VIDEO, seeded()).equal(sounds())


@pytest.mark.parametrize("kinds", VIDEO_SETS)
def test_all_frames_of_a_clip_are_changed_alike(kinds):
    still = pictures(6, 1).expand(-1, 5, -1, -1, -1)
    changed = augment_video(still, kinds, seeded())
    torch.testing.assert_close(changed, changed[:, :1].expand(-1, 5, -1, -1, -1))
    assert not torch.equal(changed, still)


@pytest.mark.parametrize("kinds", VIDEO_SETS)
def test_clips_are_changed_apart(kinds):
    same = pictures(1).expand(6, -1, -1, -1, -1)
    changed = augment_video(same, kinds, seeded())
    assert len({tuple(clip.flatten().tolist()) for clip in changed}) > 1


@pytest.mark.parametrize("kinds", VIDEO_SETS)
def test_gradients_reach_pictures(kinds):
    video = pictures(2, 2, 3, 8).double().requires_grad_()
    weight = torch.cos(torch.arange(video.numel(), dtype=torch.float64)).view_as(video)
    (augment_video(video, kinds, seeded()) * weight).sum().backward()
    ahead = video.detach().clone()
    ahead[1, 0, 1, 3, 4] += 1e-3
    difference = augment_video(ahead, kinds, seeded()) - augment_video(
        video.detach(), kinds, seeded()
    )
    expected = (difference * weight).sum() / 1e-3
    torch.testing.assert_close(video.grad[1, 0, 1, 3, 4], expected)
    assert video.grad.abs().sum() > 0


@pytest.mark.parametrize("kinds", AUDIO_SETS)
def test_gradients_reach_sounds(kinds):
    audio = sounds(2, 20).double().requires_grad_()
    augment_audio(audio, kinds, seeded()).square().sum().backward()
    assert (audio.grad != 0).all()


# ---- Pictures ------------------------------------------------------------------------------------


def test_translation_equals_a_loop():
    video = pictures(24, 1, 1, 16)
    moved, seen = augment_video(video, ["translation"], seeded()), set()
    for before, after in zip(video, moved, strict=True):
        found = []
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                expected = torch.zeros_like(before)
                for y in range(max(0, -dy), min(16, 16 - dy)):
                    for x in range(max(0, -dx), min(16, 16 - dx)):
                        expected[:, :, y, x] = before[:, :, y + dy, x + dx]
                if torch.equal(after, expected):
                    found.append((dy, dx))
        assert len(found) == 1
        seen |= set(found)
    assert {dy for dy, _ in seen} == {dx for _, dx in seen} == {-2, -1, 0, 1, 2}


def test_cutout_is_one_square_of_grey_that_may_leave_the_picture():
    video, whole = pictures(60, 2, 3, 16), 0
    cut = augment_video(video, ["cutout"], seeded())
    for before, after in zip(video, cut, strict=True):
        hole = (after == 0).flatten(0, 1)
        assert (hole == hole[0]).all()  # The same in all frames and colours.
        torch.testing.assert_close(after[:, :, ~hole[0]], before[:, :, ~hole[0]])
        rows, columns = (hole[0].any(axis).nonzero()[:, 0] for axis in (1, 0))
        assert hole[0].sum() == len(rows) * len(columns)
        for at in (rows, columns):
            assert len(at) == at[-1] - at[0] + 1 <= 8
            assert len(at) in (7, 8) or at[0] == 0 or at[-1] == 15
        whole += len(rows) == len(columns) == 7
    assert 0 < whole < 60


def test_color_is_affine_per_clip_and_keeps_what_it_should():
    video = pictures(200, 2, 3, 4)
    changed = augment_video(video, ["color"], seeded())
    # Contrast leaves the mean, saturation the grey: the mean moves by the brightness alone.
    brightness = (changed - video).mean((1, 2, 3, 4))
    assert brightness.min() >= -0.5
    assert brightness.max() <= 0.5
    assert brightness.std().item() == pytest.approx(12**-0.5, abs=0.03)

    def parts(x):
        grey = x.mean(2, keepdim=True)
        return grey - grey.mean((1, 3, 4), keepdim=True), x - grey

    (grey, color), (new_grey, new_color) = parts(video), parts(changed)
    contrast = (new_grey / grey).flatten(1).median(1).values
    torch.testing.assert_close(new_grey, contrast[:, None, None, None, None] * grey)
    assert contrast.min() >= 0.5
    assert contrast.max() <= 1.5
    saturation = (new_color / color).flatten(1).median(1).values / contrast
    both = (saturation * contrast)[:, None, None, None, None]
    torch.testing.assert_close(new_color, both * color, atol=1e-5, rtol=1e-4)
    assert saturation.min() >= 0
    assert saturation.max() <= 2 + 1e-4
    assert saturation.mean().item() == pytest.approx(1, abs=0.1)
    assert contrast.mean().item() == pytest.approx(1, abs=0.06)


# ---- Pictures and maps whose edges are repeated --------------------------------------------------


def maps(batch=40, channels=2, height=24, width=16):
    return torch.randn(batch, channels, height, width, generator=seeded(9))


def shifts(before, after, most=(3, 2)):
    """All (dy, dx) by which numpy makes `after` of `before`, repeating edges."""
    high, wide = before.shape[-2:]
    padded = np.pad(before.numpy(), ((0, 0), (most[0],) * 2, (most[1],) * 2), mode="edge")
    found = []
    for dy in range(-most[0], most[0] + 1):
        for dx in range(-most[1], most[1] + 1):
            top, left = most[0] + dy, most[1] + dx
            if np.array_equal(padded[:, top : top + high, left : left + wide], after.numpy()):
                found.append((dy, dx))
    return found


def test_maps_are_shifted_as_numpy_does_with_repeated_edges():
    before = maps(120)
    seen = set()
    for one, moved in zip(before, augment_maps(before, seeded()), strict=True):
        (by,) = shifts(one, moved)  # All channels alike.
        seen.add(by)
    assert {dy for dy, _ in seen} == {-3, -2, -1, 0, 1, 2, 3}
    assert {dx for _, dx in seen} == {-2, -1, 0, 1, 2}


def test_without_rows_bins_stay():
    before = maps(60)
    moved = augment_maps(before, seeded(), rows=False)
    found = [shifts(*pair) for pair in zip(before, moved, strict=True)]
    assert {by for (by,) in found} == {(0, dx) for dx in range(-2, 3)}
    level = torch.arange(24.0)[:, None].expand(5, 1, -1, 16)
    assert torch.equal(augment_maps(level, seeded(), rows=False), level)
    assert not torch.equal(augment_maps(level, seeded()), level)


def test_every_shift_is_equally_likely_and_each_map_has_its_own():
    """Of 3000 equal maps, from what stands in the middle: its row's and its column's number."""
    count = 3000
    rows, columns = torch.arange(24.0)[:, None], torch.arange(16.0)
    plane = torch.stack([rows.expand(-1, 16), columns.expand(24, -1)])
    moved = augment_maps(plane.expand(count, -1, -1, -1), seeded())[:, :, 12, 8].long()
    by = moved - torch.tensor([12, 8])
    for axis, most in ((0, 3), (1, 2)):
        values, counts = by[:, axis].unique(return_counts=True)
        assert values.tolist() == [*range(-most, most + 1)]
        p = 1 / (2 * most + 1)
        assert (counts / count - p).abs().max() < 5 * (p * (1 - p) / count) ** 0.5
    # Up and sideways are drawn apart: all pairs occur.
    assert len(by.unique(dim=0)) == 7 * 5


def test_gradients_pass_through_shifts():
    """A shift is linear: <S x, w> is <x, S' w>, and S' w is the gradient."""
    x = maps(6).double().requires_grad_()
    weight = torch.cos(torch.arange(x.numel(), dtype=torch.float64)).view_as(x)
    product = (augment_maps(x, seeded()) * weight).sum()
    product.backward()
    torch.testing.assert_close((x.grad * x).sum(), product)
    # Each output has one input: what all of a map weighs stays, and edges count several times.
    torch.testing.assert_close(x.grad.sum((2, 3)), weight.sum((2, 3)))


def test_the_same_seed_shifts_alike():
    once, twice, other = (augment_maps(maps(), seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(once, twice)
    assert not torch.equal(once, other)


def test_pictures_that_vary_are_shifted_and_whole():
    before = maps(30, channels=3, height=16)
    assert torch.equal(vary(before, "image", seeded()), augment_maps(before, seeded()))


def test_sounds_that_vary_keep_their_bins_and_hide_parts():
    """Bin k of each map is k, but for a band and a span, which are the map's mean."""
    level = torch.arange(24.0)[:, None].expand(50, 1, 24, 16)
    varied = vary(level, "sound", seeded())
    hidden = varied != level
    assert (varied[hidden] == 11.5).all()
    bands, spans = hidden.all(3).sum((1, 2)), hidden.all(2).sum((1, 2))
    # At most an eighth, and a span as much longer as it is shifted into an edge.
    assert 0 < bands.max() <= 3
    assert 0 < spans.max() <= 2 + 2
    for one, band, span in zip(hidden[:, 0], bands, spans, strict=True):
        assert one.sum() == band * 16 + span * 24 - band * span
    # Moments are moved.
    before = maps(30, channels=1)
    moved = vary(before, "sound", seeded())
    same = (moved == before).flatten(1).float().mean(1)
    assert (same < 0.5).any()
    assert torch.equal(moved, vary(before, "sound", seeded()))


# ---- Sounds --------------------------------------------------------------------------------------


def test_shift_is_circular():
    audio = sounds(30)
    shifted, by = augment_audio(audio, ["shift"], seeded()), set()
    torch.testing.assert_close(shifted.sum(1), audio.sum(1))
    for before, after in zip(audio, shifted, strict=True):
        (found,) = [k for k in range(50) if torch.equal(before.roll(-k), after)]
        by.add(found)
    assert len(by) > 15
    assert max(by) > 35


def test_gain_is_a_factor_of_at_most_six_decibels():
    audio = sounds(300)
    ratio = augment_audio(audio, ["gain"], seeded()) / audio
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    level = 20 * ratio[:, 0].log10()
    assert level.abs().max() <= 6 + 1e-4
    assert level.min() < -5
    assert level.max() > 5


def test_polarity_is_a_coin():
    sign = augment_audio(torch.ones(400, 3), ["polarity"], seeded())
    assert (sign == sign[:, :1]).all()
    assert set(sign.flatten().tolist()) == {-1, 1}
    assert sign.mean().abs() < 0.15


# ---- Excerpts ------------------------------------------------------------------------------------


def numbered(batch, frames):
    """Clip b's frame k is all 100 b + k."""
    value = 100 * torch.arange(batch)[:, None] + torch.arange(frames)
    return value[..., None, None, None].expand(-1, -1, 1, 2, 2).float()


def test_random_frames_are_of_their_own_clip_and_any_time():
    frames = augment.random_frames(numbered(200, 5), seeded())
    assert frames.shape == (200, 1, 2, 2)
    value = frames[:, 0, 0, 0]
    assert torch.equal(value // 100, torch.arange(200.0))
    assert set((value % 100).tolist()) == {0, 1, 2, 3, 4}


def test_random_windows_are_consecutive_and_start_anywhere():
    windows = augment.random_windows(numbered(200, 6), 4, seeded())[..., 0, 0, 0]
    assert torch.equal(windows.diff(dim=1), torch.ones(200, 3))
    assert torch.equal(windows[:, 0] // 100, torch.arange(200.0))
    assert set((windows[:, 0] % 100).tolist()) == {0, 1, 2}
    video = numbered(3, 6)
    assert augment.random_windows(video, 6, seeded()) is video


def test_augmentations_of_a_padded_picture_bring_in_grey():
    """Zero is the middle of [-1, 1]: what moves in is neither dark nor bright."""
    moved = augment_video(torch.ones(50, 1, 1, 16, 16), ["translation"], seeded())
    assert set(moved.flatten().tolist()) == {0, 1}
    assert F.avg_pool2d(moved[:, 0], 16).min() >= (14 / 16) ** 2
