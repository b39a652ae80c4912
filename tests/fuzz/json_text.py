"""JSON as no library writes it: raw tokens, fields twice, odd spaces and escapes."""

import json


class Raw(str):
    """A token that stands in the text as it is: `1e400`, `NaN`, `"\\ud800"`."""

    __slots__ = ()


class Pairs(list):
    """An object as (name, value) pairs: a name may stand there twice."""

    __slots__ = ()


def write(value, random):
    """Write a document; `random` picks between spellings of the same."""
    spaced = random.random() < 0.2
    comma, colon = (", ", ": ") if spaced else (",", ":")
    ascii_only = random.random() < 0.5

    def text(value):
        if isinstance(value, Raw):
            return str(value)
        if isinstance(value, dict | Pairs):
            pairs = value.items() if isinstance(value, dict) else value
            fields = (f"{text(n)}{colon}{text(v)}" for n, v in pairs)
            return "{" + comma.join(fields) + "}"
        if isinstance(value, list):
            return "[" + comma.join(map(text, value)) + "]"
        return json.dumps(value, ensure_ascii=ascii_only)

    return text(value).encode("utf-8", "surrogatepass")
