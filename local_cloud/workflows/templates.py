"""Read the values of a workflow file, in which strings may be expressions."""

from collections.abc import Collection

from local_cloud.workflows.errors import SourceError
from local_cloud.workflows.expressions import (
    Call,
    Expression,
    Index,
    Literal,
    Name,
    dotted_name,
    parse_expression,
    walk,
)
from local_cloud.workflows.library import arity
from local_cloud.workflows.scope import Template


def read_template(value: object) -> Template:
    """Return `value` with its expressions read and their functions known."""
    if isinstance(value, dict):
        return {_key(key): read_template(one) for key, one in value.items()}
    if isinstance(value, list):
        return [read_template(one) for one in value]
    if isinstance(value, str):
        return _read_text(value)
    if value is None or isinstance(value, bool | int | float):
        return Literal(value)
    raise SourceError(f"{value!r}: quote it; YAML made it a {type(value).__name__}")


def read_expression(value: object, what: str) -> Expression:
    """Return the expression that `value` must be."""
    template = read_template(value)
    if isinstance(template, dict | list):
        raise SourceError(f"{what}: expected ${{...}}, {value!r} came")
    return template


def read_target(text: object) -> Expression:
    """Return the variable, or the entry in one, that an assignment sets."""
    tree = parse_expression(_key(text))
    bottom = tree
    while isinstance(bottom, Index):
        bottom = bottom.of
    if not isinstance(bottom, Name):
        raise SourceError(f"assign: {text!r} is nothing that can be set")
    _check(tree, str(text))
    return tree


def read_reference(value: object, known: Collection[str], what: str) -> str:
    """Return the name of a function that `${...}` names without calling it."""
    text = str(value)
    is_wrapped = text.startswith("${") and text.endswith("}")
    name = dotted_name(parse_expression(text[2:-1])) if is_wrapped else ""
    if name not in known:
        sentence = f"expected ${{...}} with one of {sorted(known)}, {text!r} came"
        raise SourceError(f"{what}: {sentence}")
    return name


def _read_text(text: str) -> Expression:
    if "${" not in text:
        return Literal(text)
    if not (text.startswith("${") and text.endswith("}")) or "${" in text[2:]:
        sentence = "an expression must be the whole value; join strings with +"
        raise SourceError(f"{text!r}: {sentence}")
    tree = parse_expression(text[2:-1])
    _check(tree, text)
    return tree


def _check(tree: Expression, text: str) -> None:
    """Refuse a call of a function that the library does not have."""
    for node in walk(tree):
        if not isinstance(node, Call):
            continue
        expected = arity(node.function)
        if expected is None:
            sentence = f"this interpreter knows no function {node.function}()"
            raise SourceError(f"{text!r}: {sentence}")
        least, most = expected
        if not least <= len(node.arguments) <= most:
            count = f"{least}" if least == most else f"{least} to {most}"
            sentence = f"expected {count} arguments, {len(node.arguments)} came"
            raise SourceError(f"{node.function}(): {sentence}")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise SourceError(f"{key!r}: expected a string as key; quote it")
    return key
