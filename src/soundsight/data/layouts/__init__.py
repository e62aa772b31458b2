"""Published data sets as they lie on disk, read as lists of sources; the folder is the registry.

A layout is a module here with `SPEC`, the rates and sizes that the data set is used at, `TREE`,
what it looks like on disk, and `read(roots)`. Reading lists folders and parses names; media files
stay closed. Whatever does not fit is a line among the notes, and a folder that holds nothing of the
sort is a ValueError that shows the tree that was expected.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import cast

from soundsight.data.listing import checked
from soundsight.data.source import Listing
from soundsight.media.clip import ClipSpec


def names() -> list[str]:
    """All layouts, in the order of the alphabet."""
    return sorted(_layouts())


def read(name: str, roots: Sequence[Path]) -> Listing:
    """What a copy of a published data set holds.

    Args:
        name: of the layout.
        roots: the folders or files that the layout asks for, in its order.

    Returns:
        The sources in order of their ids, and what is odd about the copy.

    Raises:
        ValueError: if there is no such layout, the roots are not what it expects, or two sources
            have the same id.
        OSError: if a folder cannot be listed.
    """
    return checked(*_layout(name).read([Path(root).expanduser() for root in roots]))


def spec(name: str) -> ClipSpec:
    """Rates, size and length of clips that the data set is used with.

    Raises:
        ValueError: if there is no such layout.
    """
    return cast(ClipSpec, _layout(name).SPEC)


def document(name: str) -> str:
    """The docstring of a layout: what it is, source, licence and tree.

    Raises:
        ValueError: if there is no such layout.
    """
    return _layout(name).__doc__ or ""


@cache
def _layouts() -> dict[str, ModuleType]:
    modules = {
        module.name: importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    }
    return {name: module for name, module in modules.items() if hasattr(module, "SPEC")}


def _layout(name: str) -> ModuleType:
    if name not in _layouts():
        close = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}? There are" if close else "there are"
        raise ValueError(f"layout={name!r} is unknown; {hint}: {', '.join(names())}")
    return _layouts()[name]
