"""Score a forecaster of your own with the library's protocol, beside the control rows.

A forecaster is any function from what is given (the first frames and the whole sound), the number
of futures and the random streams to these futures. This one keeps the motion of the last two seen
frames going, and adds noise: sharp, deaf, and wrong after the first bounce.

Run: `python examples/score_a_forecaster.py`. Takes about five seconds.
"""

import torch

from soundsight.contract import Streams
from soundsight.data.m3so import M3SO
from soundsight.evaluation.forecast import evaluate_forecast
from soundsight.evaluation.forecasters import mean_image
from soundsight.evaluation.scores import ForecastProtocol, Scores
from soundsight.media.clip import Clip, ClipSpec


def keep_going(given: Clip, num_samples: int, streams: Streams) -> Clip:
    """Move the last seen frame on by the shift between the last two, with a random error."""
    seen, total = given.video.shape[1], given.spec.frames
    errors = streams.normal(num_samples, 2)
    clips = []
    for i, video in enumerate(given.video.repeat_interleave(num_samples, dim=0)):
        shift = centre(video[-1]) - centre(video[-2]) + 0.3 * errors[i]
        future = [
            torch.roll(video[-1], (shift * step).round().int().tolist(), dims=(1, 2))
            for step in range(1, total - seen + 1)
        ]
        clips.append(torch.cat([video, torch.stack(future)]))
    return given.repeat(num_samples).replace(video=torch.stack(clips))


def centre(frame: torch.Tensor) -> torch.Tensor:
    """Centre of brightness (y, x) of a frame (c, h, w), pixels."""
    weight = frame.mean(0) / frame.mean(0).sum().clamp(min=1e-6)
    y = torch.arange(frame.shape[1])
    x = torch.arange(frame.shape[2])
    return torch.stack([(weight.sum(1) * y).sum(), (weight.sum(0) * x).sum()])


def main() -> Scores:
    """Print SSIM and PSNR of the forecaster and of the controls."""
    spec = ClipSpec(frames=10, size=24)
    data = M3SO(canvas=24, digit=12, speeds=(1, 2))
    scores = evaluate_forecast(
        {"keep_going": keep_going},
        data.build(spec, "test"),
        ForecastProtocol(seen=4, frames=10, num_samples=5, clips=24, seed=0),
        mean_image=mean_image(data.build(spec, "train")),
    )
    for name in ("keep_going", "copy_last", "mean_image", "blank"):
        for metric in ("ssim", "psnr"):
            row = scores.row(name, metric, "mean")
            print(
                f"{name:12}{metric:6}{row.value:8.3f}  [{row.low:.3f}, {row.high:.3f}]  n={row.n}"
            )
    return scores


if __name__ == "__main__":
    main()
