"""Sound2Sight's table 1a at its own size: M3SO-NB, 48 px, 5 seen frames, up to frame 25.

Command: soundsight compare --suite sound2sight_table1 --out runs/table1
    --set data.digits=mnist --set data.mnist=MNIST
Hardware: one GPU with 24 GB; weeks on a CPU. `sound2sight_table1_laptop` is the small one.
"""

from soundsight.evaluation.claims import Claim
from soundsight.evaluation.forecasters import SHUFFLED
from soundsight.evaluation.suite import Published
from soundsight.suites import Row, Suite

FRAMES = (6, 15, 25)
PUBLISHED = {
    "sound2sight": Published(FRAMES, (0.9575, 0.8943, 0.8697), (21.69, 17.62, 16.84)),
    "no_aa": Published(FRAMES, (0.9547, 0.8584, 0.8296), (21.80, 17.36, 16.97)),
    "no_aa_no_md": Published(FRAMES, (0.9477, 0.8546, 0.8251), (21.16, 16.16, 15.49)),
    "no_audio": Published(FRAMES, (0.9556, 0.8351, 0.6920), (22.66, 15.59, 12.40)),
    "speech_driven_multiframe": Published(FRAMES, (0.9012, 0.8690, 0.8693), (18.09, 15.23, 15.33)),
    "speech_driven": Published(FRAMES, (0.8600, 0.8571, 0.8573), (15.17, 14.99, 15.01)),
    "svg_lp": Published(FRAMES, (0.9265, 0.8300, 0.7999), (18.59, 14.65, 13.98)),
    "audio_only": Published(FRAMES, (0.8499, 0.8659, 0.8662), (13.71, 13.16, 12.94)),
}
"""Table 1a: SSIM and PSNR at these frames. Most likely the best of 100 anew in every frame
(`frame_oracle`), and SSIM of data range 2 (`ssim_legacy`)."""


def claims(first: int, last: int) -> tuple[Claim, ...]:
    """The orderings of the paper's table and figures, and what they rest on.

    Late means the last frame, by the best of K futures; elsewhere one draw is judged.
    """
    ours, deaf, half = "sound2sight", "no_audio", "psnr_first_half"
    late = ("psnr", "sequence_best", last)
    return (
        Claim("Sound helps: over the first half", ours, deaf, half, "mean"),
        Claim("Sound helps late: in the last frame", ours, deaf, *late),
        Claim("It listens: its own sound helps more than another clip's", ours, ours + SHUFFLED,
              half, "mean"),
        Claim("Given another clip's sound it falls below the model without ears", deaf,
              ours + SHUFFLED, half, "mean"),
        Claim("Better than SVG-LP in the first predicted frame", ours, "svg_lp", "psnr", "mean",
              first),
        Claim("Better than SVG-LP over the first half", ours, "svg_lp", half, "mean"),
        Claim("Better than SVG-LP late", ours, "svg_lp", *late),
        Claim("Better than the speech-driven GAN with all seen frames, over the first half", ours,
              "speech_driven_multiframe", half, "mean"),
        Claim("Better than the speech-driven GAN with all seen frames, late", ours,
              "speech_driven_multiframe", *late),
        Claim("All seen frames help the speech-driven GAN", "speech_driven_multiframe",
              "speech_driven", half, "mean"),
        Claim("Better than sound alone", ours, "audio_only", half, "mean"),
        Claim("Better than DDPAE", ours, "ddpae", half, "mean"),
        Claim("The audio-alignment terms (AA) help, late", ours, "no_aa", *late),
        Claim("The motion-dynamics terms (MD) help, late", "no_aa", "no_aa_no_md", *late),
        Claim("The discriminator helps, late", ours, "no_discriminator", *late),
        Claim("Transformers are better than LSTMs, late", ours, "lstm", *late),
        Claim("What was mended helps: better than as released, over the first half", ours, "paper",
              half, "mean"),
        Claim("Better than the mean picture, over the first half", ours, "mean_image", half,
              "mean"),
        Claim("Better than keeping the last frame, over the first half", ours, "copy_last", half,
              "mean"),
    )  # fmt: skip


def row(name: str, recipe: str, **changes: object) -> Row:
    """A row with what the paper reports for it."""
    dotted = {f"model.{field}": value for field, value in changes.items()}
    return Row(name, recipe, dotted, PUBLISHED.get(name))


SUITE = Suite(
    title="Sound2Sight, table 1a: M3SO-NB",
    about=(
        "The rows of table 1a of Sound2Sight (Chatterjee and Cherian, ECCV 2020), its ablations of "
        "figure 5a, DDPAE from table 2 and the model as it was released: the same data in the same "
        "order, the same steps, the same evaluation."
    ),
    rows=(
        row("sound2sight", "sound2sight_m3so_nb"),
        row("no_aa", "sound2sight_m3so_nb_no_aa"),
        row("no_aa_no_md", "sound2sight_m3so_nb_no_aa_no_md"),
        row("no_discriminator", "sound2sight_m3so_nb_no_discriminator"),
        row("lstm", "sound2sight_m3so_nb_lstm"),
        row("no_audio", "sound2sight_m3so_nb_no_audio"),
        row("paper", "sound2sight_m3so_nb_paper"),
        row("svg_lp", "svg_lp_m3so_nb"),
        row("speech_driven_multiframe", "speech_driven_m3so_nb_multiframe"),
        row("speech_driven", "speech_driven_m3so_nb"),
        row("audio_only", "audio_only_m3so_nb"),
        row("ddpae", "ddpae_m3so_nb"),
    ),
    claims=claims(FRAMES[0], FRAMES[-1]),
    frames=FRAMES,
)
