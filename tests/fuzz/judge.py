"""Whether an answer is right, or what is wrong with it."""

import json
import zlib

import numpy as np

from tests.fuzz.reference import UnreadableError, from_bytes, read
from tests.fuzz.served import FailedError

REFUSED = {501, 503, 504, 505}
"""Of 500 and above these alone may come of a request: not served, overloaded,
late, another version of HTTP."""

HUGE = 1e15
"""Sums of numbers near it differ too much to be compared."""


def judge_talk(talk):
    """Return what is wrong with what came over a connection; empty for nothing."""
    if talk.problem:
        return talk.problem
    for answer in talk.reader.answers:
        if answer.status >= 500 and answer.status not in REFUSED:
            return f"status {answer.status}: {answer.body[:200]!r}"
        if answer.status >= 400 and (problem := _judge_error(answer)):
            return problem
    return "" if talk.case.wild else _judge_answers(talk)


def _judge_answers(talk):
    requests, answers = talk.case.requests, talk.reader.answers
    for number, answer in enumerate(answers, 1):
        if answer.closes and number < len(answers):
            return "answers after one that said it was the last"
    if len(answers) > len(requests):
        return f"{len(answers)} answers for {len(requests)} requests"
    if len(answers) < len(requests) and not (answers and answers[-1].closes):
        return f"{len(answers)} answers for {len(requests)} requests"
    for sent, answer in zip(requests, answers, strict=False):
        if problem := judge(sent, answer):
            return problem
    return ""


def judge(sent, answer):
    """Return what is wrong with an answer to a whole request; empty for nothing."""
    if sent.is_valid and answer.status != 200:
        return f"valid, but {answer.status}: {answer.body[:200]!r}"
    if sent.served is None or answer.status != 200:
        return ""
    with np.errstate(all="ignore"):  # NaN and infinities come and go
        return _judge_answer(sent, answer)


def _judge_answer(sent, answer):
    try:
        asked = read(sent)
    except UnreadableError as error:
        return f"200 for what cannot be read ({error}): {answer.body[:200]!r}"
    try:
        expected = sent.served.answer(asked.given)
    except FailedError as error:
        return f"200 for what cannot be computed: {error}"
    try:
        return _judge_content(sent.served, asked, expected, _inflated(answer))
    except (ValueError, KeyError, TypeError, IndexError, UnreadableError) as error:
        return f"an answer that cannot be read ({error!r}): {answer.body[:200]!r}"


def _judge_error(answer):
    """An error is a JSON object with one sentence, but for schemas of others."""
    try:
        document = json.loads(answer.body) if answer.body else {"error": "HEAD"}
    except ValueError:
        return f"an error that is no JSON: {answer.body[:200]!r}"
    if not isinstance(document, dict) or not isinstance(document.get("error"), str):
        return f"an error without a sentence: {answer.body[:200]!r}"
    return ""


def _inflated(answer):
    coding = answer.headers.get("content-encoding")
    if coding is None:
        return answer
    body = zlib.decompress(answer.body, 31 if coding == "gzip" else 15)
    return type(answer)(answer.status, answer.headers, body)


def _judge_content(served, asked, expected, answer):
    if asked.count is not None:
        got = _predictions(served, asked, answer)
    else:
        got = _outputs(served, asked, answer)
    for name in asked.outputs:
        want, have = expected[name], got[name]
        if have.shape != want.shape or not _equal(served, asked, name, want, have):
            return f"wrong {name}: expected {want!r:.300}, came {have!r:.300}"
    return ""


def _outputs(served, asked, answer):
    size = answer.headers.get("inference-header-content-length")
    text, raw = answer.body, b""
    if size is not None:
        text, raw = answer.body[: int(size)], answer.body[int(size) :]
    document = json.loads(text)
    if document["model_name"] != served.name or document.get("id", "") != asked.id:
        raise ValueError("another model or id")
    if document["model_version"] != str(served.version):
        raise ValueError("another version")
    if [output["name"] for output in document["outputs"]] != list(asked.outputs):
        raise ValueError("other outputs")
    got = {}
    for output in document["outputs"]:
        got[output["name"]], raw = _output(served, asked, output, raw)
    if raw:
        raise ValueError("bytes left over")
    return got


def _output(served, asked, output, raw):
    tensor, shape = served.outputs[output["name"]], output["shape"]
    if output["datatype"] != tensor.datatype:
        raise ValueError("another datatype")
    if output["name"] in asked.raw:
        size = output["parameters"]["binary_data_size"]
        return from_bytes(tensor, raw[:size], shape), raw[size:]
    return _array(tensor, output["data"]).reshape(shape), raw


def _predictions(served, asked, answer):
    rows = json.loads(answer.body)["predictions"]
    if len(rows) != asked.count:
        raise ValueError("more predictions or fewer")
    if len(served.outputs) == 1:
        (name,) = served.outputs
        return {name: _array(served.outputs[name], rows)}
    return {
        name: _array(tensor, [row[name] for row in rows])
        for name, tensor in served.outputs.items()
    }


def _array(tensor, values):
    if tensor.dtype.kind in "iuO":
        array = np.array(values, object)
        return array if tensor.dtype.kind == "O" else array.astype(tensor.dtype)
    if tensor.dtype.kind == "b":
        return np.array(values, bool)
    return np.array(values, np.float64).astype(tensor.dtype)  # null becomes NaN


def _equal(served, asked, name, want, have):
    """Compare bit by bit, but for NaN in JSON and for sums of floats."""
    if want.dtype == object:
        return want.tolist() == have.tolist()
    if served.tolerance:
        return _is_near(want, have, served.tolerance * _largest(asked.given))
    if name in asked.raw or want.dtype.kind in "iub":
        return want.tobytes() == have.tobytes()
    wide, got = want.astype(np.float64), have.astype(np.float64)
    wide = np.where(np.isfinite(wide), wide, np.nan)  # as JSON has it
    return bool(np.array_equal(wide, got, equal_nan=True))


def _is_near(want, have, atol):
    """Compare sums, which other orders of adding change; too large ones say nothing."""
    if atol > HUGE:
        return True
    wide, got = want.astype(np.float64), have.astype(np.float64)
    return bool(np.allclose(wide, got, rtol=1e-3, atol=atol, equal_nan=True))


def _largest(given):
    largest = max(np.abs(array).max(initial=1.0) for array in given.values())
    return float(largest) if np.isfinite(largest) else np.inf
