"""Where the faces are: a boxes.csv for `soundsight prepare --boxes`: a face fills the frame.

    pip install scikit-image
    python examples/face_boxes.py VIDEOS boxes.csv
    soundsight prepare VIDEOS faces --boxes boxes.csv --recipe sound2sight_faces_laptop

In a whole frame a mouth is a few pixels wide, and there is little to learn from it.  Each video
gets one box, the median of the face that scikit-image's detector finds in some frames of its
beginning; one in which most of these do not show exactly one face gets no box, and is told.
"""

import argparse
import csv
import sys
from itertools import islice
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8
from skimage import data
from skimage.feature import Cascade

LOOKS, APART = 5, 15
"""Frames of a video that are looked at, and how many frames they are apart."""
SMALLEST = 0.15
"""Least side of a face, as a share of the picture's shorter side."""
VIDEOS = {".mp4", ".mpg", ".mov", ".avi", ".mkv", ".webm"}

Box = tuple[float, float, float, float]


def frames_of(path: Path) -> list[UInt8[np.ndarray, "h w 3"]]:
    """A few frames of the beginning of a video."""
    with av.open(str(path)) as container:
        frames = islice(container.decode(video=0), 0, LOOKS * APART, APART)
        return [frame.to_ndarray(format="rgb24") for frame in frames]


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


def face_of(path: Path, detector: Cascade) -> Box | None:
    """The box of a video, or None if most of the frames do not show exactly one face."""
    frames = frames_of(path)
    boxes = [box for frame in frames if (box := find_face(frame, detector))]
    if 2 * len(boxes) <= len(frames):
        return None
    x0, y0, x1, y1 = np.median(boxes, axis=0).tolist()
    return x0, y0, x1, y1


def main(videos: Path, out: Path) -> tuple[int, int]:
    """Write the boxes of all videos of a folder; returns how many have one, and how many there are.

    Raises:
        ValueError: if the folder holds no video.
    """
    detector = Cascade(data.lbp_frontal_face_cascade_filename())
    paths = sorted(path for path in videos.rglob("*") if path.suffix.lower() in VIDEOS)
    if not paths:
        raise ValueError(f"{videos}: no video; known are {', '.join(sorted(VIDEOS))}")
    found = 0
    with out.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "x0", "y0", "x1", "y1"])
        for path in paths:
            try:
                box = face_of(path, detector)
            except (av.FFmpegError, IndexError) as error:  # Damaged, or without a picture.
                print(f"{path}: {error}", file=sys.stderr)
                continue
            if box is None:
                print(f"{path}: not exactly one face in most of its frames", file=sys.stderr)
                continue
            name = path.relative_to(videos).as_posix()
            table.writerow([name, *(f"{edge:.1f}" for edge in box)])
            found += 1
    print(f"{found} of {len(paths)} videos have a box in {out}")
    return found, len(paths)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path, help="a folder of videos")
    parser.add_argument("out", type=Path, help="the CSV file to write")
    options = parser.parse_args()
    main(options.videos, options.out)
