"""What each kind of pair, shown to a joint discriminator, teaches: a world of points.

A "sound" is a point near one of eight places on a circle, and so is a "picture". Of what belongs
together, the picture's place is three times the sound's, round the circle. Each model is a pair of
small generators with the losses of `soundsight.models.joint_gan`, and is judged by what the
places of its sounds tell about those of its pictures.

Equation 2 as published never sees a generated sound beside its own generated picture, and the
pairs come out as if drawn apart; so do those without joint discriminators. With generated pairs
("gg"), and noise that both generators see, they belong together. So they do with a matcher
("match"): it learns from real pairs which picture of a batch is a sound's own, and the generators
learn that it finds theirs. Its weight is small: for a heavy one they give up places, because the
fewer there are, the easier it is to tell pairs apart.

Run: `python examples/vector_rings.py`. Takes about fifteen seconds.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy, leaky_relu, normalize

from soundsight.models.joint_gan import (
    discriminator_1_loss,
    discriminator_2_loss,
    fake_loss,
    generator_loss,
    real_loss,
)
from soundsight.nn.penalty import r1_penalty

PLACES, SPREAD = 8, 0.1
LATENT, WIDTH, BATCH = 8, 64, 96
GAMMA = 0.1
"""Of R1, on every discriminator."""
CODES, TEMPERATURE, WEIGHT = 8, 0.1, 0.1
"""Of the matcher; the weight is that of the generators' term."""


@dataclass(frozen=True)
class Result:
    """How a model's pairs fit together, a number for each model."""

    right: Tensor
    """Share of pairs in places that belong together; by chance 1/8."""
    information: Tensor
    """Normalized mutual information of the places; independent: 0, all right: 1."""
    places: Tensor
    """Places in use, exp(entropy), of 8."""


class Ensemble(nn.Module):
    """As many two-layer networks as there are models, all in one multiplication."""

    def __init__(self, models: int, inputs: int, outputs: int, generator: Generator) -> None:
        super().__init__()
        sizes = [(inputs, WIDTH), (WIDTH, WIDTH), (WIDTH, outputs)]

        def uniform(rows: int, i: int, o: int) -> Tensor:
            return (2 * torch.rand(models, rows, o, generator=generator) - 1) / math.sqrt(i)

        self.weights = nn.ParameterList(uniform(i, i, o) for i, o in sizes)
        self.biases = nn.ParameterList(uniform(1, i, o) for i, o in sizes)

    def forward(self, x: Tensor) -> Tensor:
        """(models, batch, inputs) -> (models, batch, outputs)."""
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, leaky_relu(x, 0.2) if layer else x, weight)
        return x


