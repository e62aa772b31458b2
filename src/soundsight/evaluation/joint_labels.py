"""What the scores of generated clips are called on a page, and what they mean to a reader."""

from typing import Literal, NamedTuple

from soundsight.evaluation.joint_scores import P_VALUE, REAL, REPAIRED

Direction = Literal["higher", "lower", "real"]
"""Which values are better; "real": those near the value of real clips."""
WAYS: dict[Direction, str] = {
    "higher": "higher is better",
    "lower": "lower is better",
    "real": "nearer to real is better",
}


class Label(NamedTuple):
    """How a score is shown."""

    text: str
    decimals: int | None
    """None: three digits, wherever they are."""
    better: Direction
    meaning: str
    """For a reader; nothing where another entry says it."""
    unit: str = ""


_FRECHET = (
    "Distance of the features of generated clips from those of real ones, both taken for normal "
    "distributions. It is above 0 even for two sets of real clips, the more the fewer clips there "
    "are: the row of the real clips says how much."
)
_KERNEL = (
    "The same question without assuming a distribution, and without that bias: real clips score 0 "
    "on average, and may score below it."
)
_INCEPTION = (
    "High if the judge is sure of each clip's class and the classes vary; at most the number of "
    "classes. Artefacts can vary as well, so a value above that of real clips is no praise. The "
    "interval is the standard deviation over parts of the clips."
)
_PRECISION = "Share of generated clips that lie where real ones do."
_RECALL = "Share of real clips that lie where generated ones do."
_DENSITY = "How densely real clips lie around generated ones; precision that outliers fool less."
_COVERAGE = "Share of real clips that have a generated one among their nearest neighbours."
_MEMORY = (
    "Probability that a generated clip is nearer to a training clip than an unseen real clip is. "
    "0.5: no nearer; towards 1: the training clips were learned by heart; towards 0: unlike any. "
    "Of training clips that were not looked at it says nothing."
)
_COPIES = "Share of generated clips nearer to a training clip than every unseen real clip is."
_CLASSES = (
    "Number of classes of the real clips that the judge finds at least a tenth as often among the "
    "generated ones."
)
_RECALL_AT = (
    "How often the judge of correspondence finds the partner of a sound (or of a picture) likelier "
    "than every other clip; in 5, in 10: among so many likeliest ones. Depends on the number of "
    "clips."
)

