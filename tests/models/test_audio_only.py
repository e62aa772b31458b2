import dataclasses
import functools
import json

import pytest
import torch
from tests.models.little_forecasts import SPEC, build, clips
from tests.reference import sound2sight as reference

from soundsight import cli, recipes
from soundsight.contract import Model, Streams
from soundsight.media.clip import ClipSpec
from soundsight.media.spectrogram import chunk_stft
from soundsight.models.audio_only import FIDELITY, AudioOnly, Config, PlainDecoder

SMALL = Config(seen=3, code=16, rnn_size=12, frame_channels=4, audio_channels=4)
model_of = functools.partial(build, SMALL)


def warmed(model):
    """Running averages of some kind, so that batch norm does something."""
    with torch.no_grad():
        model.train().draw(model.chunks(clips()))
    return model


def draw(model, given, samples=1):
    return model.sample(given, num_samples=samples, generator=Streams(0, list(range(len(given)))))


def count(module):
    return sum(p.numel() for p in module.parameters())


# ---- Sizes ---------------------------------------------------------------------------------------


def test_parameter_counts_at_48_px_grey():
    """Worked out by hand: weights and biases, and two for each normalized channel."""
    net = Config().build(ClipSpec(20)).generator
    assert count(net.sound) == 3_018_944
    first, second = 4 * 256 * (128 + 256 + 2), 4 * 256 * (256 + 256 + 2)
    assert count(net.reader) == count(net.writer) == first + second
    assert count(net.head) == 257 * 128
    assert count(net.decoder) == (
        128 * 256 * 36 + 3 * 256 + 256 * 128 * 16 + 3 * 128 + 128 * 64 * 16 + 3 * 64 + 64 * 16 + 1
    )
    assert count(net) == 6_732_417
    plain = Config(fidelity="paper").build(ClipSpec(20)).generator
    assert count(plain) - count(net) == second - first


def test_decoder_at_64_px_colour_has_the_released_size():
    """The released `decoder_audio`: 512, 256, 128 and 64 maps, no skips."""
    decoder = PlainDecoder(64, 3, 128)
    assert count(decoder) == 3_807_043
    assert decoder(torch.rand(2, 128)).shape == (2, 3, 64, 64)
    shapes = [tuple(conv.weight.shape[1:]) for conv in decoder.convs]
    assert shapes == [(512, 4, 4), (256, 4, 4), (128, 4, 4), (64, 4, 4), (3, 4, 4)]


def test_takes_sound_and_makes_frames():
    model = model_of()
    assert isinstance(model, Model)
    assert isinstance(model, AudioOnly)
    assert (model.takes, model.makes) == ({"audio"}, {"video"})
    assert set(model.phases()) == {"generator"}


# ---- The loop that the parallel pass stands for --------------------------------------------------


def loop(model, chunks):
    """Read chunk after chunk, then write frame after frame."""
    net, state = model.generator, None
    codes = [reference.hear(net.sound, chunk) for chunk in chunks]
    for code in codes:
        heard, state = net.reader(code[None], state)
    frames = []
    for code in codes:
        told = heard if model.config.choice("writer_input") == "summary" else code[None]
        written, state = net.writer(told, state)
        x = torch.tanh(net.head(written[0]))[:, :, None, None]
        for conv, norm in zip(net.decoder.convs[:-1], net.decoder.norms, strict=True):
            x = torch.nn.functional.leaky_relu(norm(conv(x)), 0.2)
        frames.append(torch.sigmoid(net.decoder.convs[-1](x)))
    return torch.stack(frames)


@pytest.mark.parametrize("fidelity", FIDELITY)
def test_parallel_pass_equals_the_loop(fidelity):
    model = warmed(model_of(fidelity=fidelity)).eval()
    chunks = model.chunks(clips())
    torch.testing.assert_close(model.draw(chunks), loop(model, chunks), atol=1e-5, rtol=0)


def test_loss_is_the_squared_error_of_all_frames():
    """With the last layer dead every pixel is sigmoid(0) = 1/2: against black 1/4 a frame."""
    model = model_of()
    torch.nn.init.zeros_(model.generator.decoder.convs[-1].weight)
    clip = clips().replace(video=torch.zeros(3, 9, 1, 16, 16))
    ((phase, loss),) = model.losses(clip, step=0, generator=torch.Generator())
    assert phase == "generator"
    assert set(loss.terms) == {"mse"}
    assert loss.total.item() == loss.terms["mse"].item() == 9 / 4


