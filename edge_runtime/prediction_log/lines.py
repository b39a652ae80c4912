"""One record as a line: for people, or as JSON for programs."""

from collections.abc import Mapping

import orjson

from edge_runtime.prediction_log.reader import Record

TENSORS_MAX = 3
"""Tensors that a line for people names; JSON names all."""

_MS = 1000.0


def json_line(record: Record, *, with_data: bool = False) -> str:
    """Say it to a program.

    Args:
        record: Any record.
        with_data: Whether tensors that are kept in full get `data`: a flat list in
            row-major order, as in a request; what is no finite number is null.
    """
    document = {"id": record.id, **record.document}
    if with_data and record.data:
        from edge_runtime.prediction_log.data import (  # noqa: PLC0415 - needs numpy
            with_data as add_data,
        )

        document |= add_data(record)
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def text_line(record: Record) -> str:
    """Say it to a person."""
    field = record.document.get
    if not record.is_prediction:
        return f"{_at(record)}  -- not recorded: {_counts(field('dropped'))} --"
    parts = [
        _at(record),
        f"{field('model')}@{field('version')}",
        str(field("outcome")),
        f"queue {_ms(field('queue_s'))}",
        f"compute {_ms(field('compute_s'))}",
        f"{_tensor_list(record, 'inputs')} → {_tensor_list(record, 'outputs')}",
    ]
    if request_id := field("request_id"):
        parts.append(f"request {request_id}")
    if trace := str(field("traceparent") or ""):
        parts.append(f"trace {trace.split('-')[1] if '-' in trace else trace}")
    return _plain("  ".join(parts))


def _counts(dropped: object) -> str:
    if not isinstance(dropped, dict):
        return "?"
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items())


def _at(record: Record) -> str:
    return f"{record.at[:23]}Z"  # to the millisecond


def _ms(seconds: object) -> str:
    return f"{_MS * seconds:.3g} ms" if isinstance(seconds, float | int) else "?"


def _tensor_list(record: Record, key: str) -> str:
    tensors = record.tensors(key)
    said = [_tensor(tensor) for tensor in tensors[:TENSORS_MAX]]
    if len(tensors) > TENSORS_MAX:
        said.append(f"{len(tensors) - TENSORS_MAX} more")
    return ", ".join(said) or "nothing"


def _tensor(tensor: Mapping[str, object]) -> str:
    shape = orjson.dumps(tensor.get("shape")).decode()
    said = f"{tensor.get('name')} {tensor.get('datatype')}{shape}"
    summary = tensor.get("summary")
    if not isinstance(summary, dict):
        return said
    if tops := summary.get("top"):
        return f"{said} top {', '.join(f'{i}: {_short(v)}' for i, v in tops)}"
    if (least := summary.get("min")) is not None:
        return f"{said} {_short(least)}…{_short(summary.get('max'))}"
    return said


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(text: str) -> str:
    """Leave nothing in a line that a terminal would obey: clients choose their ids."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
