"""What OpenDSS refuses to read though it carries no power or means what it says: meters defined twice or at an element
that is not there, and names that OpenDSS once had for what it has under another.

Works on the copies of a feeder's scripts that OpenDSS is given, line for line, after it has refused one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

METERS = ("monitor", "energymeter", "sensor")
RENAMED = {
    "vv_refreactivepower": "RefReactivePower",
    "kvarlimit": "kvarMax",
    "pctpmpp": "%Pmpp",
    "pctcutin": "%Cutin",
    "pctcutout": "%Cutout",
}
"""Properties of OpenDSS before version 9, as SMART-DS's feeders have them."""
CLASSES = ("pvsystem", "storage", "storagecontroller")
"""Whose new models were called PVSystem2 and so on while the old ones were still there."""
_DEFINES = re.compile(r"^\s*new\s+(?:object\s*=\s*)?[\"']?([\w]+)\.([^\s\"',=]+)", re.IGNORECASE)
_TOUCHES = re.compile(
    r"^\s*(?:(?:new|edit|more|select)\s+)?(?:object\s*=\s*)?[\"']?([\w]+)\.([^\s\"',=]+)", re.IGNORECASE
)
_METERED = re.compile(r"\belement\s*=\s*[\"'(\[]?\s*([^\s\"')\],]+)", re.IGNORECASE)
_PLACE = re.compile(r'\[file: "(.+?)", line: (\d+)\]')
_OLD_PROPERTY = re.compile(rf"\b({'|'.join(RENAMED)})(?=\s*=)", re.IGNORECASE)
_OLD_CLASS = re.compile(rf"\b({'|'.join(CLASSES)})2(?=\.)", re.IGNORECASE)
_REFUSED = re.compile(r"deprecated|unknown parameter|not found|unknown command", re.IGNORECASE)


def mend(message: str, origin: Mapping[str, str]) -> str:
    """Change the copies so that what OpenDSS refused with `message` passes; what was done, "" where there is nothing to
    be done. `origin` is copy -> original, and `message` names either."""
    copies = {Path(copy): _lines(Path(copy)) for copy in origin}
    if _REFUSED.search(message) and (said := _rename(copies)):
        return said
    place = _PLACE.search(message)
    at = [copy for copy in copies if place and place[1] in (str(copy), origin[str(copy)])]
    refused = [(copy, int(place[2]) - 1) for copy in at if place and int(place[2]) <= len(copies[copy])]
    refused = [(copy, n) for copy, n in ((c, _first_line(copies[c], n)) for c, n in refused) if _meter(copies[copy][n])]
    if not refused:
        return ""
    left_out = dict.fromkeys([*refused, *_useless(copies)])
    names = dict.fromkeys(name for copy, n in left_out if (name := _meter(copies[copy][n])))
    for copy, n in left_out:
        _comment(copies[copy], n)
    _write(copies)
    some = ", ".join(list(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"Left out, as they carry no power: meters defined twice or at an element that is not there ({some})."


def _rename(copies: Mapping[Path, list[str]]) -> str:
    found: dict[str, str] = {}

    def property_now(match: re.Match[str]) -> str:
        found[match[1]] = RENAMED[match[1].lower()]
        return found[match[1]]

    def class_now(match: re.Match[str]) -> str:
        found[f"{match[1]}2"] = match[1]
        return match[1]

    for lines in copies.values():
        for n, line in enumerate(lines):
            code, mark, remark = line.partition("!")
            lines[n] = _OLD_CLASS.sub(class_now, _OLD_PROPERTY.sub(property_now, code)) + mark + remark
    if not found:
        return ""
    _write(copies)
    return f"Read under the names that OpenDSS has today: {', '.join(f'{a} as {b}' for a, b in found.items())}."


def _useless(copies: Mapping[Path, list[str]]) -> list[tuple[Path, int]]:
    """Definitions of meters that repeat a name, or watch what is defined nowhere."""
    defined = {f"{m[1]}.{m[2]}".lower() for lines in copies.values() for line in lines if (m := _DEFINES.match(line))}
    own = {name.split(".", 1)[1] for name in defined}
    seen: set[str] = set()
    found = []
    for copy, lines in copies.items():
        for n, line in enumerate(lines):
            if not (m := _DEFINES.match(line)) or m[1].lower() not in METERS:
                continue
            name = f"{m[1]}.{m[2]}".lower()
            watched = _METERED.search(line)
            gone = watched is not None and watched[1].lower().split(".", 1)[-1] not in own | {"source"}
            if name in seen or gone:
                found.append((copy, n))
            else:
                seen.add(name)
    return found


def _meter(line: str) -> str:
    """ "Monitor.m" where a line defines or edits one, else ""."""
    match = _TOUCHES.match(line)
    return f"{match[1]}.{match[2]}" if match and match[1].lower() in METERS else ""


def _first_line(lines: list[str], n: int) -> int:
    """Where the command begins that line n goes on with."""
    while n > 0 and lines[n].lstrip().startswith("~"):
        n -= 1
    return n


def _comment(lines: list[str], n: int) -> None:
    lines[n] = "!" + lines[n]
    while n + 1 < len(lines) and lines[n + 1].lstrip().startswith("~"):
        n += 1
        lines[n] = "!" + lines[n]


def _lines(copy: Path) -> list[str]:
    # as they were cut when they were checked: `splitlines` would make commands of what stands in a remark
    return copy.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _write(copies: Mapping[Path, list[str]]) -> None:
    for copy, lines in copies.items():
        copy.write_text("\n".join(lines) + "\n", encoding="utf-8")