def on_circle(place: Tensor) -> Tensor:
    """Coordinates of places."""
    angle = 2 * math.pi * place / PLACES
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def real_pairs(models: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Sounds and pictures that belong together, (models, batch, 2) each."""
    place = torch.randint(PLACES, (models, BATCH), generator=generator)
    sound, video = on_circle(place), on_circle(3 * place)
    noise = SPREAD * torch.randn(2, *sound.shape, generator=generator)
    return sound + noise[0], video + noise[1]


class Rings:
    """Models with the same pairs, each with weights and draws of its own.

    Args:
        pairs: "eq2" and "gg", or "match", as in `joint_gan.Config`; or none of them.
        shared: whether both generators see the same noise.
        models: how many.
        seed: root of all randomness.
    """

    def __init__(self, pairs: tuple[str, ...], *, shared: bool, models: int, seed: int) -> None:
        self.pairs, self.shared, self.models = pairs, shared, models
        self.random = Generator().manual_seed(seed)

        def nets(inputs: int, outputs: int) -> nn.ModuleList:
            return nn.ModuleList(Ensemble(models, inputs, outputs, self.random) for _ in range(2))

        self.generators = nets(LATENT, 2)
        self.marginal = nets(2, 1)
        self.joint = nets(2, CODES) if "match" in pairs else nets(4, 1)
        judges = [*self.marginal.parameters(), *self.joint.parameters()]
        adam = torch.optim.Adam
        self.learn = adam(self.generators.parameters(), 6e-4, (0.5, 0.99), fused=True)
        self.judge = adam(judges, 1.2e-3, (0.5, 0.99), fused=True)

    def generate(self, count: int) -> tuple[Tensor, Tensor]:
        """Sounds and pictures of each model, (models, count, 2) each."""
        noise = torch.randn(2, self.models, count, LATENT, generator=self.random)
        sound, video = self.generators
        return sound(noise[0]), video(noise[0 if self.shared else 1])

    def r1(self, net: nn.Module, real: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of real samples, and the penalty, summed over the models."""
        flat = real.flatten(0, 1).requires_grad_()
        logits = net(flat.unflatten(0, (self.models, BATCH)))
        return logits, self.models * GAMMA / 2 * r1_penalty(logits.flatten(), [flat])

    def step(self) -> None:
        """Discriminators, then generators. Losses are means over models; each gets its own."""
        real, fake = real_pairs(self.models, self.random), self.generate(BATCH)
        self.judge.zero_grad()
        self.discriminators_loss(real, tuple(part.detach() for part in fake)).backward()
        self.judge.step()
        loss = self.generators_loss(real, fake)
        self.learn.zero_grad()
        loss.backward(inputs=list(self.generators.parameters()))
        self.learn.step()

    def discriminators_loss(self, real: tuple[Tensor, ...], fake: tuple[Tensor, ...]) -> Tensor:
        """Both marginal discriminators' losses, and those of D_1 and D_2 or of the matcher."""
        total = torch.zeros(())
        for net, x, made in zip(self.marginal, real, fake, strict=True):
            logits, penalty = self.r1(net, x)
            total = total + self.models * (real_loss(logits) + fake_loss(net(made))) + penalty
        if "match" in self.pairs:
            return total + self.models * self.matched(real)
        if self.pairs:
            logits, penalty = self.r1(self.joint[0], torch.cat(real, dim=2))
            said = self.judged(0, real, fake)
            fakes = [*said.values()]
            total = total + self.models * discriminator_1_loss(logits, fakes, average=True)
            total = total + penalty
        if "eq2" in self.pairs:
            said = self.judged(1, real, fake)
            loss = discriminator_2_loss(said["eq2_sound"], said["eq2_video"])
            total = total + self.models * loss
        return total

    def generators_loss(self, real: tuple[Tensor, ...], fake: tuple[Tensor, ...]) -> Tensor:
        """The generators' side of all of it."""
        marginal = zip(self.marginal, fake, strict=True)
        terms = [generator_loss(net(made)) for net, made in marginal]
        if "match" in self.pairs:
            terms.append(WEIGHT * self.matched(fake))
        elif self.pairs:
            terms += [generator_loss(logits) for logits in self.judged(0, real, fake).values()]
        if "eq2" in self.pairs:
            said = self.judged(1, real, fake)
            terms += [fake_loss(said["eq2_sound"]), real_loss(said["eq2_video"])]
        return self.models * torch.stack(terms).sum()

    def judged(
        self, which: int, real: tuple[Tensor, ...], fake: tuple[Tensor, ...]
    ) -> dict[str, Tensor]:
        """What D_1 (0) or D_2 (1) says of pairs that are not real."""
        kinds = {}
        if "eq2" in self.pairs:
            kinds |= {"eq2_sound": (fake[0], real[1]), "eq2_video": (real[0], fake[1])}
        if "gg" in self.pairs and which == 0:
            kinds["gg"] = fake
        stacked = torch.cat([torch.cat(pair, dim=2) for pair in kinds.values()], dim=1)
        logits = self.joint[which](stacked).chunk(len(kinds), dim=1)
        return dict(zip(kinds, logits, strict=True))

    def matched(self, pair: tuple[Tensor, ...]) -> Tensor:
        """InfoNCE of the codes of sounds and pictures, each among those of its batch."""
        codes = [normalize(net(part), dim=2) for net, part in zip(self.joint, pair, strict=True)]
        products = codes[0] @ codes[1].mT / TEMPERATURE
        own = torch.arange(BATCH).expand(self.models, -1)
        return (cross_entropy(products.mT, own) + cross_entropy(products, own)) / 2

    @torch.no_grad()
    def result(self, count: int = 4000) -> Result:
        """Judge `count` generated pairs of each model by the places nearest to them."""
        where = on_circle(torch.arange(PLACES))
        sound, video = (torch.cdist(part, where).argmin(2) for part in self.generate(count))
        right = (video == 3 * sound % PLACES).double().mean(1)
        cells = nn.functional.one_hot(PLACES * sound + video, PLACES**2).double().mean(1)
        table = cells.unflatten(1, (PLACES, PLACES))
        both, *apart = (entropy(x) for x in (table.flatten(1), table.sum(2), table.sum(1)))
        information = (apart[0] + apart[1] - both) / math.log(PLACES)
        return Result(right, information, torch.stack([x.exp() for x in apart]).mean(0))


def entropy(share: Tensor) -> Tensor:
    """Of each row, nats."""
    return torch.special.entr(share).sum(1)


ARMS = {
    "none": ((), False),
    "eq2": (("eq2",), True),
    "eq2 + gg": (("eq2", "gg"), True),
    "match": (("match",), True),
}
"""Pairs, and whether the noise is shared."""


def main(steps: int = 600, models: int = 2) -> dict[str, Result]:
    """Train every arm, print the table, and return the results by arm."""
    results = {}
    print(
        f"{'pairs':10}{'right':>8}{'information':>13}{'places':>8}   {steps} steps, {models} seeds"
    )
    for name, (pairs, shared) in ARMS.items():
        rings = Rings(pairs, shared=shared, models=models, seed=0)
        for _ in range(steps):
            rings.step()
        results[name] = found = rings.result()
        numbers = found.right.mean(), found.information.mean(), found.places.mean()
        print(f"{name:10}{numbers[0]:8.2f}{numbers[1]:13.2f}{numbers[2]:8.1f}")
    return results


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
