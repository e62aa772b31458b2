"""YouTube Painting: painters at a canvas, brush strokes to be heard, clips of 3 s.

Source: A. Chatterjee, A. Cherian, "Sound2Sight: generating visual dynamics from sound and context"
(ECCV 2020), who cut the clips from videos on YouTube and gave them out as a zip file, as they are,
through MERL; the videos belong to their authors.

```
<any name>/{train,test}/mp4/<number>.mp4                a folder, or still the zip file
```
As `audioset_drums` in everything else. The name of the outer folder is not known for sure, so any
is taken.
"""

from collections.abc import Sequence
from pathlib import Path

from soundsight.data.layouts import audioset_drums
from soundsight.data.source import Listing

SPEC = audioset_drums.SPEC
TREE = "ROOT/{train,test}/mp4/<number>.mp4, as a folder or a zip file"


def read(roots: Sequence[Path]) -> Listing:
    """One recording per clip, with the published split.

    Args:
        roots: the zip file, the folder that it unpacks to, or the folder that holds that one.

    Returns:
        Recordings in order of their ids, which are the same from the zip and the folder.

    Raises:
        ValueError: if there is no clip, or the zip file is damaged or not to be trusted.
    """
    return audioset_drums.read_split_mp4(
        "youtube_painting", TREE, "4,800 train, 500 val, 500 test", roots
    )
