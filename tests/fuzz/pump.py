"""Sends several connections' bytes at once and reads what comes back.

Nothing here blocks on one side only: a server that stops reading until it is read
from meets a client that reads.
"""

import contextlib
import selectors
import socket
import time
from dataclasses import dataclass

from tests.fuzz.exchange import BrokenAnswerError, Reader

READ_BYTES = 1 << 18


@dataclass
class Talk:
    """One connection, from its first byte to its end.

    Attributes:
        case: What is sent.
        wanted: Answers after which nothing more is sent; None to say at once that
            nothing follows.
        problem: Why it did not end as connections should; empty if it did.
        answered_s: When the last wanted answer was whole; None if it never was.
    """

    case: object
    socket: socket.socket
    reader: Reader
    wanted: int | None
    pieces: list
    problem: str = ""
    has_shut: bool = False
    is_over: bool = False


def converse(port, cases, *, limit_s):
    """Send every case over a connection of its own, all at once.

    Args:
        limit_s: Time after which a connection that has not ended hangs.

    Returns:
        A `Talk` for each.
    """
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        talks = [_open(port, case, stack) for case in cases]
        for talk in talks:
            selector.register(talk.socket, _BOTH, talk)
        until_s = time.monotonic() + limit_s
        left = len(talks)
        while left and time.monotonic() < until_s:
            for key, events in selector.select(timeout=0.5):
                talk = key.data
                _step(talk, events, selector)
                left -= talk.is_over
        for talk in talks:
            if not talk.is_over:
                talk.problem = f"hangs: {len(talk.reader.answers)} answers came"
    return talks


_BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE


def _open(port, case, stack):
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 20))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(0)
    methods = [request.method for request in case.requests]
    wanted = None if case.wild else len(case.requests)
    return Talk(case, connection, Reader(methods), wanted, case.pieces()[::-1])


def _step(talk, events, selector):
    try:
        _move(talk, events)
    except BlockingIOError:
        pass
    except BrokenPipeError:
        talk.pieces = []  # refused; the answer is still to be read
    except ConnectionResetError as error:
        _end(talk, "" if talk.reader.answers else repr(error))
    except BrokenAnswerError as error:
        _end(talk, f"broken answer: {error}")
    if talk.is_over:
        selector.unregister(talk.socket)
    elif not talk.pieces and not talk.has_shut:
        _shut(talk, selector)


def _move(talk, events):
    """Read and write what is possible now."""
    if events & selectors.EVENT_READ:
        _read(talk)
    if events & selectors.EVENT_WRITE and not talk.is_over:
        _write(talk)


def _read(talk):
    data = talk.socket.recv(READ_BYTES)
    if data:
        talk.reader.feed(data)
    elif talk.reader.left:
        _end(talk, f"ends within an answer: {bytes(talk.reader.left[:200])!r}")
    else:
        _end(talk, "")


def _write(talk):
    if talk.pieces:
        piece = talk.pieces.pop()
        sent = talk.socket.send(piece)
        if sent < len(piece):
            talk.pieces.append(piece[sent:])


def _shut(talk, selector):
    """Say that nothing follows, once that is so."""
    selector.modify(talk.socket, selectors.EVENT_READ, talk)
    if talk.wanted is None or len(talk.reader.answers) >= talk.wanted:
        talk.has_shut = True
        with contextlib.suppress(OSError):
            talk.socket.shutdown(socket.SHUT_WR)


def _end(talk, problem):
    talk.is_over, talk.problem = True, problem
