import dataclasses
import functools
import json
import math

import pytest
import torch
import torch.nn.functional as F
from tests.models.little_forecasts import SPEC, build, time_major, waves
from tests.models.little_forecasts import silent_clips as clips
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl

from soundsight import cli, recipes
from soundsight.contract import Model, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.models.ddpae import (
    DDPAE,
    FIDELITY,
    ROWS,
    Config,
    Latents,
    constrain,
    draw_from,
    normal,
)
from soundsight.nn.latent import Gaussian, kl_divergence
from soundsight.nn.spatial_transformer import box_centers

SMALL = Config(seen=3, num_components=2, image_code=16, content=8, rnn_size=12, frame_channels=4)
model_of = functools.partial(build, SMALL)


def warmed(model):
    """Running averages of some kind, so that batch norm does something."""
    with torch.no_grad():
        model.train().draw(model.infer(time_major(clips())[:3], 9))
    return model


def continued(model, given, samples=1):
    return model.sample(given, num_samples=samples, generator=Streams(0, list(range(len(given)))))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def count(module):
    return sum(p.numel() for p in module.parameters())


# ---- Sizes ---------------------------------------------------------------------------------------


def test_parameter_counts_at_64_px_grey():
    """Worked out by hand: weights and biases, and two for each normalized channel."""
    net = Config().build(ClipSpec(20, size=64)).generator
    half_code = 16 * 8 + 16 * 8 * 16 + 2 * 16 + 16 * 16 * 32 + 2 * 32
    assert count(net.poses.encoder) == half_code + 16 * 32 * 64 + 2 * 64 + 16 * 64 * 256
    assert count(net.encoder) == half_code + 16 * 32 * 128
    assert count(net.decoder) == 16 * (128 * 32 + 32 * 16 + 16 * 8 + 8) + 2 * (32 + 16 + 8)

    def lstm(inputs):
        return 4 * 64 * (inputs + 64 + 2)

    assert count(net.poses.reader) == lstm(256 + 64)
    assert count(net.poses.foreteller) == lstm(2 * 64)
    assert count(net.poses.starter) == lstm(64)
    assert count(net.poses.start) == count(net.poses.transition) == 2 * 65 * 3
    assert (count(net.reader), count(net.content)) == (lstm(128), 2 * 65 * 128)
    assert count(net) == 706_364


def test_number_of_components_costs_no_parameter():
    assert count(model_of(num_components=1)) == count(model_of(num_components=3))


@pytest.mark.parametrize(
    ("size", "channels"), [(16, 1), (20, 3), (24, 1), (32, 3), (40, 1), (64, 1)]
)
def test_any_size_and_color(size, channels):
    spec = ClipSpec(5, size=size, channels=channels)
    model = model_of(spec=spec)
    made = continued(model, clips(2, spec).context(3))
    assert made.video.shape == (2, 5, channels, size, size)
    ((_, loss),) = model.losses(clips(2, spec), step=0, generator=seeded())
    assert loss.total.isfinite()


def test_takes_frames_and_makes_frames():
    model = model_of()
    assert isinstance(model, Model)
    assert isinstance(model, DDPAE)
    assert (model.takes, model.makes) == ({"context"}, {"video"})
    assert set(model.phases()) == {"generator"}
    assert model.deterministic


# ---- The vectorized pass equals the loop ---------------------------------------------------------


