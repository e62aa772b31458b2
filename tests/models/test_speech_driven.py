import dataclasses
import functools
import math

import pytest
import torch
import torch.nn.functional as F
from tests.models import little_forecasts
from tests.models.little_forecasts import SPEC, build, waves

from soundsight import recipes
from soundsight.cli import main
from soundsight.contract import Model, Streams
from soundsight.experiment import run_evaluation
from soundsight.media.clip import ClipSpec
from soundsight.models.speech_driven import FIDELITY, Config, absolute_error
from soundsight.nn.unet import FrameGenerator, UnetBlock
from soundsight.nn.wave_windows import WindowEncoder, cut_windows, prime_factors
from soundsight.sampling import load_run

STRIDE, WINDOW = 440, 880
SMALL = Config(
    seen=3, sound_code=12, identity_code=5, noise=3, frame_channels=4, audio_channels=2, sync=True
)
model_of = functools.partial(build, SMALL)


def clips(batch=3, spec=SPEC):
    return little_forecasts.clips(batch, spec).replace(label=torch.arange(batch))


def noise_of(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


def count(module):
    return sum(p.numel() for p in module.parameters())


def seeded(number=0):
    return torch.Generator().manual_seed(number)


# ---- Sizes ---------------------------------------------------------------------------------------


def test_parameter_counts_at_48_px_grey():
    model = Config(fidelity="paper", sync=True).build(ClipSpec(20))
    g = model.generator
    norm = 2  # Weight and bias of a channel.
    windows = (
        (22 * 16 + 16) + 16 * norm  # 5 ms each millisecond: 880 samples to 220.
        + (4 * 16 * 32 + 32) + 32 * norm  # By 2: 110.
        + (4 * 32 * 64 + 64) + 64 * norm  # By 2: 55.
        + (10 * 64 * 128 + 128) + 128 * norm  # By 5: 11.
        + (11 * 128 * 256 + 256)
    )  # fmt: skip
    assert count(g.windows) == windows == 453_936
    assert count(g.sound) == 2 * 3 * (256 * 256 * 2 + 2 * 256)
    assert count(g.noise) == 3 * (10 * 10 * 2 + 2 * 10)
    identity = 16 * (64 + 64 * 128 + 128 * 256) + (64 + 128 + 256) * norm + 36 * 256 * 50
    assert count(g.identity) == identity == 1_118_080
    frames = (
        (256 + 50 + 10) * 256 * 36 + 256 * norm
        + 9 * 512 * 256 + 256 * norm + 16 * 256 * 128 + 128 * norm
        + 9 * 256 * 128 + 128 * norm + 16 * 128 * 64 + 64 * norm
        + 16 * 64
    )  # fmt: skip
    assert count(g.frames) == frames == 5_044_864
    trunk = 16 * (2 * 64 + 64 * 128 + 128 * 256) + 64 + 128 + 256 + (128 + 256) * norm
    assert count(model.frame_discriminator) == trunk + 36 * 256 + 1
    watching = model.sequence_discriminators
    eyes = trunk - 16 * 64 + 36 * 256 * 256 + 256
    gru = 3 * (512 * 256 + 3 * 256 * 256 + 4 * 256)
    assert count(watching["sequence"]) == eyes + windows + gru + 257
    join = 3 * 256 * 256 + 256 + 257
    assert count(watching["sync"]) == eyes + 2 * 16 * 64 + windows + join


def test_other_stills_sizes_and_colours():
    last, every = (Config(seen=5, identity=i).build(ClipSpec(9)) for i in ("last", "all"))
    assert count(every.generator) - count(last.generator) == 4 * 16 * 64
    spec = ClipSpec(45, fps=30, size=64, channels=3, sample_rate=22_050)
    g = Config(seen=15).build(spec).generator
    assert g.windows.shapes == [(110, 22), (6, 3)]  # 4410 samples to 201 to 67.
    assert g.windows.code.kernel_size == (67,)
    maps = g.identity(torch.rand(1, 3, 64, 64))[1]
    assert [tuple(m.shape[1:]) for m in maps] == [
        (512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32)
    ]  # fmt: skip


@pytest.mark.parametrize("size", [16, 20, 24, 48, 64])
def test_every_offered_size_is_drawn(size):
    model = model_of(spec=ClipSpec(4, size=size))
    drawn = model.sample(
        clips(1, ClipSpec(4, size=size)).context(3), num_samples=1, generator=Streams(0, [0])
    )
    assert drawn.video.shape == (1, 4, 1, size, size)


def test_it_is_a_model():
    model = model_of()
    assert isinstance(model, Model)
    assert (model.takes, model.makes) == ({"audio", "context"}, {"video"})
    parts = [{id(p) for p in module.parameters()} for module in model.phases().values()]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(list(model.parameters()))


# ---- Sound ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 97, 200, 220, 201, 1024])
def test_prime_factors(number):
    factors = prime_factors(number)
    assert math.prod(factors) == number
    assert factors == sorted(factors)
    assert all(f % d for f in factors for d in range(2, f))


@pytest.mark.parametrize("ends", ["zeros", "reflect"])
@pytest.mark.parametrize(("window", "stride"), [(880, 440), (881, 440), (440, 440), (1500, 440)])
def test_windows_lie_around_their_frames(ends, window, stride):
    audio = 1 + torch.arange(2 * 5 * stride).float().reshape(2, -1)
    windows = cut_windows(audio, window=window, stride=stride, ends=ends)
    assert windows.shape == (5, 2, window)
    before = (window - stride) // 2
    places = torch.arange(window) + stride * torch.arange(5)[:, None] - before
    inside = (places >= 0) & (places < 5 * stride)
    for row in range(2):
        assert torch.equal(windows[:, row][inside], audio[row][places[inside]])
        beyond = windows[:, row][~inside]
        if ends == "zeros":
            assert (beyond == 0).all()
        else:
            mirrored = torch.where(places < 0, -places, 2 * (5 * stride - 1) - places)[~inside]
            assert torch.equal(beyond, audio[row][mirrored])


@pytest.mark.parametrize(("window", "rate"), [(880, 4400), (881, 4400), (4410, 22_050), (90, 300)])
def test_windows_of_any_length_become_one_code(window, rate):
    net = WindowEncoder(window, rate, 7, 2)
    codes = net(torch.randn(3, 2, window, generator=seeded()))
    assert codes.shape == (3, 2, 7)
    assert codes.abs().max() < 1
    lengths, length = [], window
    for _, stride in net.shapes:
        length = -(-length // stride)
        lengths.append(length)
    assert lengths[-1] == net.code.kernel_size[0]


# ---- Pictures ------------------------------------------------------------------------------------


def test_projected_skips_equal_the_plain_convolution():
    """Skips that are computed once a clip, against concatenation frame by frame."""
    block = UnetBlock(6).eval()
    x, skip = noise_of(4 * 3, 6, 5, 5), noise_of(3, 6, 5, 5)
    ours = block(x, block.project_skip(skip))
    joined = torch.cat([x, skip.repeat(4, 1, 1, 1)], dim=1)
    plain = F.relu(block.join_norm(block.join(joined)))
    torch.testing.assert_close(ours, F.relu(block.up_norm(block.up(plain))), atol=1e-5, rtol=0)


def test_frames_are_drawn_on_their_own():
    net = FrameGenerator(16, 1, 6, 4).eval()
    maps = [noise_of(2, 8, 4, 4), noise_of(2, 4, 8, 8)]
    skips, codes = net.project_skips(maps), noise_of(5, 2, 6)
    order = [3, 0, 4, 2, 1]
    there, back = net(codes, skips), net(codes[order], skips)
    torch.testing.assert_close(there[order], back, atol=1e-6, rtol=0)
    assert there.abs().max() <= 1


# ---- What each frame depends on ------------------------------------------------------------------


def drawn_by(model, clip, noise):
    x = (2 * clip.video - 1).transpose(0, 1)
    seen = x[: model.config.seen]
    return model.draw(model.stills(seen), model.hear(clip, len(x)), noise)


@pytest.mark.parametrize(
    ("sample", "first"),
    [
        (7 * STRIDE + 219, 6),  # In the first half of a frame's sound: the frame before hears it.
        (7 * STRIDE + 220, 7),
        (8 * STRIDE + 439, 8),
        (0, 0),  # Sound of the seen frames is heard, too.
    ],
)
def test_frames_hear_their_window_and_what_came_before(sample, first):
    model, clip, noise = model_of(ends="zeros").eval(), clips(), noise_of(6, 3, 3)
    before = drawn_by(model, clip, noise)
    audio = clip.audio.clone()
    audio[1, sample] += 8  # Beyond what is heard otherwise, to be sure.
    after = drawn_by(model, clip.replace(audio=audio), noise)
    change = (after - before).abs().amax(dim=(2, 3, 4))
    later = max(first - 3, 0)
    assert change[:later].max().item() == 0 if later else True
    assert change[later:, 1].min() > 1e-6
    assert change[:, [0, 2]].max() == 0


def test_noise_changes_its_frame_and_later_ones():
    model, clip, noise = model_of().eval(), clips(), noise_of(6, 3, 3)
    before = drawn_by(model, clip, noise)
    noise[2, 1] += 1
    change = (drawn_by(model, clip, noise) - before).abs().amax(dim=(2, 3, 4))
    assert change[:2].max() == change[:, [0, 2]].max() == 0
    assert change[2:, 1].min() > 1e-6


@pytest.mark.parametrize(("identity", "used"), [("last", {2}), ("first", {0}), ("all", {0, 1, 2})])
def test_the_still_is_what_it_is_said_to_be(identity, used):
    model, noise = model_of(identity=identity).eval(), noise_of(6, 3, 3)
    before = drawn_by(model, clips(), noise)
    for frame in range(9):
        video = clips().video.clone()
        video[:, frame] = 1 - video[:, frame]
        change = (drawn_by(model, clips().replace(video=video), noise) - before).abs()
        assert (change.amax(dim=(1, 2, 3, 4)).min() > 1e-4) == (frame in used)
        if frame not in used:  # Not even a little: unseen frames never are.
            assert change.max() == 0


# ---- Losses --------------------------------------------------------------------------------------


def test_absolute_error_known_values():
    real = torch.zeros(2, 3, 1, 5, 4)
    assert absolute_error(real + 0.25, real, "frame") == 0.25
    fake = real.clone()
    fake[..., 0, :] = 1.0  # A fifth of the frame, in its upper half.
    torch.testing.assert_close(absolute_error(fake, real, "frame"), torch.tensor(0.2))
    assert absolute_error(fake, real, "mouth") == 0
    fake[..., 2, :] = -1.0  # A third of the lower half, which is the larger one.
    torch.testing.assert_close(absolute_error(fake, real, "mouth"), torch.tensor(1 / 3))


def losses_of(model, clip, seed=0):
    return dict(model.losses(clip, step=0, generator=seeded(seed)))


def test_losses_where_discriminators_know_nothing():
    model = model_of(critic_norm="batch")
    watching = model.sequence_discriminators
    last = model.frame_discriminator.trunk.layers[-1]
    with torch.no_grad():
        for head in (last, watching["sequence"].head, watching["sync"].head):
            head.weight.zero_()
            head.bias.zero_()
    losses = losses_of(model, clips())
    ln2 = torch.tensor(math.log(2))
    torch.testing.assert_close(losses["frame_discriminator"].total, 2 * ln2)
    torch.testing.assert_close(losses["sequence_discriminator"].total, 4 * ln2)
    terms = losses["generator"].terms
    assert set(terms) == {"l1", "mse", "frame", "sequence", "sync"}
    torch.testing.assert_close(losses["generator"].total, 400 * terms["l1"] + 3 * ln2)


def test_losses_of_known_judgements(monkeypatch):
    """Real: 1, generated: -2, foreign sound: 0.5."""
    model = model_of()
    monkeypatch.setattr(
        model, "judge",
        lambda name, video, scene: torch.tensor([1.0 if video is scene.real else -2.0]),
    )  # fmt: skip
    monkeypatch.setattr(
        type(model.sequence_discriminators["sync"]), "forward",
        lambda self, video, sound: torch.full((4, 3), 0.5) + 0 * sound.sum(),
    )  # fmt: skip
    scene, _ = model.rehearse(clips(), seeded())
    loss = model.discriminator_loss(["sequence", "sync"], scene)
    real, fake, foreign = (math.log1p(math.exp(x)) for x in (-1.0, -2.0, 0.5))
    expected = real + fake + real + (fake + foreign) / 2
    torch.testing.assert_close(loss.total, torch.tensor(expected))


def test_mse_is_of_pictures_as_they_are_seen():
    model, clip = model_of(), clips()
    scene, drawn = model.rehearse(clip, seeded())
    terms = losses_of(model, clip)["generator"].terms
    shown = (drawn + 1) / 2 - clip.video.transpose(0, 1)[3:]
    torch.testing.assert_close(terms["mse"], shown.square().mean())
    torch.testing.assert_close(terms["l1"], 2 * shown.abs().mean())
    assert torch.equal(scene.fake[1:], drawn)


def test_without_adversaries_only_the_error_counts():
    model = model_of(adversarial=0.0, sync=False)
    loss = losses_of(model, clips())["generator"]
    torch.testing.assert_close(loss.total, 400 * loss.terms["l1"])


@pytest.mark.parametrize("fidelity", FIDELITY)
def test_each_phase_teaches_its_own_networks_alone_and_all_of_them(fidelity):
    model, clip, done = model_of(fidelity=fidelity), clips(), set()
    for name, loss in model.losses(clip, step=0, generator=seeded()):
        parameters = dict(model.phases()[name].named_parameters())
        loss.total.backward(inputs=list(parameters.values()))
        done.add(name)
        for key, parameter in parameters.items():
            # Before a norm a bias has no effect, and no gradient but rounding.
            if not key.endswith("bias"):
                assert parameter.grad is not None, key
                assert parameter.grad.abs().max() > 0, key
        others = [p for k, m in model.phases().items() if k not in done for p in m.parameters()]
        assert all(p.grad is None for p in others)
    assert done == set(model.phases())


def test_a_discriminators_loss_sends_the_generator_nothing():
    model = model_of()
    losses = model.losses(clips(), step=0, generator=seeded())
    for _ in range(2):
        _, loss = next(losses)
        assert not any(
            torch.autograd.grad(
                loss.total, list(model.generator.parameters()), allow_unused=True, retain_graph=True
            )
        )


# ---- What discriminators see ---------------------------------------------------------------------


@pytest.fixture
def watched(monkeypatch):
    """Runs losses of a model and returns what each discriminator was shown, by name."""

    def run(model, clip):
        shown = {"frame": [], "sequence": [], "sync": []}
        nets = {"frame": model.frame_discriminator, **model.sequence_discriminators}
        for name, net in nets.items():
            net.register_forward_pre_hook(lambda _, args, name=name: shown[name].append(args))
        losses_of(model, clip)
        return shown

    return run


@pytest.mark.parametrize(("identity", "frame"), [("last", 2), ("first", 0), ("all", 2)])
def test_single_frames_are_shown_stacked_on_the_still(watched, identity, frame):
    clip, model = clips(6), model_of(identity=identity)
    shown = watched(model, clip)["frame"]
    assert len(shown) == 3  # Real and generated, and generated for the generator.
    x = 2 * clip.video - 1
    for _, still in shown:
        assert torch.equal(still, x[:, frame])
    chosen = [
        [torch.equal(shown[0][0][b], x[b, t]) for t in range(9)].index(True) for b in range(6)
    ]
    assert min(chosen) >= 3
    assert len(set(chosen)) > 1  # Each clip has its own.
    trunk = model.frame_discriminator.trunk.layers[0]
    assert trunk.in_channels == 2
    fake = shown[1][0]
    assert not any(torch.equal(fake[b], x[b, chosen[b]]) for b in range(6))
    torch.testing.assert_close(fake, shown[2][0])


def test_the_still_matters_to_the_frame_discriminator():
    net, frame = model_of().frame_discriminator.eval(), waves(2, 1, 16, 16)
    assert (net(frame, frame) - net(frame, 1 - frame)).abs().min() > 1e-4


def test_sequences_are_shown_from_the_last_seen_frame_with_their_own_sound(watched):
    clip, model = clips(), model_of()
    shown = watched(model, clip)["sequence"]
    x, windows = (2 * clip.video - 1).transpose(0, 1), model.hear(clip, 9)
    assert len(shown) == 3
    for video, sound in shown:
        assert torch.equal(video[0], x[2])
        assert torch.equal(sound, windows[2:])
    assert torch.equal(shown[0][0], x[2:])
    assert not torch.isclose(shown[1][0][1:], x[3:]).all()


def test_the_sync_discriminator_is_shown_foreign_sound(watched):
    """Real with its own; generated with its own; real with foreign; generated for the generator."""
    clip, model = clips(), model_of()
    shown = watched(model, clip)["sync"]
    x, own = (2 * clip.video - 1).transpose(0, 1)[2:], model.hear(clip, 9)[2:]
    assert len(shown) == 4
    assert [torch.equal(video, x) for video, _ in shown] == [True, False, True, False]
    assert [torch.equal(sound, own) for _, sound in shown] == [True, True, False, True]
    foreign = shown[2][1]
    assert (foreign != own).any(dim=2).all()  # In each window of each clip.
    where = [
        [(t, b) for t in range(7) for b in range(3) if torch.equal(window, own[t, b])]
        for window in foreign.flatten(0, 1)
    ]
    assert all(where)  # It is sound of this batch, not noise.


@pytest.mark.parametrize("name", ["sequence", "sync"])
def test_those_who_watch_listen_and_see(name):
    model, clip = model_of().eval(), clips()
    video, sound = (2 * clip.video - 1).transpose(0, 1), model.hear(clip, 9)
    net = model.sequence_discriminators[name]
    plain = net(video, sound)
    assert plain.shape == ((3,) if name == "sequence" else (7, 3))
    assert (net(video, sound.flip(0)) - plain).abs().max() > 1e-4
    assert (net(video.flip(0), sound) - plain).abs().max() > 1e-4
    if name == "sync":  # Three frames and their windows, no more.
        changed = video.clone()
        changed[5] = -changed[5]
        moved = (net(changed, sound) - plain).abs().amax(dim=1) > 1e-6
        assert moved.tolist() == [False, False, False, True, True, True, False]


# ---- Fidelities ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("fidelity", "depends"), [("paper", True), ("fixed", False)])
def test_judgements_depend_on_the_batch_on_paper_alone(fidelity, depends):
    model, x = model_of(fidelity=fidelity), noise_of(4, 1, 16, 16)
    net = model.frame_discriminator
    net(x, x)
    with torch.no_grad():  # Spectral norm has found its vectors by now, as after some steps.
        for _ in range(50):
            net(x, x)
        together, alone = net(x, -x)[:2], net(x[:2], -x[:2])
    assert ((together - alone).abs().max() > 1e-3) == depends
    norms = [m for m in model.sequence_discriminators.modules() if "BatchNorm" in type(m).__name__]
    assert bool(norms) == depends


def test_fixed_discriminators_have_layers_of_norm_one():
    net = model_of(fidelity="fixed").sequence_discriminators
    for _ in range(60):
        net["sync"](noise_of(4, 2, 1, 16, 16), noise_of(4, 2, WINDOW))
    layers = [m for m in net["sync"].modules() if hasattr(m, "parametrizations")]
    assert len(layers) == 3 + 5 + 2  # Eyes, ears, join and head.
    for layer in layers:
        size = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        torch.testing.assert_close(size, torch.tensor(1.0), atol=0.02, rtol=0)


@pytest.mark.parametrize("fidelity", FIDELITY)
def test_what_is_heard_beyond_the_ends(fidelity):
    windows = model_of(fidelity=fidelity).hear(clips(), 9)
    assert windows.shape == (9, 3, WINDOW)
    first, last = windows[0, :, :220], windows[-1, :, 660:]
    for edge in (first, last):
        assert (edge.abs().max() == 0) == (fidelity == "paper")
    if fidelity == "fixed":
        torch.testing.assert_close(first, clips().audio[:, 1:221].flip(1))


@pytest.mark.parametrize(("fidelity", "white"), [("paper", 250 / 255), ("fixed", 1.0)])
def test_how_bright_white_is(fidelity, white):
    model, given = model_of(fidelity=fidelity), clips().context(3)
    with torch.no_grad():
        model.generator.frames.last.weight.mul_(1e4)  # All is black or white.
    made = model.sample(given, num_samples=1, generator=Streams(0, [0, 1, 2])).video[:, 3:]
    assert made.max().item() == pytest.approx(white)
    assert made.min() == 0


def test_each_quirk_can_be_set_by_itself():
    for name in FIDELITY["paper"]:
        config = dataclasses.replace(SMALL, **{name: FIDELITY["paper"][name]})
        told = {field: config.choice(field) for field in FIDELITY["fixed"]}
        assert told == FIDELITY["fixed"] | {name: FIDELITY["paper"][name]}
        assert FIDELITY["paper"][name] != FIDELITY["fixed"][name]


# ---- Sampling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("identity", ["last", "all"])
def test_sample_is_the_same_in_any_batch(identity):
    model, given = model_of(identity=identity), clips().context(3)
    together = model.sample(given, num_samples=3, generator=Streams(1, [4, 5, 6]), rows_at_once=4)
    alone = model.sample(given[1:2], num_samples=2, generator=Streams(1, [5]))
    torch.testing.assert_close(together.video[3:5], alone.video, atol=1e-5, rtol=0)
    again = model.sample(given, num_samples=3, generator=Streams(1, [4, 5, 6]), rows_at_once=4)
    assert torch.equal(together.video, again.video)
    assert model.training


def test_seen_frames_sound_and_labels_come_back_untouched():
    given = clips().context(3)
    made = model_of().sample(given, num_samples=2, generator=Streams(1, [4, 5, 6]))
    assert made.video.shape == (6, 9, 1, 16, 16)
    assert torch.equal(made.video[:, :3], given.video.repeat_interleave(2, dim=0))
    assert torch.equal(made.audio, given.audio.repeat_interleave(2, dim=0))
    assert made.label.tolist() == [0, 0, 1, 1, 2, 2]
    assert made.video.min() >= 0
    assert made.video.max() <= 1
    assert made.video.dtype == torch.float32


def test_sampling_draws_what_training_draws():
    model, clip = model_of(), clips()
    made = model.sample(clip.context(3), num_samples=1, generator=Streams(2, [0, 1, 2]))
    noise = 0.33 * Streams(2, [0, 1, 2]).normal(1, 6, 3).transpose(0, 1)
    with torch.no_grad():
        drawn = drawn_by(model.eval(), clip, noise)
    torch.testing.assert_close(made.video[:, 3:], (drawn.transpose(0, 1) + 1) / 2)


def test_training_draws_with_noise_of_that_strength():
    model, clip = model_of(noise_std=0.7).eval(), clips()
    _, drawn = model.rehearse(clip, seeded(3))
    noise = 0.7 * torch.randn(6, 3, 3, generator=seeded(3))
    torch.testing.assert_close(drawn, drawn_by(model, clip, noise))


def test_samples_differ_and_temperature_zero_does_not():
    model, given = model_of(), clips(1).context(3)
    warm = model.sample(given, num_samples=2, generator=Streams(0, [0])).video
    cold = model.sample(given, num_samples=2, generator=Streams(0, [0]), temperature=0.0).video
    assert (warm[0] - warm[1]).abs().max() > 1e-4
    torch.testing.assert_close(cold[0], cold[1], atol=1e-6, rtol=0)


def test_sound_sets_the_horizon():
    longer = clips(1, SPEC.with_frames(12))
    made = model_of().sample(longer.context(3), num_samples=1, generator=Streams(0, [0]))
    assert made.video.shape[1] == made.spec.frames == 12


# ---- Bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (clips().replace(audio=None).context(3), "needs clips with sound"),
        (clips().replace(video=None), "needs seen frames"),
        (clips(), "9 seen frames of 9: between 1 and 8"),
        (clips().context(2), '2 seen frames: identity="all" needs as many as in training, 3'),
    ],
)
def test_what_cannot_be_continued_is_refused(given, message):
    with pytest.raises(ValueError, match=message) as error:
        model_of(identity="all").sample(given, num_samples=1, generator=Streams(0, [0, 1, 2]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (clips().replace(audio=None), "needs clips with sound"),
        (clips().crop(0, 3), "more than seen=3 frames"),
        (clips().replace(audio=clips().audio[:, :-1]), "3959 samples of sound: 9 frames of 440"),
        (clips().crop(0, 4), "4 frames: sync=True needs 5 or more"),
        (clips(1).crop(0, 7), "7 frames: sync=True needs 8 or more of clips in batches of 1"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(clip, message):
    with pytest.raises(ValueError, match=message) as error:
        losses_of(model_of(), clip)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window_s": 0.09}, "window_s=0.09: windows of sound must be as long as a frame, 0.1 s"),
        ({"spec": ClipSpec(9, size=28)}, "size=28"),
        ({"identity": "mean"}, "'last', 'first' or 'all'"),
        ({"white": 1.5}, "less than or equal to 1"),
    ],
)
def test_what_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        model_of(**changes)


def test_too_little_sound_for_a_long_window_is_refused():
    model = model_of(window_s=2.0)
    with pytest.raises(ValueError, match="3520 samples of sound are too few for windows of 8800"):
        model.hear(clips(1).crop(0, 8), 8)
    assert model_of(window_s=2.0, ends="zeros").hear(clips(1).crop(0, 8), 8).shape[2] == 8800


# ---- The whole road ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["tiny", "laptop", "nb"])
def test_recipes_have_sound2sights_budget(size):
    theirs = recipes.load(f"sound2sight_m3so_{size}")
    names = [f"speech_driven_m3so_{size}"]
    names += [f"{names[0]}_multiframe"] if size != "tiny" else []
    for name in names:
        ours = recipes.load(name)
        for part in ("data", "clip", "evaluate"):
            assert getattr(ours, part) == getattr(theirs, part)
        assert dataclasses.replace(ours.train, optim=theirs.train.optim) == theirs.train
        assert ours.model.identity == ("all" if name.endswith("multiframe") else "last")


def test_from_training_to_samples_and_scores(tmp_path):
    run = tmp_path / "run"
    few = ["--train.steps", "2", "--train.checkpoint-every", "2"]
    assert main(["train", "speech_driven_m3so_tiny", "--out", str(run), *few]) == 0
    words = ["--samples", "2", "--count", "1"]
    assert main(["sample", str(run), "--out", str(tmp_path / "made"), *words]) == 0
    assert list((tmp_path / "made").rglob("*.mp4"))
    scores = run_evaluation({"mine": load_run(run, device="cpu")})
    rows = {row.name for row in scores.rows}
    assert {"mine", "mine:shuffled_audio", "copy_last"} <= rows
