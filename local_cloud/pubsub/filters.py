"""Subscription filters: which messages, by their attributes, are delivered.

    expression  = term { "AND" term } | term { "OR" term }     never both mixed
    term        = [ "NOT" | "-" ] ( "(" expression ")" | has | comparison | prefix )
    has         = "attributes:" key
    comparison  = "attributes." key ( "=" | "!=" ) string
    prefix      = "hasPrefix(" "attributes." key "," string ")"

What is not in this grammar is refused. Unlike Google, escapes in strings are
those of JSON only.

Source: cloud.google.com/pubsub/docs/subscription-message-filter
"""

import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from local_cloud.pubsub.errors import InvalidArgumentError

FILTER_MAX_BYTES = 256
"""Google's limit."""

Predicate = Callable[[Mapping[str, str]], bool]

_TOKENS = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<word>[A-Za-z0-9_][A-Za-z0-9_-]*)
      | (?P<sign>!=|[=:.,()-])
    )""",
    re.VERBOSE,
)


class _Token(NamedTuple):
    kind: str
    text: str


_END = _Token("end", "the end")


@functools.lru_cache(maxsize=1024)
def parse_filter(text: str) -> Predicate:
    """Read a filter.

    Args:
        text: The filter, at most `FILTER_MAX_BYTES` bytes; "" lets everything pass.

    Returns:
        A function that says whether a message with these attributes passes.

    Raises:
        InvalidArgumentError: `text` is no filter that this stand-in knows.
    """
    if len(text.encode()) > FILTER_MAX_BYTES:
        raise InvalidArgumentError(
            f"expected a filter of at most {FILTER_MAX_BYTES} bytes,"
            f" got {len(text.encode())}"
        )
    if not text.strip():
        return lambda _attributes: True
    parser = _Parser(text, _split(text))
    predicate = parser.expression()
    parser.expect_kind("end", "AND, OR or the end")
    return predicate


def _split(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    rest = text.rstrip()
    at = 0
    while at < len(rest):
        match = _TOKENS.match(rest, at)
        if match is None:
            raise InvalidArgumentError(
                f"filter {text!r} holds what is no filter: {rest[at:]!r}"
            )
        tokens.append(_Token(str(match.lastgroup), match.group(str(match.lastgroup))))
        at = match.end()
    return [*tokens, _END]


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0

    def expression(self) -> Predicate:
        """Read terms joined by one kind of operator."""
        terms = [self._term()]
        operator = self._peek().text
        if operator not in {"AND", "OR"}:
            return terms[0]
        while self._peek().text in {"AND", "OR"}:
            if self._next().text != operator:
                raise InvalidArgumentError(
                    f"filter {self._text!r} mixes AND and OR:"
                    " put parentheses around one of them"
                )
            terms.append(self._term())
        join = all if operator == "AND" else any
        return lambda attributes: join(term(attributes) for term in terms)

    def expect_kind(self, kind: str, what: str) -> str:
        """Take the next token if it is of this kind, else refuse the filter."""
        token = self._next()
        if token.kind != kind:
            raise self._unexpected(what, token)
        return token.text

    def _expect(self, text: str, what: str) -> None:
        token = self._next()
        if token.text != text:
            raise self._unexpected(what, token)

    def _unexpected(self, what: str, token: _Token) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"filter {self._text!r}: expected {what}, got {token.text!r}"
        )

    def _term(self) -> Predicate:
        if self._peek().text in {"NOT", "-"}:
            self._next()
            inner = self._plain_term()
            return lambda attributes: not inner(attributes)
        return self._plain_term()

    def _plain_term(self) -> Predicate:
        if self._peek() == _Token("sign", "("):
            self._next()
            inner = self.expression()
            self._expect(")", "a closing parenthesis")
            return inner
        if self._peek() == _Token("word", "hasPrefix"):
            return self._prefix()
        self._expect("attributes", "attributes or hasPrefix")
        return self._has() if self._peek().text == ":" else self._comparison()

    def _has(self) -> Predicate:
        self._expect(":", "a colon")
        key = self._key()
        return lambda attributes: key in attributes

    def _comparison(self) -> Predicate:
        self._expect(".", "a dot or a colon after attributes")
        key = self._key()
        sign = self._next().text
        if sign not in {"=", "!="}:
            raise InvalidArgumentError(
                f"filter {self._text!r}: expected = or !=, got {sign!r}"
            )
        value = self._string()
        if sign == "=":
            return lambda attributes: attributes.get(key) == value
        return lambda attributes: attributes.get(key) != value

    def _prefix(self) -> Predicate:
        self._expect("hasPrefix", "hasPrefix")
        for text in ("(", "attributes", "."):
            self._expect(text, f"{text} in hasPrefix(attributes.KEY, STRING)")
        key = self._key()
        self._expect(",", "a comma")
        value = self._string()
        self._expect(")", "a closing parenthesis")
        return lambda attributes: (
            key in attributes and attributes[key].startswith(value)
        )

    def _key(self) -> str:
        return (
            self._string()
            if self._peek().kind == "string"
            else self.expect_kind("word", "a key")
        )

    def _string(self) -> str:
        literal = self.expect_kind("string", "a string in double quotes")
        try:
            return str(json.loads(literal))
        except ValueError as error:
            raise InvalidArgumentError(
                f"filter {self._text!r}: expected a string, got {literal}"
            ) from error

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token
