"""Names a user may have meant. Used by every message about a name that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` of the known names, closest first; empty where none is close."""
    by_lower = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=count, cutoff=0.5)
    return [by_lower[f] for f in found]


def did_you_mean(name: str, known: Iterable[str], count: int = 3) -> str:
    """A remedy sentence: the nearest names, or all of them where they are few, or nothing."""
    known = list(known)
    close = nearest(name, known, count)
    if close:
        return f"Nearest: {', '.join(close)}."
    if len(known) <= 12:
        return f"Known: {', '.join(known)}."
    return ""
