"""Lets schemathesis reach the model: tensors get as many elements as their shape."""

import schemathesis

ROWS = 8


@schemathesis.hook
def map_body(context, body):
    """Repair what JSON Schema cannot say; leave alone what is wrong by the schema."""
    if isinstance(body, dict) and isinstance(body.get("inputs"), list):
        body["inputs"] = [_repaired(tensor) for tensor in body["inputs"]]
    return body


def _repaired(tensor):
    if not isinstance(tensor, dict) or not _is_right(tensor):
        return tensor
    shape = [length % ROWS for length in tensor["shape"][:1]] + tensor["shape"][1:]
    count = 1
    for length in shape:
        count *= length
    data = tensor["data"] or [0]
    return tensor | {"shape": shape, "data": (data * (count + 1))[:count]}


def _is_right(tensor):
    """Say whether shape and data are such that only their lengths may disagree."""
    shape, data = tensor.get("shape"), tensor.get("data")
    return (
        _is_list_of(shape, int)
        and shape[1:] == [4]
        and shape[0] >= 0
        and _is_list_of(data, (int, float))
    )


def _is_list_of(values, kinds):
    return isinstance(values, list) and all(
        isinstance(value, kinds) and not isinstance(value, bool) for value in values
    )
