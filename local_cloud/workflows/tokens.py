"""Cut an expression into words.

Source: Google Workflows, "Expressions" and "Data types"
"""

import re
from dataclasses import dataclass

from local_cloud.workflows.errors import SourceError

_WORDS = re.compile(
    r"""\s*(?:
      (?P<number>\d+\.\d+(?:[eE][+-]?\d+)?|\d+)
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<name>[A-Za-z_]\w*)
    | (?P<sign>==|!=|<=|>=|//|[-+*/%<>()\[\]{},.:])
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {'"': '"', "\\": "\\", "n": "\n", "t": "\t", "r": "\r", "/": "/"}
_KEYWORDS = {"and", "or", "not", "in", "true", "false", "null"}


@dataclass(frozen=True, slots=True)
class Token:
    """One word: its kind, its text, and for a literal its value."""

    kind: str
    text: str
    value: int | float | str | None = None


END = Token("end", "the end")


def tokenize(text: str) -> list[Token]:
    """Return the words of an expression, with `END` after the last."""
    tokens: list[Token] = []
    position, stripped = 0, text.rstrip()
    while position < len(stripped):
        found = _WORDS.match(stripped, position)
        if found is None:
            rest = stripped[position:].strip()
            raise SourceError(f"expression {text!r}: cannot read {rest!r}")
        tokens.append(_token(text, str(found.lastgroup), found[str(found.lastgroup)]))
        position = found.end()
    return [*tokens, END]


def _token(text: str, kind: str, word: str) -> Token:
    if kind == "number":
        return Token(kind, word, float(word) if "." in word else int(word))
    if kind == "string":
        return Token(
            kind, word, _ESCAPE.sub(lambda m: _unescape(text, m[1]), word[1:-1])
        )
    lower = word.lower()
    # Keywords are lower, upper or, for literals, title case, but never mixed.
    if kind == "name" and lower in _KEYWORDS and word in {lower, lower.upper()}:
        return Token("keyword", lower)
    if word in {"True", "False"}:
        return Token("keyword", lower)
    return Token(kind, word)


def _unescape(text: str, letter: str) -> str:
    if letter not in _ESCAPED:
        raise SourceError(f"expression {text!r}: unknown escape \\{letter}")
    return _ESCAPED[letter]
