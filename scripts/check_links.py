"""Check that every relative link of the documentation leads somewhere.

Run from anywhere: `python scripts/check_links.py [FOLDER]`. Looks at every Markdown file of the
project and reports links to files that are missing and to headings that do not exist. Addresses on
the web are left alone: a check must not depend on the network.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


def documents(root: Path) -> list[Path]:
    """The Markdown files that belong to the documentation of the project at `root`."""
    return sorted([*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("tests/**/*.md")])


def anchors(text: str) -> set[str]:
    """The names that headings of a Markdown text get, by the rule of the common forges."""
    names: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 1
        while (unique := name if number == 1 else f"{name}-{number - 1}") in names:
            number += 1
        names.add(unique)
    return names


def links(text: str) -> Iterator[str]:
    """The targets of all links and pictures outside of code."""
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    yield from LINK.findall(prose)


def broken_links(root: Path) -> list[str]:
    """One line for each link that leads nowhere: the file, the target, and what is wrong."""
    problems = []
    for document in documents(root):
        for target in links(document.read_text(encoding="utf-8")):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (document.parent / path).resolve() if path else document
            where = f"{document.relative_to(root)}: {target}"
            if not file.exists():
                problems.append(f"{where}: no such file")
            elif anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
                problems.append(f"{where}: no such heading")
    return problems


def main() -> int:
    """Print what is broken; 1 if anything is."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1]).resolve()
    problems = broken_links(root)
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{len(documents(root))} Markdown files, no broken link")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
