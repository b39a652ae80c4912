r"""Read `${...}` expressions into a tree, without running anything.

Order of precedence, the tightest first: `()`, `.` and `[]`; `not`; unary `-`;
`* / // %`; `+ -`; comparisons and `in`; `and`; `or`. So `not a == b` is
`(not a) == b`.

Source: Google Workflows, "Expressions"; "Data types", "Order of operations"
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from local_cloud.workflows.errors import SourceError, Value
from local_cloud.workflows.tokens import END, Token, tokenize

EXPRESSION_MAX_CHARS = 400

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a string, true, false or null."""

    value: Value


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Index:
    """`of[key]`, which `of.key` is short for."""

    of: "Expression"
    key: "Expression"


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the standard library, by its full name."""

    function: str
    arguments: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """`not` or `-`."""

    operator: str
    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Binary:
    """Any operator between two expressions."""

    operator: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`."""

    items: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    """`{"a": b}`."""

    pairs: tuple[tuple["Expression", "Expression"], ...]


Expression = Literal | Name | Index | Call | Unary | Binary | ListOf | MapOf

_CONSTANTS: dict[str, Value] = {"true": True, "false": False, "null": None}
_LEVELS = (
    ("or",),
    ("and",),
    ("==", "!=", "<", ">", "<=", ">=", "in"),
    ("+", "-"),
    ("*", "/", "//", "%"),
)


def parse_expression(text: str) -> Expression:
    """Return the tree of the text between `${` and `}`."""
    if len(text) > EXPRESSION_MAX_CHARS:
        sentence = f"expected at most {EXPRESSION_MAX_CHARS} characters"
        raise SourceError(f"expression {text[:40]!r}...: {sentence}, {len(text)} came")
    return _Parser(text).parse()


def walk(tree: Expression) -> Iterator[Expression]:
    """Yield the tree and everything in it."""
    yield tree
    for child in _children(tree):
        yield from walk(child)


def dotted_name(tree: Expression) -> str:
    """Return `a.b.c` for a name with members, else ""."""
    if isinstance(tree, Name):
        return tree.name
    if isinstance(tree, Index) and isinstance(tree.key, Literal):
        of, key = dotted_name(tree.of), tree.key.value
        return f"{of}.{key}" if of and isinstance(key, str) else ""
    return ""


def _children(tree: Expression) -> tuple[Expression, ...]:
    match tree:
        case Index(of, key):
            return (of, key)
        case Call(_, items) | ListOf(items):
            return items
        case Unary(_, operand):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
        case MapOf(pairs):
            return tuple(part for pair in pairs for part in pair)
    return ()


class _Parser:
    """Recursive descent over the words of one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokenize(text)
        self._position = 0

    def parse(self) -> Expression:
        tree = self._binary(0)
        if self._peek() is not END:
            raise self._refusal("an operator")
        return tree

    def _peek(self) -> Token:
        return self._tokens[self._position]

    def _next(self) -> Token:
        token = self._peek()
        self._position += token is not END
        return token

    def _takes(self, *texts: str) -> str:
        """Take the next word if it is one of `texts`; return it, or ""."""
        token = self._peek()
        if token.kind in {"sign", "keyword"} and token.text in texts:
            return self._next().text
        return ""

    def _expect(self, text: str) -> None:
        if not self._takes(text):
            raise self._refusal(repr(text))

    def _refusal(self, wanted: str) -> SourceError:
        came = self._peek().text
        return SourceError(
            f"expression {self._text!r}: expected {wanted}, {came!r} came"
        )

    def _binary(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._negative()
        left = self._binary(level + 1)
        while operator := self._takes(*_LEVELS[level]):
            left = Binary(operator, left, self._binary(level + 1))
        return left

    def _negative(self) -> Expression:
        if self._takes("-"):
            return Unary("-", self._negative())
        return self._not()

    def _not(self) -> Expression:
        if self._takes("not"):
            return Unary("not", self._not())
        return self._members()

    def _members(self) -> Expression:
        tree = self._atom()
        while sign := self._takes(".", "[", "("):
            if sign == ".":
                tree = Index(tree, Literal(self._member()))
            elif sign == "[":
                tree = Index(tree, self._binary(0))
                self._expect("]")
            else:
                tree = self._call(tree)
        return tree

    def _member(self) -> str:
        if self._peek().kind not in {"name", "keyword"}:
            raise self._refusal("a name")
        return self._next().text

    def _call(self, function: Expression) -> Expression:
        name = dotted_name(function)
        if not name:
            raise self._refusal("an operator")
        return Call(name, self._list(")", lambda: self._binary(0)))

    def _list(self, end: str, read: Callable[[], _Item]) -> tuple[_Item, ...]:
        if self._takes(end):
            return ()
        items = [read()]
        while self._takes(","):
            items.append(read())
        self._expect(end)
        return tuple(items)

    def _pair(self) -> tuple[Expression, Expression]:
        key = self._binary(0)
        self._expect(":")
        return key, self._binary(0)

    def _atom(self) -> Expression:
        if self._takes("("):
            tree = self._binary(0)
            self._expect(")")
            return tree
        if self._takes("["):
            return ListOf(self._list("]", lambda: self._binary(0)))
        if self._takes("{"):
            return MapOf(self._list("}", self._pair))
        return self._word()

    def _word(self) -> Expression:
        token = self._peek()
        if token.kind in {"number", "string"}:
            return Literal(self._next().value)
        if token.kind == "name":
            return Name(self._next().text)
        if token.kind == "keyword" and token.text in _CONSTANTS:
            return Literal(_CONSTANTS[self._next().text])
        raise self._refusal("a value")
