"""From bytes to one answer, with every limit on the way.

llhttp reads heads and chunks, and refuses two lengths, a length beside chunks and
odd characters. The rest of a body of known length goes past it, so that a long one
is copied once.

Source: RFC 9112, 2.2, 4, 6 and 9.3
"""

import io

import httptools

from functions.adapters.upstream.answer import Answer
from functions.errors import BrokenAnswerError

HEAD_MAX_BYTES = 64 * 1024
"""Of a head, with interim answers before it; and of whatever stands between or
after chunks. Google's heads have about one kilobyte."""

_LINE_END = b"\r\n"
_STATUS_MIN, _FINAL, _STATUS_MAX = 100, 200, 599


class AnswerReader:
    """Reads the answers of one connection, one after the other.

    Attributes:
        is_untouched: Whether no byte of the answer has come.
        keeps_alive: Whether another request may follow; known with the answer.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_body_bytes",
        "_fault",
        "_first",
        "_has_head",
        "_headers",
        "_is_chunked",
        "_length",
        "_max_bytes",
        "_other_bytes",
        "_parser",
        "_rest",
        "_status",
        "is_untouched",
        "keeps_alive",
    )

    def __init__(self, answer_max_bytes: int) -> None:
        """Wait for the first answer."""
        self._max_bytes = answer_max_bytes
        self._parser = httptools.HttpResponseParser(self)
        self.begin()

    def begin(self) -> None:
        """Expect the next answer."""
        self.is_untouched = True
        self.keeps_alive = False
        self._answer: Answer | None = None
        self._fault = ""
        self._status = 0
        self._has_head = False
        self._headers: dict[str, str] = {}
        self._length: int | None = None
        self._is_chunked = False
        self._first = b""
        self._body: io.BytesIO | None = None
        self._body_bytes = 0
        self._rest = 0
        self._other_bytes = 0

    def feed(self, data: bytes) -> Answer | None:
        """Take what came; return the answer once it is whole.

        Raises:
            BrokenAnswerError: It will never be an answer.
        """
        self.is_untouched = False
        if self._rest:
            return self._take_rest(data)
        before = self._body_bytes
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._stumble(error)
        if self._answer is None:
            self._check_progress(len(data), self._body_bytes - before)
        elif data[-1] in _LINE_END:
            # Half a line end may stand behind the answer, and must not meet the next.
            self._parser = httptools.HttpResponseParser(self)
        return self._answer

    def end(self) -> Answer | None:
        """Return the answer that only the connection's end makes whole, if it is."""
        if self._answer is None and self._has_head and self._is_endless:
            self._finish()
        return self._answer

    def on_message_begin(self) -> None:
        """Begin an answer; a second one was not asked for."""
        if self._answer is not None:
            raise ValueError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; a trailer is read over."""
        if not self._has_head:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Judge a head before its body comes."""
        self._status = self._parser.get_status_code()
        if not _STATUS_MIN <= self._status <= _STATUS_MAX:
            self._refuse(f"upstream answers with the status {self._status}")
        if self._status < _FINAL:
            return
        self._has_head = True
        self.keeps_alive = self._parser.should_keep_alive()
        coding = self._headers.get("transfer-encoding")
        if coding is not None:
            self._is_chunked = coding.lower() == "chunked"
            if not self._is_chunked:
                self._refuse("upstream's answer has an unknown transfer coding")
        elif (length := self._headers.get("content-length")) is not None:
            self._length = int(length)
            self._check_length(self._length)

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body; most answers have one."""
        self._body_bytes += len(piece)
        self._check_length(self._body_bytes)
        if self._body is not None:
            self._body.write(piece)
        elif self._first:
            self._body = io.BytesIO()
            self._body.write(self._first)
            self._body.write(piece)
        else:
            self._first = piece

    def on_message_complete(self) -> None:
        """End an answer; an interim one leads to the next.

        Source: RFC 9110, 15.2
        """
        if self._has_head:
            self._finish()
        else:
            self._headers = {}

    @property
    def _is_endless(self) -> bool:
        return self._length is None and not self._is_chunked

    def _finish(self) -> None:
        body = self._first if self._body is None else self._body.getvalue()
        self._answer = Answer(self._status, self._headers, body)

    def _stumble(self, error: Exception) -> None:
        """Refuse what llhttp cannot read, unless the answer was whole before it."""
        self.keeps_alive = False
        if self._answer is None:
            raise BrokenAnswerError(
                self._fault or "upstream's answer is no HTTP/1.1"
            ) from error

    def _check_progress(self, count: int, body_bytes: int) -> None:
        """Bound what is no body, and let the rest of a long body pass llhttp by."""
        if body_bytes:
            self._other_bytes = 0
        else:
            self._other_bytes += count
        if self._other_bytes > HEAD_MAX_BYTES:
            raise BrokenAnswerError(
                f"upstream's answer has over {HEAD_MAX_BYTES} bytes beside its body"
            )
        if self._length is not None:
            self._rest = self._length - self._body_bytes
            self._body = io.BytesIO()
            self._body.write(self._first)
            # llhttp would wait for the rest for ever.
            self._parser = httptools.HttpResponseParser(self)

    def _take_rest(self, data: bytes) -> Answer | None:
        assert self._body is not None  # noqa: S101 - it holds what came before
        self._body.write(memoryview(data)[: self._rest])
        if len(data) < self._rest:
            self._rest -= len(data)
            return None
        if len(data) > self._rest:
            self.keeps_alive = False
        self._rest = 0
        self._finish()
        return self._answer

    def _check_length(self, length: int) -> None:
        if length > self._max_bytes:
            self._refuse(f"upstream answers more than {self._max_bytes} bytes")

    def _refuse(self, sentence: str) -> None:
        """Stop llhttp; `feed` says why."""
        self._fault = sentence
        raise ValueError(sentence)