SOUND: dict[str, Label] = {
    "ndb": Label(
        "NDB",
        0,
        "lower",
        "Number of statistically different bins: spectrograms of training sounds are sorted into "
        "bins of alike ones; in so many bins there are significantly more or fewer generated "
        "sounds. One bin in twenty differs by chance.",
    ),
    "ndb_jsd": Label(
        "NDB: divergence",
        None,
        "lower",
        "Jensen-Shannon divergence of how sounds fill the bins: 0 if exactly as the training's.",
    ),
    "frechet_audio": Label("Fréchet distance", None, "lower", _FRECHET),
    "kid_audio": Label("Kernel distance", None, "lower", _KERNEL),
    "inception_audio": Label("Inception score", 2, "real", _INCEPTION),
    "pitch_entropy_sample": Label(
        "Pitch entropy of a clip",
        3,
        "lower",
        "How unsure the judge of pitch is of each sound: low if every sound has one clear pitch.",
        "nats",
    ),
    "pitch_entropy_marginal": Label(
        "Pitch entropy of all",
        3,
        "real",
        "Entropy of the pitches of all sounds together: high if there are many pitches.",
        "nats",
    ),
}
VIDEO: dict[str, Label] = {
    "inception_video": Label("Inception score", 2, "real", ""),
    "frechet_video": Label("Fréchet distance", None, "lower", ""),
    "kernel_video": Label("Kernel distance", None, "lower", ""),
}
FRAMES: dict[str, Label] = {
    "inception_image": Label("Inception score", 2, "real", ""),
    "frechet_image": Label("Fréchet distance", None, "lower", ""),
    "kid_image": Label("Kernel distance", None, "lower", ""),
}
READ: dict[str, Label] = {
    "pitch_place": Label(
        "Place and pitch",
        3,
        "higher",
        "Rank correlation (Spearman) of the place that is seen and the pitch that is heard; -1 to "
        "1. Both are read without training, the one from the picture, the other from the sound.",
    ),
    "class_match": Label(
        "Same class",
        3,
        "higher",
        "Share of clips whose class by the look is their class by the sound.",
    ),
    "class_agreement": Label(
        "Class information",
        3,
        "higher",
        "What the class seen tells about the class heard (normalised mutual information, 0 to 1); "
        "does not mind if they are paired otherwise than in real clips.",
    ),
    "onset_iou": Label(
        "Same moments",
        3,
        "higher",
        "Share of what is seen to happen and heard to happen that happens at once, to a frame.",
    ),
    "lag_s": Label(
        "Lag",
        3,
        "lower",
        "Median size of the delay between motion and sound.",
        "s",
    ),
}
MATCHED: dict[str, Label] = {
    "auc": Label(
        "Own sound (AUC)",
        3,
        "higher",
        "Probability that the judge of correspondence finds a picture and its own sound more alike "
        "than a picture and the sound of another clip; 0.5 if they are independent.",
    ),
    "recall@1": Label("Found first", 3, "higher", _RECALL_AT),
    "recall@5": Label("Found in 5", 3, "higher", ""),
    "recall@10": Label("Found in 10", 3, "higher", ""),
    "av_align": Label(
        "AV-Align",
        3,
        "higher",
        "Share of peaks of motion and onsets of sound that fall together, as published for "
        "TempoTokens. At few frames per second chance alone scores high.",
    ),
}
VARIETY_SOUND: dict[str, Label] = {
    "precision_audio": Label("Precision", 2, "real", _PRECISION),
    "recall_audio": Label("Recall", 2, "real", _RECALL),
    "density_audio": Label("Density", 2, "real", _DENSITY),
    "coverage_audio": Label("Coverage", 2, "real", _COVERAGE),
    "classes_audio": Label("Classes", 0, "higher", _CLASSES),
    "memory_audio": Label("Memory", 2, "real", _MEMORY),
    "copies_audio": Label("Copies", 2, "lower", _COPIES),
}
VARIETY_VIDEO: dict[str, Label] = {
    "precision_video": Label("Precision", 2, "real", ""),
    "recall_video": Label("Recall", 2, "real", ""),
    "density_video": Label("Density", 2, "real", ""),
    "coverage_video": Label("Coverage", 2, "real", ""),
    "classes_video": Label("Classes", 0, "higher", ""),
    "memory_video": Label("Memory", 2, "real", ""),
    "copies_video": Label("Copies", 2, "lower", ""),
}
LABELS = READ | MATCHED | SOUND | VIDEO | FRAMES | VARIETY_SOUND | VARIETY_VIDEO
"""Every score that has a column of its own, in the order of the tables."""


def label(metric: str) -> Label:
    """How a score is shown, also one by a published network: "frechet_video[i3d]"."""
    plain, bracket, network = metric.partition("[")
    if plain in LABELS:
        found = LABELS[plain]
        return found._replace(text=f"{found.text} ({network[:-1]})") if bracket else found
    return Label(metric, 2, "higher", "")


def number(value: float, decimals: int | None) -> str:
    """A number as it is shown, without a sign where it is 0.

    Example:
        >>> number(-0.0001, 3), number(1234.5, None), number(0.01234, None)
        ('0.000', '1,234', '0.0123')
    """
    if decimals is None:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    text = f"{value:,.{decimals}f}"
    return text.lstrip("-") if not text.strip("-0.") else text


def name_label(name: str) -> str:
    """What a row's name is called."""
    if name == REAL:
        return "Real clips"
    if name.endswith(REPAIRED):
        return f"{name.removesuffix(REPAIRED)}, with exchanged sounds"
    return name


def p_label(p: float) -> str:
    """A p-value in words: "p = 0.23", "p = 0.0001"."""
    return f"p = {p:.2f}" if p >= 0.1 else f"p = {p:.2g}"


def is_column(metric: str) -> bool:
    """Is it a score, and not what stands in small letters under one?"""
    return not metric.endswith((P_VALUE, "_of_real", "_readable"))
