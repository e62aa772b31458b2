"""The whole road in Python: a recipe, a training, futures as films, and scores.

The same as `soundsight train sound2sight_m3so_tiny` and `soundsight sample` on the command line.

Run: `python examples/train_and_sample.py [FOLDER]`. Takes about fifteen seconds.
"""

import dataclasses
import sys
from pathlib import Path

from soundsight import recipes
from soundsight.contract import Streams
from soundsight.media.io import encode
from soundsight.sampling import load_run
