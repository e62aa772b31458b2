"""What names, metrics and rules are called on a page, and what they mean to a reader."""

from typing import NamedTuple

from soundsight.evaluation.fooling import LABELLED_REAL
from soundsight.evaluation.forecasters import REAL, SHUFFLED

NAMES = {
    "copy_last": "Copy the last seen frame",
    "mean_image": "Mean picture of the training data",
    "blank": "Black frames",
    "centre_block": "Constant guess of the block's place",
    REAL: "The real future (upper bound)",
}


class Metric(NamedTuple):
    """How a metric is shown."""

    label: str
    unit: str
    decimals: int
    higher_is_better: bool
    meaning: str


METRICS = {
    "psnr_first_half": Metric(
        "PSNR, first half", "dB", 2, True, "PSNR over the first half of the predicted frames only."
    ),
    "psnr": Metric(
        "PSNR",
        "dB",
        2,
        True,
        "Pixel error on a logarithmic scale: 3 dB more is half the squared error. Identical frames "
        "count as 100 dB.",
    ),
    "ssim": Metric(
        "SSIM",
        "",
        4,
        True,
        "Similarity of local structure (7x7 windows, data range 1). Identical frames score 1.",
    ),
    "ssim_legacy": Metric(
        "SSIM, published convention",
        "",
        4,
        True,
        "The same with data range 2, which older software assumed unasked. It is always higher: "
        "compare it with published numbers, and with nothing else.",
    ),
    "psnr_region": Metric(
        "PSNR, region", "dB", 2, True, "PSNR of the part of the frame that the protocol names."
    ),
    "ssim_region": Metric("SSIM, region", "", 4, True, "SSIM of that part."),
    "block_iou": Metric(
        "Block overlap (IoU)",
        "",
        3,
        True,
        "Overlap of the block found in the last frame with where it is: 1 is exact, 0 a miss.",
    ),
    "block_time_error": Metric(
        "Block timing error",
        "frames",
        2,
        False,
        "By how many frames the block appears too early or too late; a block that never appears "
        "counts as one frame after the end.",
    ),
    "pairwise_ssim": Metric(
        "Likeness of futures",
        "",
        4,
        False,
        "SSIM between the sampled futures of one clip: 1 means that they are all the same.",
    ),
}

RULE_LABELS = {
    "mean": "Average over the futures",
    "sequence_best": "Best of the K futures",
    "frame_oracle": "Best future anew in every frame",
    "none": "No choice among futures",
}
RULE_MEANINGS = {
    "mean": "What one draw is worth on average. It needs no knowledge of the truth.",
    "sequence_best": "For each clip the one future most like the truth (by mean SSIM) counts. It "
    "asks whether the truth is among the K, and grows with K.",
    "frame_oracle": "The best future is chosen again for every frame and every metric. Some "
    "publications report this; it is no sequence that anybody could watch.",
}


def name_label(name: str) -> str:
    """What a row's name is called: "copy_last" becomes "Copy the last seen frame"."""
    if name.endswith(SHUFFLED):
        return f"{name.removesuffix(SHUFFLED)}, given another clip's sound"
    if name.startswith(f"{REAL}:"):
        return f"The real future, judged by {name.removeprefix(f'{REAL}:')}'s discriminator"
    return NAMES.get(name, name)


def metric(name: str) -> Metric:
    """How a metric is shown, also one that has no entry of its own."""
    if name.startswith("ssim_best_of_"):
        k = name.rpartition("_")[2]
        return Metric(f"SSIM, best of {k}", "", 4, True, f"Expected best SSIM among {k} futures.")
    if name.startswith(LABELLED_REAL):
        head = name.removeprefix(LABELLED_REAL)
        return Metric(
            f"Labelled real ({head})",
            "",
            3,
            True,
            "Share of the frames that the model's own discriminator takes for real ones. Compare "
            "it only with the row of the real future that the same discriminator judged: those of "
            "two models have two judges.",
        )
    return METRICS.get(name, Metric(name, "", 4, True, ""))
