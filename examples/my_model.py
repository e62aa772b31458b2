"""A model in one file: what the contract asks for, in about a hundred lines.

`Drift` forecasts frame by frame: the next frame is drawn from the last one, from the sound of its
time, and from a small random latent that it learned as a variational autoencoder. It is far too
small to be good. A paper's model has the same members; see `soundsight.contract`.

Run: `python examples/my_model.py [FOLDER]`. Takes about ten seconds.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from soundsight.contract import Loss, Model, Streams
from soundsight.data.m3so import M3SO
from soundsight.media.clip import Clip, ClipSpec
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig, train


class Drift(nn.Module):
    """Next frame = a convolution of the last one, steered by its sound and a latent z."""

    takes = frozenset({"audio", "context"})
    makes = frozenset({"video"})

    def __init__(self, spec: ClipSpec, *, width: int = 16, z_dim: int = 4, beta: float = 1e-3):
        super().__init__()
        self.spec, self.z_dim, self.beta = spec, z_dim, beta
        self.look = nn.Conv2d(spec.channels, width, kernel_size=5, padding=2)
        self.listen = nn.Linear(spec.samples_per_frame + z_dim, width)
        self.draw = nn.Conv2d(width, spec.channels, kernel_size=5, padding=2)
        self.posterior = nn.Conv2d(2 * spec.channels, 2 * z_dim, kernel_size=8, stride=8)

    def phases(self) -> dict[str, nn.Module]:
        """One optimizer for everything."""
        return {"drift": self}

    def step(self, frame: Tensor, chunk: Tensor, z: Tensor) -> Tensor:
        """Frames (m, c, h, w), the sound (m, n) of their time, and z (m, d) -> the next frames."""
        steer = self.listen(torch.cat([chunk, z], dim=1))[:, :, None, None]
        return torch.sigmoid(4 * self.draw(torch.relu(self.look(frame) + steer)) - 2)

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        """Evidence lower bound of every pair of neighbouring frames."""
        before, after = clip.video[:, :-1].flatten(0, 1), clip.video[:, 1:].flatten(0, 1)
        chunks = clip.audio.unflatten(1, (-1, self.spec.samples_per_frame))[:, :-1].flatten(0, 1)

        mean, logvar = (
            self.posterior(torch.cat([before, after], dim=1)).mean((2, 3)).chunk(2, dim=1)
        )
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        predicted = self.step(before, chunks, mean + torch.exp(logvar / 2) * noise)

        error = (predicted - after).square().mean()
        kl = (mean.square() + logvar.exp() - logvar - 1).sum(1).mean() / 2
        yield "drift", Loss(error + self.beta * kl, {"mse": error, "kl": kl})

    @torch.no_grad()
    def sample(self, given: Clip, *, num_samples: int, generator: Streams) -> Clip:
        """Roll out from the last seen frame to the end of the sound."""
        clip = given.repeat(num_samples)
        chunks = clip.audio.unflatten(1, (-1, self.spec.samples_per_frame))
        seen, frames = clip.video.shape[1], [clip.video[:, -1]]
        for t in range(seen - 1, chunks.shape[1] - 1):
            z = generator.normal(num_samples, self.z_dim).to(clip.device)
            frames.append(self.step(frames[-1], chunks[:, t], z))
        return clip.replace(video=torch.cat([clip.video[:, :-1], torch.stack(frames, 1)], dim=1))


def main(folder: Path) -> Clip:
    """Train for a few steps, then draw three futures of two clips."""
    torch.manual_seed(0)
    spec = ClipSpec(frames=12, size=16)
    data = M3SO(canvas=16, digit=8, speeds=(1, 2))
    model = Drift(spec)
    assert isinstance(model, Model)  # Has all the members that the contract names.

    optim = {"drift": OptimConfig(lr=2e-3)}
    config = TrainConfig(steps=40, batch_size=8, optim=optim, device="cpu", seed=1)
    train(model, data.build(spec, "train"), config, folder / "drift", recipe={}, progress=False)

    given = data.build(spec, "test").clips([0, 1]).context(5)
    futures = model.eval().sample(given, num_samples=3, generator=Streams(seed=7, ids=[0, 1]))
    print(f"{len(futures)} futures, video {tuple(futures.video.shape)}")
    return futures


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))
