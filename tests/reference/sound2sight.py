"""Sound2Sight as a plain step-by-step loop, the way the algorithm is told.

Every step encodes its input and its target frame, re-runs the transformers over the whole past, and
decodes with concatenated skips; every future is drawn by itself; every window is judged by itself.
Slow, simple, and sharing nothing with the library but the weights.
"""

import torch
import torch.nn.functional as F

from soundsight.models.sound2sight import Sound2Sight


def decode(decoder, code, skips):
    """The decoder with its skips concatenated, as published."""
    x = F.leaky_relu(decoder.first_norm(decoder.first(code[:, :, None, None])), 0.2)
    for up, skip in zip(decoder.ups, reversed(skips), strict=True):
        x = up.conv(torch.cat([x, skip], dim=1))
        x = torch.sigmoid(x) if up.norm is None else F.leaky_relu(up.norm(x), 0.2)
    return x


def encode(encoder, x):
    """The encoder, block by block: code and skips."""
    skips = []
    for block in encoder.blocks:
        x = F.leaky_relu(block.norm(block.conv(x)), 0.2)
        skips.append(x)
    return torch.tanh(encoder.code.norm(encoder.code.conv(x))).flatten(1), skips


def hear(encoder, chunk):
    """The chunk encoder, block by block."""
    x = chunk
    for block in encoder.blocks:
        x = F.leaky_relu(block.norm(block.conv(x)), 0.2)
    return torch.tanh(encoder.code.norm(encoder.code.conv(x))).flatten(1)


def last_of(past, items):
    """The last output of a past encoder re-run over a whole list."""
    return past(torch.stack(items))[-1]


def gaussian(lstm, video, sound, state):
    """One step of a Gaussian LSTM."""
    joined = video if sound is None else torch.cat([video, sound], dim=1)
    return lstm(joined[None], state)


def teacher_forced(model: Sound2Sight, x, chunks, noise, from_posterior):
    """Frames, priors and posteriors, lists over the steps n = 0 ... t-2."""
    net, seen = model.generator, min(model.config.seen, len(x) - 1)
    inputs, targets, sounds = [], [], []
    states = [None, None, None]
    frames, priors, posteriors = [], [], []
    for n in range(len(x) - 1):
        code, maps = encode(net.encoder, x[n])
        target, _ = encode(net.encoder, x[n + 1])
        if n < seen or model.config.last_frame_skip:
            skips = maps
        inputs.append(code)
        targets.append(target)
        sound = None
        if chunks is not None:
            sounds.append(hear(net.sound, chunks[n + 1]))
            sound = last_of(net.heard_past, sounds)
        prior, states[0] = gaussian(net.prior, last_of(net.prior_past, inputs), sound, states[0])
        posterior, states[1] = gaussian(
            net.posterior, last_of(net.posterior_past, targets), sound, states[1]
        )
        source = torch.where(
            from_posterior, posterior.sample(noise[n : n + 1]), prior.sample(noise[n : n + 1])
        )
        eta, states[2] = net.predictor(torch.cat([code[None], source], dim=2), states[2])
        frames.append(decode(net.decoder, eta[0], skips))
        priors.append(prior)
        posteriors.append(posterior)
    return frames, priors, posteriors


def generator_loss(model: Sound2Sight, x, frames, priors, posteriors):
    """Equation 2, step by step."""
    total = 0.0
    for n, frame in enumerate(frames):
        total = total + F.mse_loss(frame, x[n + 1])
        p, q = priors[n], posteriors[n]
        kl = torch.distributions.kl_divergence(
            torch.distributions.Normal(q.mean, torch.exp(q.logvar / 2)),
            torch.distributions.Normal(p.mean, torch.exp(p.logvar / 2)),
        )
        total = total + model.config.beta * kl.sum() / x.shape[1]
    return total


def adversarial_losses(model: Sound2Sight, x, frames, chunks):
    """The generator's and the discriminator's loss of Equation 3 as released, window by window.

    Mismatched sound is the next clip's; the discriminator's encoders are not trained.
    """
    net = model.discriminator
    with torch.no_grad():
        real = [encode(net.frames, frame)[0] for frame in x[1:]]
        heard = [hear(net.sound, chunk) for chunk in chunks[1:]]
    fake = [encode(net.frames, frame)[0] for frame in frames]

    def judge(seen, sound):
        joined = torch.stack([torch.cat(pair, dim=1) for pair in zip(seen, sound, strict=True)])
        return torch.tanh(net.head(net.lstm(net.embed(joined))[0][-1]))

    def cost(logits, label):
        return F.cross_entropy(logits, torch.full((len(logits),), label))

    generator, discriminator = 0.0, 0.0
    for i in range(2, len(real)):
        own = heard[i - 2 : i + 1]
        foreign = [sound.roll(-1, 0) for sound in own]
        r, f = real[i - 2 : i + 1], [*real[i - 2 : i], fake[i]]
        still = net.still(fake[i])
        generator = (
            generator + (cost(judge(f, own), 1) + cost(still, 1) + cost(judge(f, foreign), 1)) / 3
        )
        f = [frame.detach() for frame in f]
        right = cost(judge(r, own), 1) + cost(net.still(real[i]), 1)
        forged = cost(judge(f, own), 0) + cost(net.still(f[-1]), 0)
        wrong = cost(judge(r, foreign), 0) + cost(judge(f, foreign), 0)
        discriminator = discriminator + right / 2 + (forged + wrong) / 8
    return generator, discriminator


@torch.no_grad()
def rollout(model: Sound2Sight, video, chunks, noise):
    """One future of one clip: everything seen, heard and drawn is encoded anew at every step."""
    net, seen = model.generator, video.shape[1]
    frames = list(video.transpose(0, 1))
    for n in range(seen - 1, len(noise)):
        states = [None, None]
        for m in range(n + 1):
            codes = [encode(net.encoder, frame)[0] for frame in frames[: m + 1]]
            sound = None
            if chunks is not None:
                heard = [hear(net.sound, chunk) for chunk in chunks[1 : m + 2]]
                sound = last_of(net.heard_past, heard)
            prior, states[0] = gaussian(net.prior, last_of(net.prior_past, codes), sound, states[0])
            z = prior.sample(noise[m : m + 1])
            eta, states[1] = net.predictor(torch.cat([codes[-1][None], z], dim=2), states[1])
        skips = encode(net.encoder, frames[seen - 1])[1]
        if model.config.last_frame_skip:
            skips = encode(net.encoder, frames[n])[1]
        frames.append(decode(net.decoder, eta[0], skips))
    return torch.stack(frames, dim=1)
