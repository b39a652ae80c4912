"""Ways to spoil a request's JSON."""

from copy import deepcopy

from tests.fuzz.json_text import Pairs, Raw, write
from tests.fuzz.odd_values import FIELDS, NUMBERS, TOKENS, WORDS


def _spoil_value(random, made):
    parent, key = _descend(random, made.document)
    if parent is not None:
        parent[key] = _odd(random, parent[key])


def _drop(random, made):
    parent, key = _descend(random, made.document)
    if parent is not None:
        del parent[key]


def _double(random, made):
    """Put an element, or a field, there twice."""
    parent, key = _descend(random, made.document)
    if isinstance(parent, list):
        parent.insert(random.randint(0, len(parent)), parent[key])
    elif isinstance(parent, dict):
        parent[random.choice(FIELDS)] = parent[key]


def _field_twice(random, made):
    """Write one object of the document with a field twice."""
    parent, key = _descend(random, made.document)
    if parent is not None and isinstance(parent[key], dict) and parent[key]:
        pairs = list(parent[key].items())
        name, value = random.choice(pairs)
        parent[key] = Pairs([*pairs, (name, _odd(random, value))])


def _add_field(random, made):
    parent, key = _descend(random, {"": made.document})
    target = parent[key]
    if isinstance(target, dict):
        target[random.choice(FIELDS)] = _odd(random, target)


def _reshape(random, made):
    """Change a shape, a datatype or a size, which must agree with the data."""
    inputs = made.document.get("inputs") if isinstance(made.document, dict) else None
    entries = (
        [e for e in inputs or [] if isinstance(e, dict)]
        if isinstance(inputs, list)
        else []
    )
    if not entries:
        _spoil_value(random, made)
        return
    entry = random.choice(entries)
    shape = entry.get("shape")
    if random.random() < 0.6 and isinstance(shape, list) and shape:
        axis = random.randrange(len(shape))
        shape[axis] = random.choice((*NUMBERS, shape[axis], [shape[axis]], -1))
        if random.random() < 0.3:
            random.shuffle(shape)
    elif random.random() < 0.5:
        entry["datatype"] = random.choice(WORDS)
    else:
        entry["parameters"] = {
            "binary_data_size": random.choice(
                (*NUMBERS, len(made.tail), len(made.tail) + 1)
            )
        }


def _swap(random, made):
    """Put one part of the document in another's place."""
    (one, a), (other, b) = (_descend(random, made.document) for _ in range(2))
    if one is not None and other is not None:
        # Copies, since one may stand in the other.
        one[a], other[b] = deepcopy(other[b]), deepcopy(one[a])


def _pad(random, made):
    """Make the JSON so long that another reader takes it, or a thread."""
    size = random.choice((9000, 20_000, 140_000))
    if isinstance(made.document, dict):
        name, filler = random.choice(
            (("pad", "x"), ("id", "x"), ("pad", [0]), ("zz", {"a": "[["}))
        )
        made.document[name] = (
            filler * size if not isinstance(filler, dict) else [filler] * (size // 100)
        )
    elif made.text is not None:
        made.text += b" " * size


def _space(random, made):
    text = made.text if made.text is not None else write(made.document, random)
    size = random.choice((9000, 20_000, 140_000))
    made.text = text + b" " * size if random.random() < 0.5 else b" " * size + text


def _replace_document(random, made):
    made.document = random.choice(
        ([], [made.document], {}, "x", 1, None, Raw(random.choice(TOKENS)))
    )


def _leafy(value):
    """Return a value that may be hung in elsewhere: never a list in itself."""
    return (
        list(value)[:5]
        if isinstance(value, list)
        else (dict(value) if isinstance(value, dict) else value)
    )


def _descend(random, document):
    """Return a container and a key in it, somewhere in the document."""
    parent, key = None, None
    while (
        isinstance(document, dict | list)
        and not isinstance(document, Pairs)
        and document
    ):
        parent = document
        key = (
            random.choice(list(document))
            if isinstance(document, dict)
            else random.randrange(len(document))
        )
        document = parent[key]
        if random.random() < 0.3:
            break
    return parent, key


def _odd(random, value):
    """Return something that is not expected in the place of `value`."""
    ways = [
        lambda: random.choice(NUMBERS),
        lambda: Raw(random.choice(TOKENS)),
        lambda: random.choice(WORDS),
        lambda: random.choice(
            (None, True, False, [], {}, [[]], {"b64": "AAAA"}, [None])
        ),
        lambda: [_leafy(value)],
        lambda: {"b64": _leafy(value)},
        lambda: 0.5,
    ]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        ways += [
            lambda: value + 1,
            lambda: value - 1,
            lambda: -value,
            lambda: float(value) if abs(value) < 1e300 else 1.5,
        ]
    if isinstance(value, str):
        ways += [lambda: value + "\0", lambda: value[:-1], lambda: value * 200]
    if isinstance(value, list) and value:
        ways += [
            lambda: value[:-1],
            lambda: value + value[:1],
            lambda: (value * 30)[:5000],
            lambda: [value[: len(value) // 2], value[len(value) // 2 :]],
        ]
    return random.choice(ways)()


WAYS = (
    *(_spoil_value, _spoil_value, _drop, _double, _field_twice, _add_field),
    *(_reshape, _reshape, _swap, _pad, _space, _replace_document),
)