@pytest.mark.parametrize("fidelity", FIDELITY)
def test_every_parameter_learns(fidelity):
    model = model_of(fidelity=fidelity)
    ((_, loss),) = model.losses(clips(), step=0, generator=torch.Generator())
    loss.total.backward()
    last = f"generator.decoder.convs.{len(model.generator.decoder.convs) - 1}.bias"
    for name, parameter in model.named_parameters():
        # Before batch norm a bias has no effect, and no gradient but rounding.
        before_norm = name.endswith(".bias") and (".conv." in name or ".convs." in name)
        if name == last or not before_norm:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 1e-12, name


# ---- What it hears and does not see --------------------------------------------------------------


def test_frames_are_not_looked_at_and_come_back():
    model, clip = warmed(model_of()), clips()
    given = clip.context(3)
    black = given.replace(video=torch.zeros_like(given.video))
    blind = draw(model, clip.replace(video=None)).video
    for shown in (given, black):
        drawn = draw(model, shown).video
        assert torch.equal(drawn[:, :3], shown.video)
        torch.testing.assert_close(drawn[:, 3:], blind[:, 3:], atol=1e-6, rtol=0)
    assert blind.shape == (3, 9, 1, 16, 16)


@pytest.mark.parametrize("fidelity", FIDELITY)
def test_all_of_the_sound_is_heard_before_the_first_frame(fidelity):
    model, clip = warmed(model_of(fidelity=fidelity)), clips().replace(video=None)
    before = draw(model, clip).video
    for chunk in (0, 8):
        audio = clip.audio.clone()
        audio[:, chunk * 440 : (chunk + 1) * 440] *= -0.3
        gap = (draw(model, clip.replace(audio=audio)).video - before).abs()
        assert gap.amax(dim=(0, 2, 3, 4)).min() > 1e-6


def test_sound_sets_the_horizon():
    longer = clips(1, SPEC.with_frames(12))
    made = draw(model_of(), longer.context(3).replace(spec=SPEC))
    assert made.video.shape[1] == made.spec.frames == 12


def test_samples_are_the_same_in_number_and_batch():
    model, given = warmed(model_of()), clips().context(3)
    together = draw(model, given, samples=2)
    assert model.training
    assert model.deterministic
    assert len(together) == 6
    assert torch.equal(together.video[0::2], together.video[1::2])
    assert torch.equal(draw(model, given, samples=2).video, together.video)
    alone = model.sample(given[1:2], num_samples=1, generator=Streams(9, [4]))
    torch.testing.assert_close(together.video[2:3], alone.video, atol=1e-5, rtol=0)
    parts = model.sample(given, num_samples=2, generator=Streams(0, [0, 1, 2]), clips_at_once=2)
    torch.testing.assert_close(together.video, parts.video, atol=1e-5, rtol=0)
    assert torch.equal(together.audio, given.audio.repeat_interleave(2, dim=0))


# ---- A plain reading, and a sound one ------------------------------------------------------------


def test_fidelities_differ_in_these_fields():
    assert {key: (FIDELITY["paper"][key], FIDELITY["fixed"][key]) for key in FIDELITY["paper"]} == {
        "writer_input": ("summary", "chunk"),
        "batch_norm": ("per_step", "pooled"),
        "log_spectrogram": (False, True),
        "small_linear": (True, False),
    }
    assert FIDELITY["paper"].keys() == FIDELITY["fixed"].keys()


@pytest.mark.parametrize(("fidelity", "hears"), [("paper", False), ("fixed", True)])
def test_writer_hears_the_frames_own_sound_only_when_fixed(fidelity, hears):
    """A reader without weights ends in the same state whatever it read."""
    model = warmed(model_of(fidelity=fidelity))
    for parameter in model.generator.reader.parameters():
        torch.nn.init.zeros_(parameter)
    given = clips().replace(video=None)
    drawn = [draw(model, clip).video for clip in (given, given.replace(audio=given.audio * -0.3))]
    assert bool((drawn[0] - drawn[1]).abs().max() > 1e-5) == hears


