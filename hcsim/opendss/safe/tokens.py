"""How OpenDSS cuts a line: its tokens, quotes, comments, variables and abbreviations, exactly.

After `Parser/ParserDel.pas` (TDSSParser.GetToken, NextParam, CheckforVar; TParserVar.Add), `Shared/Command.pas`
(TCommandList) and `Executive/ExecHelper.pas` (DoRedirect, DoVarCmd) of DSS C-API 0.14
(https://github.com/dss-extensions/dss_capi). What is read here otherwise than there would be a way around every
check, so nothing is more lenient: letters are folded as ASCII only, and only blank and tab are white.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WHITE = " \t"
_QUOTES = {"(": ")", '"': '"', "'": "'", "[": "]", "{": "}"}
_STOP = re.compile(r"[,= \t!]|//")
_UPPER = {ord(c): ord(c) + 32 for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_LINE_END = re.compile(r"\r\n|\r|\n")
_CONTROL = {c: " " for c in (*range(32), 127) if c != 9}


def lower(text: str) -> str:
    """Lower case as OpenDSS has it: no letter outside ASCII becomes one inside."""
    return text.lower() if text.isascii() else text.translate(_UPPER)


def lines_of(text: str) -> list[str]:
    """The lines of a script, control characters made blanks, so that no other cut of them can be meant."""
    lines = _LINE_END.split(text)
    if lines and not lines[-1]:
        lines.pop()
    return [line.translate(_CONTROL) for line in lines]


@dataclass(frozen=True)
class Param:
    """One `name=value` or `value` of a line; `name` is "" where there is none."""

    name: str
    value: str
    start: int
    end: int
    """The slice of the line, with the white space and the delimiter that follow."""


class Variables:
    """`var @name=value`. Those that OpenDSS sets itself (@result, @lastfile ...) have no value here."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def define(self, name: str, value: str) -> None:
        self._values[lower(name)] = "{" + value + "}" if "@" in value else value

    def expand(self, token: str) -> str:
        """The token with a variable at its head replaced; as it is where there is no such variable."""
        if len(token) < 2 or token[0] != "@":
            return token
        cut = token.find("^") if "^" in token else token.find(".")
        name, rest = (token, "") if cut < 0 else (token[:cut], token[cut:])
        value = self._values.get(lower(name))
        if value is None:
            return token
        if value.startswith("{"):
            value = value[1:-1]
        return value + rest


class Line:
    """A line, taken apart token by token from `position` on."""

    def __init__(self, text: str, variables: Variables) -> None:
        self.text = text + " "
        self._variables = variables
        self.position = 0
        self._delimiter = " "
        self._skip_white()

    def params(self) -> Iterator[Param]:
        """All that follow, the empty ones too, to the end of the line or a comment."""
        while self.position < len(self.text):
            start = self.position
            yield self.next()
            if self.position == start:
                return

    def next(self) -> Param:
        """The next one; empty where the line is over."""
        start = self.position
        if start >= len(self.text):
            return Param("", "", start, start)
        self._delimiter = " "
        token, name = self._token(), ""
        if self._delimiter == "=":
            name, token = token, self._token()
        return Param(name, self._variables.expand(token), start, self.position)

    @property
    def rest(self) -> str:
        return self.text[self.position :]

    def _token(self) -> str:
        text, start = self.text, self.position
        last = len(text) - 1
        if start > last:
            return ""
        close = _QUOTES.get(text[start])
        if close is not None:
            end = text.find(close, start + 1)
            end = last if end < 0 else end
            value = text[start + 1 : end]
            self.position = end + 1 if end < last else last
        else:
            stop = _STOP.search(text, start)
            end = last if stop is None or stop.start() >= last else stop.start()
            if stop is not None and stop.start() < last:
                self._delimiter = "!" if stop[0] in ("!", "//") else " " if stop[0] in WHITE else stop[0]
            value, self.position = text[start:end], end
        if self._delimiter == "!":
            self.position = len(text)
            return value
        if self._delimiter == " ":
            self._skip_white()
        if self.position <= last and text[self.position] in ",=":
            self._delimiter = text[self.position]
            self.position += 1
        self._skip_white()
        return value

    def _skip_white(self) -> None:
        while self.position < len(self.text) - 1 and self.text[self.position] in WHITE:
            self.position += 1


class Words:
    """A list of commands, options or properties, found as OpenDSS finds them: whole, else the first that begins
    so in the list's order."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(lower(name) for name in names)
        self._found = {name: i for i, name in reversed(list(enumerate(self.names)))}
        for i, name in enumerate(self.names):
            for length in range(1, len(name)):
                self._found.setdefault(name[:length], i)

    def index(self, word: str) -> int:
        """0-based; -1 where nothing begins so."""
        return self._found.get(lower(word), -1)

    def find(self, word: str) -> str:
        """The whole name in lower case; "" where nothing begins so."""
        i = self.index(word)
        return self.names[i] if i >= 0 else ""


def quoted(text: str) -> str:
    """A token that OpenDSS reads as `text`. Raises ValueError where no quotes can hold it."""
    for begin, end in (('"', '"'), ("'", "'"), ("[", "]"), ("{", "}"), ("(", ")")):
        if end not in text:
            return f"{begin}{text}{end}"
    raise ValueError(f"no quotes of OpenDSS can hold {text!r}")
