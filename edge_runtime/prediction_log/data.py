"""The tensors of a record that keeps them in full, as arrays again."""

from collections.abc import Iterator
from typing import cast

import numpy as np

from edge_runtime.prediction_log.payload import Document, decode_tensor
from edge_runtime.prediction_log.reader import Record
from packhorse.inference.datatypes import json_values
from packhorse.inference.signature import Arrays

_KEYS = ("inputs", "outputs")


def tensors_of(record: Record) -> tuple[Arrays, Arrays]:
    """Return a record's inputs and outputs; those only summarised are left out."""
    found: dict[str, dict[str, np.ndarray]] = {"inputs": {}, "outputs": {}}
    for key, tensor, array in _kept(record):
        found[key][str(tensor["name"])] = array
    return found["inputs"], found["outputs"]


def with_data(record: Record) -> Document:
    """Return what a record says of its tensors, with the elements of each kept."""
    found: Document = {key: record.tensors(key) for key in _KEYS}
    for _, tensor, array in _kept(record):
        tensor["data"] = json_values(array.reshape(-1))
    return found


def _kept(record: Record) -> Iterator[tuple[str, Document, np.ndarray]]:
    """Yield each tensor that is kept in full: its key, what is said of it, itself."""
    offset = 0
    for key in _KEYS:
        for tensor in record.tensors(key):
            if "data_bytes" in tensor:
                end = offset + cast("int", tensor["data_bytes"])
                yield key, tensor, decode_tensor(tensor, record.data[offset:end])
                offset = end
