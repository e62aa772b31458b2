"""Shared fixtures."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """A folder of real data (mnist/, grid/, blender/, fsdd/, ...), or skip."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SOUNDSIGHT_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set SOUNDSIGHT_SHARED_DATA")
    return folder
