"""Where the faces are: a boxes.csv for `soundsight prepare --boxes`: a face fills the frame.

    python examples/face_boxes.py VIDEOS boxes.csv
    soundsight prepare VIDEOS faces --boxes boxes.csv --recipe sound2sight_faces_laptop

In a whole frame a mouth is a few pixels wide, and there is little to learn from it.  Each video
gets one box, the median over some of its frames of the face that scikit-image's detector finds; one
in which it finds none, or several people, gets no box and is told.
"""

import csv
import sys
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8
from skimage import data
from skimage.feature import Cascade

LOOKS = 5
"""Frames of a video that are looked at."""
SMALLEST = 0.15
"""Least side of a face, as a share of the picture's shorter side."""
VIDEOS = {".mp4", ".mpg", ".mov", ".avi", ".mkv", ".webm"}

Box = tuple[float, float, float, float]


def frames_of(path: Path) -> list[UInt8[np.ndarray, "h w 3"]]:
    """A few frames, evenly spread over the video."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    places = np.linspace(0, len(frames) - 1, LOOKS).round().astype(int)
    return [frames[place] for place in sorted(set(places.tolist()))]


def find_face(frame: UInt8[np.ndarray, "h w 3"], detector: Cascade) -> Box | None:
    """Left, top, right and bottom edge of a frame's one face; None if there is not exactly one."""
    side = min(frame.shape[:2])
    least = round(SMALLEST * side)
    found = detector.detect_multi_scale(
        img=frame, scale_factor=1.1, step_ratio=1, min_size=(least, least), max_size=(side, side)
    )
    if len(found) != 1:
        return None
    x, y, width, height = (found[0][key] for key in ("c", "r", "width", "height"))
    return x, y, x + width, y + height


def main(videos: Path, out: Path) -> tuple[int, int]:
    """Write the boxes of all videos of a folder; returns how many have one, and how many there are.

    Raises:
        ValueError: if the folder holds no video.
    """
    detector = Cascade(data.lbp_frontal_face_cascade_filename())
    paths = sorted(path for path in videos.rglob("*") if path.suffix.lower() in VIDEOS)
    if not paths:
        raise ValueError(f"{videos}: no video; known are {', '.join(sorted(VIDEOS))}")
    rows = []
    for path in paths:
        boxes = [box for frame in frames_of(path) if (box := find_face(frame, detector))]
        if not boxes:
            print(f"{path}: no frame with exactly one face", file=sys.stderr)
            continue
        median = np.median(boxes, axis=0).tolist()
        rows.append([path.relative_to(videos).as_posix(), *(f"{edge:.1f}" for edge in median)])
    with out.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "x0", "y0", "x1", "y1"], *rows])
    print(f"{len(rows)} of {len(paths)} videos have a box in {out}")
    return len(rows), len(paths)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
