"""What the scores of cross-modal generation are called on a page, and what they mean."""

from soundsight.evaluation.crossmodal_scores import CHANCE, MADE, MAJORITY, SHUFFLED
from soundsight.evaluation.joint_labels import Label
from soundsight.evaluation.joint_scores import REAL

ACCURACY: dict[str, Label] = {
    "accuracy": Label(
        "Accuracy",
        3,
        "higher",
        "Share of outputs whose class, by the judge, is that of the given clip. The judge is no "
        "part of any model and was trained on real clips alone.",
    ),
    "accuracy_macro": Label(
        "Accuracy, mean over classes",
        3,
        "higher",
        "The mean of the accuracies of the single classes: a rare class counts as a frequent one.",
    ),
    "accuracy_train": Label(
        "Accuracy, training pairs",
        3,
        "higher",
        "The same on pairs that the model and the judge have learned from.",
    ),
    "accuracy_macro_train": Label("Mean over classes, training pairs", 3, "higher", ""),
    "accuracy_read": Label(
        "Class, read without training",
        3,
        "higher",
        "Share of first outputs whose class, read by the world that made the real clips, is right.",
    ),
}
PARTNERS: dict[str, Label] = {
    "recall@1": Label(
        "Found first",
        3,
        "higher",
        "How often the given clip is the likeliest partner of the output among all, by the judge "
        "of correspondence; in 5, in 10: among so many likeliest ones. Depends on their number, "
        "and clips of one recording may be as good partners as the given one.",
    ),
    "recall@5": Label("Found in 5", 3, "higher", ""),
    "recall@10": Label("Found in 10", 3, "higher", ""),
    "auc": Label(
        "Given clip or another (AUC)",
        3,
        "higher",
        "Probability that the judge finds the output more like the given clip than like another; "
        "0.5 if it cannot tell.",
    ),
    "pitch_place": Label(
        "Place and pitch",
        3,
        "higher",
        "Rank correlation of the place that is seen and the pitch that is heard, in an output and "
        "the clip that was given, -1 to 1. Both are read without training. p: the share of random "
        "exchanges of the given clips that score as well.",
    ),
    "pitch_place_in_class": Label(
        "Place and pitch, within a class",
        3,
        "higher",
        "The same within the classes: what a model cannot know from the class alone.",
    ),
    "pitch_near": Label(
        "Right pitch",
        3,
        "higher",
        "Share of sounds whose pitch, by the judge of pitch, is at most a semitone off the pitch "
        "of the real sound of the given picture. The floor is the one note that is right most "
        "often; pairs whose real sound has no pitch are left out.",
    ),
}
QUALITY: dict[str, Label] = {
    "frechet": Label(
        "Fréchet distance",
        None,
        "lower",
        "Distance of features of outputs from those of real clips, as FID. One half of the pairs "
        "is compared with the other half, of other recordings, also for the real clips, whose row "
        "is therefore what real clips of other recordings score.",
    ),
    "kid": Label(
        "Kernel distance",
        None,
        "lower",
        "The same question without assuming a normal distribution and without bias, as KID; may "
        "fall below 0.",
    ),
    "diversity": Label(
        "Variety",
        None,
        "real",
        "Mean distance of the outputs of one given clip from each other, by the judge's features. "
        "0: the noise is not used. In the row of the real pairs: of two clips of one class, which "
        "is the most that the class leaves open.",
    ),
    "diversity_raw": Label(
        "Variety of pixels or spectrograms",
        None,
        "real",
        "The same by pixels (of sounds: log-mel spectrograms), root mean square.",
    ),
    "memory": Label(
        "Memory",
        2,
        "real",
        "Probability that an output is nearer to a training clip than an unseen real clip is. 0.5: "
        "no nearer; towards 1: learned by heart, or without variety; towards 0: unlike any.",
    ),
    "copies": Label(
        "Copies",
        2,
        "lower",
        "Share of outputs nearer to a training clip than every unseen real clip is.",
    ),
}
TABLES = {
    "Accuracy": ACCURACY,
    "The right partner": PARTNERS,
    "Quality and variety": QUALITY,
}
ROLE_WORDS = {"image": "Pictures made from sounds", "sound": "Sounds made from pictures"}


def suffix(metric: str) -> str:
    """A metric without what was made: of "image_accuracy" "accuracy"."""
    role, _, rest = metric.partition("_")
    return rest if role in MADE else metric


def label(metric: str) -> Label:
    """How a score is shown, also one by a published network: "image_frechet[inception]"."""
    plain, bracket, network = suffix(metric).partition("[")
    for known in TABLES.values():
        if plain in known:
            found = known[plain]
            return found._replace(text=f"{found.text} ({network[:-1]})") if bracket else found
    return Label(metric, 3, "higher", "")


def name_label(name: str) -> str:
    """What a row's name is called."""
    known = {
        REAL: "Real pairs (ceiling)",
        MAJORITY: "Always the most frequent class (floor)",
        CHANCE: "Blind guessing",
    }
    if name.endswith(SHUFFLED):
        return f"{name.removesuffix(SHUFFLED)}, given another clip"
    return known.get(name, name)