@pytest.mark.parametrize(("fidelity", "same"), [("paper", True), ("fixed", False)])
def test_paper_normalizes_each_step_by_itself(fidelity, same):
    """`paper` in train mode is the loop in train mode; pooled statistics are not."""
    ours, theirs = model_of(fidelity=fidelity), model_of(fidelity=fidelity)
    chunks = ours.chunks(clips())
    apart = (ours.draw(chunks) - loop(theirs, chunks)).abs().max()
    assert bool(apart < 1e-4) == same


@pytest.mark.parametrize(("fidelity", "compression"), [("paper", "none"), ("fixed", "log")])
def test_scale_of_the_spectrogram(fidelity, compression):
    expected = chunk_stft(
        clips().audio, samples_per_frame=440, n_fft=44, hop_length=22, compression=compression
    )
    chunks = model_of(fidelity=fidelity).chunks(clips())
    assert chunks.shape == (9, 3, 1, 23, 21)
    assert torch.equal(chunks[:, :, 0], expected.transpose(0, 1))


def test_first_weights():
    for fidelity, std in (("paper", 0.02), ("fixed", (256 * 3) ** -0.5)):
        torch.manual_seed(0)
        net = Config(fidelity=fidelity).build(ClipSpec(6, size=32)).generator
        assert net.decoder.convs[1].weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert net.head.weight.std().item() == pytest.approx(std, rel=0.05)


# ---- Bad input -----------------------------------------------------------------------------------


def test_bad_input_is_refused_in_one_line():
    model, clip = model_of(), clips()
    with pytest.raises(ValueError, match="9 seen frames of 9: at most 8"):
        draw(model, clip)
    with pytest.raises(ValueError, match="needs clips with sound"):
        draw(model, clip.context(3).replace(audio=None))
    with pytest.raises(ValueError, match="needs clips with sound"):
        next(model.losses(clip.replace(audio=None), step=0, generator=torch.Generator()))
    with pytest.raises(ValueError, match="picture and sound"):
        next(model.losses(clip.replace(video=None), step=0, generator=torch.Generator()))
    with pytest.raises(ValueError, match=r"size=28.*32.*48"):
        model_of(spec=ClipSpec(4, size=28))
    with pytest.raises(ValueError, match="writer_input"):
        Config(writer_input="nothing")


# ---- Recipes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["tiny", "laptop", "nb"])
def test_recipes_have_the_budget_of_sound2sight(size):
    ours, base = (recipes.load(f"{name}_m3so_{size}") for name in ("audio_only", "sound2sight"))
    assert (ours.data, ours.clip, ours.evaluate) == (base.data, base.clip, base.evaluate)
    assert ours.train == dataclasses.replace(base.train, optim=ours.train.optim)
    assert ours.train.optim.keys() == {"generator"}  # At a learning rate of its own.
    for field in ("seen", "code", "rnn_size", "frame_channels", "audio_channels", "n_fft"):
        assert getattr(ours.model, field) == getattr(base.model, field), field


def test_train_evaluate_and_sample_on_the_command_line(tmp_path, capsys):
    run = str(tmp_path / "run")
    assert cli.main(["train", "audio_only_m3so_tiny", "--out", run]) == 0
    stats = [json.loads(line) for line in (tmp_path / "run/stats.jsonl").read_text().splitlines()]
    assert "generator/mse" in stats[0]
    assert "validate/psnr_mean" in stats[-1]
    assert cli.main(["evaluate", run, "--clips", "4"]) == 0
    rows = json.loads((tmp_path / "run/report/scores.json").read_text())["rows"]
    assert {"copy_last", "audio_only:shuffled_audio"} <= {row["name"] for row in rows}
    out = tmp_path / "made"
    assert cli.main(["sample", run, "--out", str(out), "--count", "1"]) == 0
    assert "are alike" not in capsys.readouterr().err
    assert cli.main(["sample", run, "--out", str(out), "--count", "1", "--samples", "2"]) == 0
    assert "all 2 futures of a clip are alike" in capsys.readouterr().err
    assert (out / "test_0000" / "sample_000.mp4").is_file()
