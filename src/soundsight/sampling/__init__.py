"""From a trained run and a request to clips: what the command line and any page use.

`runs`: open a run folder; `futures`: continue seen frames; `noise`: generate from nothing;
`crossmodal`: pictures of sounds, and sounds of pictures.
"""

from soundsight.sampling.crossmodal import (
    check_give,
    read_picture,
    read_sound,
    translate_data,
    translate_files,
)
from soundsight.sampling.futures import (
    clip_id,
    draw,
    read_given,
    sample_data,
    sample_files,
    write_futures,
)
from soundsight.sampling.noise import (
    Part,
    generate,
    sample_noise,
    sample_variations,
    sample_walk,
    write_generated,
)
from soundsight.sampling.pictures import VIEW_PX, view_scale, write_rows
from soundsight.sampling.runs import (
    LARGEST_SEED,
    MOST_SAMPLES,
    Run,
    check_request,
    check_samples_from,
    load_run,
    probe_writable,
    takes_parts,
)

__all__ = [
    "LARGEST_SEED",
    "MOST_SAMPLES",
    "VIEW_PX",
    "Part",
    "Run",
    "check_give",
    "check_request",
    "check_samples_from",
    "clip_id",
    "draw",
    "generate",
    "load_run",
    "probe_writable",
    "read_given",
    "read_picture",
    "read_sound",
    "sample_data",
    "sample_files",
    "sample_noise",
    "sample_variations",
    "sample_walk",
    "takes_parts",
    "translate_data",
    "translate_files",
    "view_scale",
    "write_futures",
    "write_generated",
    "write_rows",
]