def cell(lstm, x, state):
    """One step of an LSTM, by its equations."""
    hidden, memory = state
    suffix = "" if isinstance(lstm, torch.nn.LSTMCell) else "_l0"
    weight_i, weight_h, bias_i, bias_h = (
        getattr(lstm, name + suffix) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    i, f, g, o = (x @ weight_i.T + bias_i + hidden @ weight_h.T + bias_h).chunk(4, dim=1)
    memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(memory), memory


def loop(model, seen, total):
    """The released way: component after component, frame after frame; the means."""
    net, c = model.generator, model.config
    poses, (f, b) = net.poses, seen.shape[:2]
    codes = [poses.encoder(frame) for frame in seen]
    zeros = torch.zeros(b, c.rnn_size)
    above, starting = [zeros] * total, (zeros, zeros)
    frames = [torch.zeros_like(seen[0]) for _ in range(total)]
    for _ in range(c.num_components):
        state, states = (zeros, zeros), []
        for t in range(total):
            if t < f:
                state = cell(poses.reader, torch.cat([codes[t], above[t]], 1), state)
            else:
                state = cell(poses.foreteller, torch.cat([state[0], above[t]], 1), state)
            states.append(state[0])
        above = states
        starting = cell(poses.starter, states[0], starting)
        pose, boxes = poses.start.mean(starting[0]), []
        for hidden in states:
            pose = pose + poses.transition.mean(hidden)
            s = pose[:, :1].clamp(c.scale - 1, c.scale + 1)
            boxes.append(torch.cat([s, pose[:, 1:].tanh() * (s - 0.5)], 1))
        reading = (zeros, zeros)
        for t in range(f):
            thing = stn(seen[t], boxes[t], c, len(seen[t][0, 0]) // 2, inverse=True)
            reading = cell(net.reader, net.encoder(thing), reading)
        thing = net.decoder(net.content.mean(reading[0]))
        frames = [
            frame + stn(thing, box, c, len(seen[0, 0, 0]), inverse=False)
            for frame, box in zip(frames, boxes, strict=True)
        ]
    return torch.stack(frames).clamp(max=1)


def stn(images, pose, c, size, *, inverse):
    """torch's spatial transformer."""
    if inverse:
        pose = torch.cat([1 / pose[:, :1], -pose[:, 1:] / pose[:, :1]], 1)
    (s, x, y), corners = pose.T, c.choice("align_corners")
    zero = torch.zeros_like(s)
    theta = torch.stack([torch.stack([s, zero, x], 1), torch.stack([zero, s, y], 1)], 1)
    grid = F.affine_grid(theta, [len(images), 1, size, size], align_corners=corners)
    return F.grid_sample(images, grid, align_corners=corners)


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("fidelity", FIDELITY)
def test_vectorized_pass_equals_the_released_loop(fidelity, components):
    model = warmed(model_of(fidelity=fidelity, num_components=components)).eval()
    seen = time_major(clips())[:3]
    with torch.no_grad():
        ours, theirs = model.draw(model.infer(seen, 9)), loop(model, seen, 9)
    assert ours.shape == (9, 3, 1, 16, 16)
    assert ours.std() > 0.05
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)


def test_frames_are_the_sum_of_components_and_at_most_one():
    model = warmed(model_of()).eval()
    pose = torch.tensor([[2.0, 0.0, 0.0], [2.0, 1.0, 1.0]])[:, None, None].expand(2, 9, 3, 3)
    with torch.no_grad():
        latents = model.infer(time_major(clips())[:3], 9)._replace(pose=pose)
        both = model.draw(latents)
        alone = [model.draw(Latents(*(part[i : i + 1] for part in latents[:2]), *latents[2:]))
                 for i in range(2)]  # fmt: skip
    assert (alone[0] + alone[1]).max() > 1
    torch.testing.assert_close(both, (alone[0] + alone[1]).clamp(max=1))
    # Half a frame in the middle, and half a frame up and left of it.
    assert not alone[0][..., :4, :].any()
    assert alone[0][..., 4:12, 4:12].min() > 0
    assert alone[1][..., :8, :8].min() > 0
    assert not alone[1][..., 8:, :].any()


# ---- Poses ---------------------------------------------------------------------------------------


def test_poses_stay_in_range():
    far = torch.linspace(-50, 50, 33)
    pose = constrain(torch.cartesian_prod(far, far, far), 2.0)
    assert pose[:, 0].min() == 1
    assert pose[:, 0].max() == 3
    assert (pose[:, 1:].abs() <= pose[:, :1] - 0.5).all()
    # Centers of boxes are in the frame, so that at least a corner is in sight.
    assert box_centers(pose).abs().max() <= 1 - 0.5 / 3
    mild = torch.tensor([[1.5, 0.2, -0.3]])
    expected = [[1.5, math.tanh(0.2), math.tanh(-0.3)]]
    torch.testing.assert_close(constrain(mild, 2.0), torch.tensor(expected))


def test_unrolled_far_beyond_training_poses_stay_in_range_and_frames_in_0_to_1():
    model = warmed(model_of()).eval()
    with torch.no_grad():
        latents = model.infer(time_major(clips())[:3], 60, seeded())
        frames = model.draw(latents)
    assert latents.pose.shape == (2, 60, 3, 3)
    assert latents.pose[..., 0].min() >= 1
    assert latents.pose[..., 0].max() <= 3
    assert frames.min() >= 0
    assert frames.max() <= 1


def test_poses_see_the_past_alone():
    """In the seen part, a later frame changes no earlier pose; in both, all that follow."""
    model = warmed(model_of()).eval()
    seen = time_major(clips())[:3]
    with torch.no_grad():
        before = model.infer(seen, 9).pose
        for frame in range(3):
            changed = seen.clone()
            changed[frame] = 1 - changed[frame]
            gap = (model.infer(changed, 9).pose - before).abs().amax(dim=(0, 2, 3))
            assert not gap[:frame].any()
            assert gap[frame:].min() > 1e-6


def test_a_longer_future_begins_as_a_shorter_one():
    model = warmed(model_of()).eval()
    given = clips().context(3)
    short = continued(model, given.replace(spec=SPEC.with_frames(6)))
    assert short.spec.frames == 6
    torch.testing.assert_close(short.video, continued(model, given).video[:, :6])


# ---- Losses --------------------------------------------------------------------------------------


def test_divergence_from_the_priors_is_torchs():
    like = torch.zeros(1)
    q = Gaussian(waves(6, 4, 3) - 0.5, waves(6, 4, 3) * 2 - 3)
    mean, std = (2.0, 0.0, -1.0), (0.2, 1.0, 0.5)
    expected = torch_kl(
        Normal(q.mean, torch.exp(q.logvar / 2)), Normal(torch.tensor(mean), torch.tensor(std))
    ).sum(dim=(0, 2))
    torch.testing.assert_close(kl_divergence(q, normal(mean, std, like)), expected.mean())
    assert kl_divergence(q, normal((0.0,), (1.0,), like)) > 0


def test_samples_have_the_gaussians_moments_and_no_generator_gives_the_mean():
    q = Gaussian(torch.full((1, 20_000, 2), 3.0), torch.full((1, 20_000, 2), math.log(0.25)))
    drawn = draw_from(q, seeded())
    assert drawn.mean().item() == pytest.approx(3, abs=0.01)
    assert drawn.std().item() == pytest.approx(0.5, rel=0.02)
    assert torch.equal(draw_from(q, seeded()), drawn)
    assert draw_from(q, None) is q.mean


def test_loss_is_the_evidence_lower_bound():
    """As the released code has it, but for constants: log densities of torch's distributions."""
    model, clip = model_of().eval(), clips()
    ((phase, loss),) = model.losses(clip, step=0, generator=seeded(1))
    assert phase == "generator"
    x = time_major(clip)
    z = model.infer(x[:3], 9, seeded(1))
    gap = Normal(x, 0.3).log_prob(x) - Normal(model.draw(z), 0.3).log_prob(x)
    likelihood = gap.sum(dim=(0, 2, 3, 4)).mean()
    priors = {
        "start": Normal(torch.tensor([2.0, 0, 0]), torch.tensor([0.2, 1, 1])),
        "transition": Normal(torch.zeros(3), torch.full((3,), 0.1)),
        "content": Normal(torch.zeros(8), torch.ones(8)),
    }
    total = likelihood
    for name, prior in priors.items():
        q = getattr(z, name)
        kl = torch_kl(Normal(q.mean, (q.logvar / 2).exp()), prior).sum(dim=(0, 2)).mean()
        torch.testing.assert_close(loss.terms[f"kl_{name}"], kl)
        total = total + kl
    assert set(loss.terms) == {"mse", "kl_start", "kl_transition", "kl_content"}
    torch.testing.assert_close(loss.total, total / (16 * 16), rtol=1e-5, atol=0)
    assert z.transition.mean.shape == (2 * 9, 3, 3)


@pytest.mark.parametrize("fidelity", FIDELITY)
def test_every_parameter_learns(fidelity):
    model = model_of(fidelity=fidelity)
    ((_, loss),) = model.losses(clips(), step=0, generator=seeded())
    loss.total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-9, name


# ---- What was released, and what is fixed --------------------------------------------------------


def test_fidelities_differ_in_these_fields():
    assert {key: (FIDELITY["paper"][key], FIDELITY["fixed"][key]) for key in FIDELITY["paper"]} == {
        "align_corners": (True, False),
        "start": ("zero", "sure"),
    }
    assert FIDELITY["paper"].keys() == FIDELITY["fixed"].keys()


@pytest.mark.parametrize("corners", [True, False])
def test_a_box_of_half_a_frame_has_pixels_of_its_size_only_when_fixed(corners):
    """A frame of stripes a pixel wide comes back as it is, or blurred."""
    model = model_of(fidelity="paper" if corners else "fixed", num_components=1)
    assert model.config.choice("align_corners") == corners
    stripes = torch.tensor([0.0, 1.0]).repeat(8).expand(3, 2, 1, 16, 16)
    cropped = []
    model.generator.encoder.register_forward_pre_hook(lambda _, images: cropped.append(*images))
    # Still boxes of half a frame in its middle.
    for head in (model.generator.poses.start, model.generator.poses.transition):
        torch.nn.init.zeros_(head.mean.weight)
        torch.nn.init.zeros_(head.mean.bias)
    torch.nn.init.constant_(model.generator.poses.start.mean.bias[:1], 2.0)
    model.infer(stripes, 5)
    assert torch.equal(cropped[0], stripes[:, :, :, 4:12, 4:12].flatten(0, 1)) != corners


def first_poses(fidelity):
    torch.manual_seed(0)
    model = Config(fidelity=fidelity).build(ClipSpec(9, size=32))
    seen = time_major(clips(16, ClipSpec(9, size=32)))[:5]
    return model, model.infer(seen, 9), model.infer(seen, 9, seeded())


def test_released_scales_begin_where_frames_have_no_say():
    """The clamp's gradient there is zero; fixed, it is not."""
    for fidelity, free in (("paper", False), ("fixed", True)):
        model, mean, _ = first_poses(fidelity)
        mean.pose[..., 0].sum().backward()
        gradient = model.generator.poses.start.mean.bias.grad[0]
        assert bool(gradient > 0) == free
        assert mean.pose[..., 0].mean().item() == pytest.approx(2.0 if free else 1.0, abs=0.1)


def test_fixed_poses_begin_sure():
    """At the priors' means with a tenth of their deviations, in every frame."""
    _, mean, drawn = first_poses("fixed")
    for gaussian, middle, std in (
        (mean.start, (2.0, 0.0, 0.0), (0.02, 0.1, 0.1)),
        (mean.transition, (0.0,) * 3, (0.01,) * 3),
    ):
        bounds = {"atol": 0.05, "rtol": 0}
        torch.testing.assert_close(gaussian.mean.mean(dim=(0, 1)), torch.tensor(middle), **bounds)
        torch.testing.assert_close(
            (gaussian.logvar / 2).exp().mean(dim=(0, 1)), torch.tensor(std), atol=0, rtol=0.1
        )
    assert (drawn.pose - mean.pose).std() < 0.2
    _, mean, drawn = first_poses("paper")
    assert (drawn.pose - mean.pose)[..., 1:].std() > 0.2


@pytest.mark.parametrize("fidelity", FIDELITY)
def test_first_weights_are_small(fidelity):
    torch.manual_seed(0)
    net = Config(fidelity=fidelity).build(ClipSpec(6, size=64)).generator
    for weight in (net.decoder.convs[1].weight, net.content.mean.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)


# ---- Sampling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fidelity", FIDELITY)
def test_a_future_is_the_same_to_the_bit_in_any_batch(fidelity):
    model = warmed(model_of(fidelity=fidelity))
    given = clips(ROWS + 5).context(3)
    together = continued(model, given, samples=2)
    assert model.training
    assert len(together) == 2 * (ROWS + 5)
    assert torch.equal(together.video[0::2], together.video[1::2])
    assert torch.equal(together.video[0::2, :3], given.video)
    assert (together.video[0] - together.video[2]).abs().max() > 1e-3
    for i in (0, 7, ROWS, ROWS + 4):
        alone = model.sample(given[i : i + 1], num_samples=1, generator=Streams(9, [4]))
        assert torch.equal(together.video[2 * i], alone.video[0]), i


def test_nothing_is_remembered_of_sampling():
    model = warmed(model_of())
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    continued(model, clips().context(3))
    for name, value in model.state_dict().items():
        assert torch.equal(value, kept[name]), name


def test_sound_is_not_heard_and_comes_back():
    model, given = warmed(model_of()), clips().context(3)
    loud = given.replace(audio=torch.sin(torch.arange(3 * SPEC.samples) ** 1.1).reshape(3, -1))
    drawn = [continued(model, clip) for clip in (given, loud)]
    assert torch.equal(drawn[0].video, drawn[1].video)
    assert torch.equal(drawn[1].audio, loud.audio)


# ---- Learning ------------------------------------------------------------------------------------


def moving_squares(count, frames, generator):
    """Squares of 4 px that cross frames of 16 px, a pixel a frame at most; and their centers."""
    draw = torch.rand(2, count, 2, generator=generator)
    velocity = (draw[0] * 3 - 1.5).round()
    room = 12 - velocity.abs() * (frames - 1)
    first = (draw[1] * room).round() + torch.where(velocity < 0, -velocity * (frames - 1), 0.0)
    corner = first[:, None] + velocity[:, None] * torch.arange(frames)[:, None]
    pixel = torch.arange(16)
    inside = (pixel >= corner[..., None]) & (pixel < corner[..., None] + 4)
    video = (inside[..., 1, :, None] & inside[..., 0, None, :]).float()[:, :, None]
    return Clip(ClipSpec(frames, size=16), video), corner + 1.5


def brightness_centers(video):
    """Where the light of each frame is on average, (x, y), pixels."""
    pixel, light = torch.arange(16.0), video.sum(dim=(2, 3, 4)).clamp(min=1e-6)
    return torch.stack([video.sum((2, i)) @ pixel / light for i in (3, 4)], dim=-1)


def train(model, steps, generator):
    """A plain loop; losses of all steps."""
    optimizer = torch.optim.Adam(model.parameters())
    losses = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / steps)
        clip, _ = moving_squares(24, 9, generator)
        ((_, loss),) = model.losses(clip, step=step, generator=generator)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        losses.append(loss.total.item())
    return losses


