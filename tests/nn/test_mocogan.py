import pytest
import torch
from torch import nn

from soundsight.nn.jitter import Jitter
from soundsight.nn.mocogan import PictureDiscriminator, VideoGenerator, picture_levels


def count(module):
    return sum(p.numel() for p in module.parameters())


def kernels(module):
    """Weights of convolutions alone, as the tables of the released code count them."""
    kinds = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d
    return sum(count(m) for m in module.modules() if isinstance(m, kinds))


def shapes_of(module, layers, x):
    """Shapes, without the batch, of what these layers make of x."""
    found = []
    for layer in layers:
        layer.register_forward_hook(lambda _, __, y: found.append(tuple(y.shape[1:])))
    module(x, None)
    return found


# ---- Sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "motion", "parameters"), [(90, 10, 3_576_704), (50, 10, 3_249_024)]
)
def test_generator_has_the_released_size(content, motion, parameters):
    with torch.device("meta"):
        generator = VideoGenerator(content, motion, 64, 64, 3)
        made = generator(torch.zeros(2, content), torch.zeros(2, 5, motion))
    # The released table counts the scale and shift of the four batch norms as well.
    assert count(generator.image) == parameters
    assert count(generator.gru) == 660
    assert made.shape == (2, 5, 3, 64, 64)


def test_generator_doubles_the_picture_four_times():
    generator, found = VideoGenerator(6, 4, 2, 64, 3), []
    for layer in generator.image:
        if isinstance(layer, nn.ConvTranspose2d):
            assert layer.bias is None
            layer.register_forward_hook(lambda _, __, y: found.append(tuple(y.shape[1:])))
    generator(torch.zeros(2, 6), torch.zeros(2, 3, 4))
    assert found == [(16, 4, 4), (8, 8, 8), (4, 16, 16), (2, 32, 32), (3, 64, 64)]
    last = [type(layer) for layer in generator.image][-2:]
    assert last == [nn.ConvTranspose2d, nn.Tanh]  # No batch norm before the pictures.


@pytest.mark.parametrize(
    ("frames", "patch", "with_norm"),
    [(1, True, 663_296), (1, False, 2_765_568), (16, True, 2_650_880), (16, False, 11_056_896)],
)
def test_discriminators_have_the_released_sizes(frames, patch, with_norm):
    with torch.device("meta"):
        net = PictureDiscriminator(64, 3, 64, frames=frames, patch=patch)
        bare = PictureDiscriminator(64, 3, 64, frames=frames, patch=patch, batch_norm=False)
    widths = [128, 256] if patch else [128, 256, 512]
    assert count(net) == with_norm
    assert count(bare) == with_norm - 2 * sum(widths)
    assert all(conv.bias is None for conv in net.convs)
    norms = [norm for norm in net.norms if not isinstance(norm, nn.Identity)]
    assert [norm.num_features for norm in norms] == widths  # None after the first layer.
    assert not [m for m in bare.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)]


@pytest.mark.parametrize(
    ("patch", "maps"),
    [
        (False, [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (1, 1, 1)]),
        (True, [(64, 32, 32), (128, 16, 16), (256, 8, 8), (1, 4, 4)]),
    ],
)
def test_maps_of_the_image_discriminator(patch, maps):
    with torch.device("meta"):
        net = PictureDiscriminator(64, 3, 64, patch=patch)
        assert net(torch.zeros(2, 3, 64, 64), None).shape == (2, 16 if patch else 1)
        assert shapes_of(net, net.convs, torch.zeros(2, 3, 64, 64)) == maps


@pytest.mark.parametrize(
    ("frames", "times"),
    [(16, [13, 10, 7, 4, 1]), (25, [22, 19, 16, 13, 10]), (10, [9, 8, 7, 6, 3]),
     (8, [7, 6, 5, 4, 1]), (15, [14, 13, 12, 11, 8])],
)  # fmt: skip
def test_maps_of_the_video_discriminator(frames, times):
    with torch.device("meta"):
        net = PictureDiscriminator(64, 3, 64, frames=frames)
        maps = shapes_of(net, net.convs, torch.zeros(2, frames, 3, 64, 64))
    sides, widths = [32, 16, 8, 4, 1], [64, 128, 256, 512, 1]
    assert maps == [(c, t, s, s) for c, t, s in zip(widths, times, sides, strict=True)]


@pytest.mark.parametrize(("frames", "times"), [(16, 4), (25, 13), (10, 6), (8, 4)])
def test_maps_of_video_patches(frames, times):
    with torch.device("meta"):
        net = PictureDiscriminator(64, 3, 64, frames=frames, patch=True)
        video = torch.zeros(2, frames, 3, 64, 64)
        assert net(video, None).shape == (2, times * 16)
        assert shapes_of(net, net.convs, video)[-1] == (1, times, 4, 4)


