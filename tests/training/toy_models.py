"""A data set in closed form and three tiny models, for the tests of the trainer."""

import time
from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from soundsight.contract import Loss, Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.nn.dcgan import StepBatchNorm

SPEC = ClipSpec(frames=2, fps=10.0, size=8, sample_rate=40)


class Waves:
    """Clip i is a sine in sound and picture; `indices` are remembered for the tests."""

    spec = SPEC

    def __init__(self, number: int = 10) -> None:
        self.number = number

    def __len__(self) -> int:
        return self.number

    def clips(self, indices: Sequence[int]) -> Clip:
        i = torch.tensor(list(indices), dtype=torch.float32).view(-1, 1)
        pixels = 0.5 + 0.5 * torch.sin((1 + i) * torch.linspace(0, 3, 2 * 64))
        sound = torch.sin((1 + i) * torch.linspace(0, 2, 8))
        return Clip(SPEC, video=pixels.view(-1, 2, 1, 8, 8), audio=sound)


class Toy(nn.Module):
    takes = frozenset({"audio"})
    makes = frozenset({"video"})

    def phases(self) -> dict[str, nn.Module]:
        raise NotImplementedError

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        raise NotImplementedError

    def sample(self, given: Clip, *, num_samples: int, generator: Streams) -> Clip:
        return given.repeat(num_samples)


class Linear(Toy):
    """One phase, no batch norm, no noise: the sound's regression on the first frame."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(64, 8)

    def phases(self) -> dict[str, nn.Module]:
        return {"net": self.net}

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        mse = F.mse_loss(self.net(clip.video[:, 0].flatten(1)), clip.audio)
        yield "net", Loss(mse, {"mse": mse})


class Gan(Toy):
    """Two phases, with all that resuming may stumble over: batch norm, dropout, drawn noise,
    tied weights, a frozen parameter, a phase that starts late."""

    def __init__(self, *, delay_s: float = 0.0) -> None:
        super().__init__()
        self.delay_s = delay_s
        self.generator = nn.Sequential(
            nn.Linear(8 + 4, 2 * 64), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.3)
        )
        self.generator.append(nn.Sequential(nn.Unflatten(1, (2, 8, 8)), nn.Conv2d(2, 2, 3, 1, 1)))
        self.discriminator = nn.Sequential(
            nn.Conv2d(2, 4, 3, 2), nn.LeakyReLU(), nn.Flatten(), nn.Linear(36, 1)
        )
        self.tied = nn.ModuleList([self.discriminator[0]])
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)

    def phases(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        time.sleep(self.delay_s)
        noise = torch.randn(len(clip), 4, generator=generator, device=clip.device)
        fake = self.generator(torch.cat([clip.audio, noise], 1))
        real = clip.video[:, :, 0]
        if step >= 2:
            right, wrong = self.judge(real), self.judge(fake)  # The fake's graph goes on below.
            total = F.softplus(-right).mean() + F.softplus(wrong).mean()
            yield "discriminator", Loss(total, {"right": right.mean(), "wrong": wrong.mean()})
        adversarial = F.softplus(-self.judge(fake)).mean()
        mse = F.mse_loss(fake, real)
        yield "generator", Loss(adversarial + mse, {"adversarial": adversarial, "mse": mse})

    def judge(self, picture: Tensor) -> Tensor:
        return self.discriminator(picture * self.scale)


class Duel(Toy):
    """Two phases without batch norm, dropout or noise, so that accumulating changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.g, self.d = nn.Linear(8, 64), nn.Sequential(nn.Linear(64, 8), nn.Tanh())
        self.order: list[str] = []

    def phases(self) -> dict[str, nn.Module]:
        return {"d": self.d, "g": self.g}

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        fake = self.g(clip.audio)
        self.order.append(f"d{len(clip)}")
        wrong = (self.d(fake.detach()) + 1).square().mean()
        yield "d", Loss((self.d(clip.video[:, 0].flatten(1)) - 1).square().mean() + wrong, {})
        self.order.append(f"g{len(clip)}")
        yield "g", Loss((self.d(fake) - 1).square().mean(), {"twice": 2 * fake.mean()})


class NormedDuel(Duel):
    """The same with batch norm in both phases, once over two time steps, each by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.g = nn.Sequential(nn.Linear(8, 64, bias=False), nn.BatchNorm1d(64))
        self.d = nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3, bias=False), Halves(4)
        )
        self.d.extend([nn.LeakyReLU(), nn.Flatten(), nn.Linear(144, 8), nn.Tanh()])


class Halves(StepBatchNorm):
    def forward(self, x: Tensor, steps: int = 2) -> Tensor:
        order = (
            torch.arange(len(x)).view(-1, 2).T.flatten()
        )  # Every other clip, alike in each rank.
        return super().forward(x[order], steps)[order.argsort()]


def build(kind: type[Toy], seed: int = 0, **options: float) -> Toy:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(**options)