def test_brightness_centers_are_those_of_the_squares():
    clip, centers = moving_squares(50, 9, seeded())
    torch.testing.assert_close(brightness_centers(clip.video), centers)
    assert (centers[:, 1:] - centers[:, :-1]).abs().max() == 1


def test_loss_falls_and_boxes_follow_a_moving_square():
    """Squares never trained on, foretold for six frames: nearer than the last seen frame is."""
    torch.manual_seed(0)
    config = Config(seen=4, scale=3.0, image_code=32, content=8, rnn_size=32)
    model = config.build(ClipSpec(9, size=16))
    losses = train(model, 200, seeded(1))
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])
    clip, centers = moving_squares(64, 10, seeded(2))
    made = continued(model, clip.context(4))
    drawn, truth, kept = brightness_centers(made.video)[:, 4:], centers[:, 4:], centers[:, 3:4]
    assert (drawn - truth).norm(dim=-1).mean() < 0.4 * (kept - truth).norm(dim=-1).mean()

    # Its boxes, too, move as the squares do, and frames are nearer than copies of the last one.
    model.eval()
    with torch.no_grad():
        boxes = box_centers(model.infer(time_major(clip)[:4], 10).pose)[0].transpose(0, 1)
    ways = [(way[:, -1] - way[:, 0]).flatten() for way in (boxes, centers)]
    assert torch.corrcoef(torch.stack(ways))[0, 1] > 0.9
    error = (made.video - clip.video)[:, 4:].square().mean()
    assert error < 0.5 * (clip.video[:, 3:4] - clip.video)[:, 4:].square().mean()


