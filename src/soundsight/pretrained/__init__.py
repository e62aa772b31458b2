"""Small trained models that come with the package: one folder each, like a run folder.

A folder holds `recipe.json`, `weights.safetensors` (in half precision, without what only training
needs), `card.md` (data, licence, scores, limits) and `sha256`, the hash of the weights. They were
made from runs by `scripts/make_pretrained.py`.
"""

import hashlib
from pathlib import Path

HOME = Path(__file__).parent


def names() -> list[str]:
    """All of them, in the order of the alphabet."""
    return sorted(path.parent.name for path in HOME.glob("*/weights.safetensors"))


def folder(name: str) -> Path:
    """The folder of the model of that name.

    Raises:
        ValueError: if there is none, or its weights are not those that were published.
    """
    if name not in names():
        raise ValueError(f"no pretrained model {name!r}. There are: {', '.join(names()) or 'none'}")
    found = HOME / name
    weights = hashlib.sha256((found / "weights.safetensors").read_bytes()).hexdigest()
    if weights != (found / "sha256").read_text(encoding="utf-8").strip():
        raise ValueError(
            f"{found / 'weights.safetensors'} is not what was published: its SHA-256 is {weights}; "
            f"install the package again"
        )
    return found