@pytest.mark.parametrize(("size", "levels"), [(16, 2), (32, 3), (64, 4)])
def test_every_offered_size(size, levels):
    generator = VideoGenerator(3, 2, 2, size, 1)
    video = generator(torch.zeros(2, 3), torch.zeros(2, 8, 2))
    assert video.shape == (2, 8, 1, size, size)
    assert video.abs().max() <= 1
    assert PictureDiscriminator(size, 1, 2)(video[:, 0], None).shape == (2, 1)
    assert PictureDiscriminator(size, 1, 2, patch=True)(video[:, 0], None).shape == (2, 16)
    assert PictureDiscriminator(size, 1, 2, frames=8)(video, None).shape == (2, 5 - levels)
    assert PictureDiscriminator(size, 1, 2, frames=8, patch=True)(video, None).shape == (
        2,
        16 * (8 - levels),
    )


@pytest.mark.parametrize("size", [8, 48, 63, 256])
def test_other_sizes_are_refused_with_the_choices(size):
    with pytest.raises(ValueError, match=rf"size={size}.*\[16, 32, 64, 128\]"):
        picture_levels(size)


# ---- Motion --------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3])
def test_motion_codes_are_those_of_a_cell_unrolled(batch):
    torch.manual_seed(0)
    generator = VideoGenerator(4, 5, 2, 16, 1)
    gru, cell = generator.gru, nn.GRUCell(5, 5)
    cell.load_state_dict({name[:-3]: p for name, p in gru.state_dict().items()})
    start, noise = torch.randn(batch, 5), torch.randn(batch, 7, 5)
    state, states = start, []
    for k in range(7):
        state = cell(noise[:, k], state)
        states.append(state)
    torch.testing.assert_close(generator.motion(start, noise), torch.stack(states, dim=1))


def test_a_frame_is_made_of_the_content_and_its_own_code():
    torch.manual_seed(0)
    generator = VideoGenerator(4, 3, 2, 16, 1).eval()
    content, codes = torch.randn(2, 4), torch.randn(2, 5, 3)
    video = generator(content, codes)
    for b in range(2):
        for k in range(5):
            z = torch.cat([content[b], codes[b, k]])[None, :, None, None]
            torch.testing.assert_close(video[b, k], generator.image(z)[0], atol=1e-6, rtol=1e-5)


def test_batch_norm_is_over_all_frames():
    """In training, a clip's picture depends on the others of the batch."""
    torch.manual_seed(0)
    generator = VideoGenerator(4, 3, 2, 16, 1)
    content, codes = torch.randn(2, 4), torch.randn(2, 5, 3)
    alone, together = generator(content[:1], codes[:1]), generator(content, codes)
    assert (together[:1] - alone).abs().max() > 1e-3


# ---- Instance noise and the meaning of a logit ---------------------------------------------------


class Counting(Jitter):
    def noise(self, x):
        CALLS.append(tuple(x.shape[1:]))
        return x


CALLS = []


@pytest.mark.parametrize(
    ("frames", "patch", "noisy"), [(1, True, 4), (1, False, 4), (8, True, 3), (8, False, 4)]
)
def test_noise_comes_before_the_convolutions_it_should(frames, patch, noisy):
    """All of the patch image net, all but the last of the others."""
    CALLS.clear()
    net = PictureDiscriminator(64, 3, 2, frames=frames, patch=patch)
    shape = (2, 3, 64, 64) if frames == 1 else (2, frames, 3, 64, 64)
    net(torch.zeros(shape), Counting(torch.Generator()))
    assert len(CALLS) == noisy
    assert [shape[0] for shape in CALLS] == [3, 2, 4, 8][:noisy]


@pytest.mark.parametrize("frames", [1, 8])
def test_without_jitter_there_is_no_noise(frames):
    torch.manual_seed(0)
    net = PictureDiscriminator(16, 1, 2, frames=frames)
    x = torch.randn((2, 1, 16, 16) if frames == 1 else (2, 8, 1, 16, 16))
    jitter = Jitter(torch.Generator().manual_seed(0), sigma=0.1)
    assert torch.equal(net(x, None), net(x, None))
    assert not torch.equal(net(x, jitter), net(x, None))


@pytest.mark.parametrize("patch", [True, False])
@pytest.mark.parametrize("frames", [1, 8])
def test_one_is_as_good_as_many(patch, frames):
    torch.manual_seed(0)
    net = PictureDiscriminator(16, 1, 2, frames=frames, patch=patch, batch_norm=False)
    x = torch.randn((3, 1, 16, 16) if frames == 1 else (3, 8, 1, 16, 16))
    torch.testing.assert_close(net(x[1:2], None), net(x, None)[1:2])


def test_time_is_the_time_axis():
    """A kernel that subtracts the frame three before finds motion, and none where nothing moves."""
    net = PictureDiscriminator(16, 1, 1, frames=16, patch=True, batch_norm=False)
    with torch.no_grad():
        for conv in net.convs:
            conv.weight.fill_(0.1)
        net.convs[0].weight[:, :, 0], net.convs[0].weight[:, :, 3] = -1, 1
        net.convs[0].weight[:, :, 1:3] = 0
    still = torch.rand(1, 1, 1, 16, 16).expand(-1, 16, -1, -1, -1)
    torch.testing.assert_close(net(still, None), torch.zeros(1, net(still, None).shape[1]))
    assert net(still * torch.linspace(0, 1, 16)[:, None, None, None], None).min() > 0