# ---- Bad input -----------------------------------------------------------------------------------


def test_bad_input_is_refused_in_one_line():
    model, clip = model_of(), clips()
    unseen = Clip(SPEC, audio=torch.zeros(3, SPEC.samples))
    with pytest.raises(ValueError, match="9 seen frames of 9: between 1 and 8"):
        continued(model, clip)
    with pytest.raises(ValueError, match="needs seen frames"):
        continued(model, unseen)
    with pytest.raises(ValueError, match="more than seen=3"):
        next(model.losses(clips(2, SPEC.with_frames(3)), step=0, generator=seeded()))
    with pytest.raises(ValueError, match="more than seen=3"):
        next(model.losses(unseen, step=0, generator=seeded()))
    with pytest.raises(ValueError, match=r"size=28.*32.*48"):
        model_of(spec=ClipSpec(4, size=28))
    with pytest.raises(ValueError, match="scale"):
        Config(scale=1.5)
    with pytest.raises(ValueError, match="num_components"):
        Config(num_components=0)
    with pytest.raises(ValueError, match="start"):
        Config(start="nowhere")


# ---- Recipes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m3so_tiny", "m3so_laptop", "m3so_nb", "folder_laptop"])
def test_recipes_have_the_budget_of_sound2sight(name):
    ours, base = (recipes.load(f"{model}_{name}") for model in ("ddpae", "sound2sight"))
    assert (ours.data, ours.clip, ours.evaluate) == (base.data, base.clip, base.evaluate)
    assert ours.train == dataclasses.replace(base.train, optim=ours.train.optim)
    assert set(ours.train.optim) == {"generator"}
    assert ours.model.seen == base.model.seen


def test_train_evaluate_and_sample_on_the_command_line(tmp_path, capsys):
    run = str(tmp_path / "run")
    assert cli.main(["train", "ddpae_m3so_tiny", "--out", run]) == 0
    stats = [json.loads(line) for line in (tmp_path / "run/stats.jsonl").read_text().splitlines()]
    assert {"generator/mse", "generator/kl_start", "generator/kl_content"} <= stats[0].keys()
    assert "validate/psnr_mean" in stats[-1]
    assert cli.main(["evaluate", run, "--clips", "4"]) == 0
    rows = json.loads((tmp_path / "run/report/scores.json").read_text())["rows"]
    names = {row["name"] for row in rows}
    assert "copy_last" in names
    assert not [name for name in names if "shuffled" in name]
    out = tmp_path / "made"
    assert cli.main(["sample", run, "--out", str(out), "--count", "1"]) == 0
    assert "are alike" not in capsys.readouterr().err
    assert (out / "test_0000" / "sample_000.mp4").is_file()
