"""Images dealt out to sounds of the same class, none twice, the same way on every machine."""

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence


def ranked(names: Iterable[str]) -> list[str]:
    """Names in an order that looks random and is always the same: that of their hashes."""
    return sorted(
        names,
        key=lambda name: hashlib.blake2b(
            name.encode("utf-8", "surrogatepass"), digest_size=16
        ).digest(),
    )


def deal(
    cards: Mapping[Hashable, Sequence[str]],
    hands: Mapping[Hashable, Sequence[str]],
    most: int | None = None,
) -> dict[str, list[str]]:
    """Deal the cards of each class to the hands of that class; no card is dealt twice.

    Args:
        cards: names of the images of each class.
        hands: names of the sounds of each class, all different.
        most: cards that a hand gets at most; None: all are dealt.

    Returns:
        The cards of every hand; none, where a class has fewer cards than hands, for the last ones.
    """
    dealt: dict[str, list[str]] = {}
    for kind, names in hands.items():
        deck = ranked(cards.get(kind, ()))
        for i, name in enumerate(ranked(names)):
            dealt[name] = deck[i :: len(names)][:most]
    return dealt
