"""The supervisor's control socket: one JSON line in, one JSON line out.

The socket lies in the state directory and only its owner may open it. Its path
can be longer than a socket address may be, so it is reached through a descriptor
of its directory.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

from edge_runtime.durable import make_dir
from edge_runtime.errors import ControlError, EdgeError, NoSupervisorError
from packhorse.errors import MalformedError
from packhorse.strict_json import Fields, decode_json, encode_json

LINE_MAX_BYTES = 16_384
"""An order or a reply; both have a few hundred bytes."""

ASK_S = 5.0
"""Time to send one line over a socket on this machine."""

Document = dict[str, object]
Handler = Callable[[Fields], Awaitable[Document]]


def socket_path(state_dir: Path) -> Path:
    """Return where the supervisor of `state_dir` listens."""
    return state_dir / "run" / "supervisor.sock"


def ask(state_dir: Path, order: Mapping[str, object], *, timeout_s: float) -> Document:
    """Give the supervisor one order and return its reply.

    Args:
        state_dir: The gateway's state directory.
        order: `{"do": …}`; docs/protocol.md lists them.
        timeout_s: Time to wait for the reply.

    Raises:
        NoSupervisorError: There is none.
        ControlError: It gave no reply in time.
    """
    try:
        with _reachable(socket_path(state_dir)) as address:
            line = _exchange(address, encode_json(order) + b"\n", timeout_s)
        reply = decode_json(line, what="control reply", limit_bytes=LINE_MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise NoSupervisorError(f"no supervisor runs in {state_dir}") from error
    except (OSError, MalformedError) as error:
        raise ControlError(
            f"the supervisor in {state_dir} gave no reply to {order.get('do')!r}"
        ) from error
    if not isinstance(reply, dict):
        raise ControlError("a control reply must be an object")
    return reply


async def serve_control(state_dir: Path, handler: Handler) -> asyncio.Server:
    """Listen for orders; an `EdgeError` of the handler becomes its reply."""
    path = socket_path(state_dir)
    make_dir(path.parent)
    path.unlink(missing_ok=True)

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(ASK_S):
                line = await reader.readline()
            writer.write(encode_json(await _reply(line, handler)) + b"\n")
            await writer.drain()
        writer.close()

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _reachable(path) as address:
        listener.bind(address)
    path.chmod(0o600)
    return await asyncio.start_unix_server(answer, sock=listener, limit=LINE_MAX_BYTES)


async def _reply(line: bytes, handler: Handler) -> Document:
    """Carry out one order, or say why not."""
    try:
        order = decode_json(line, what="order", limit_bytes=LINE_MAX_BYTES)
        return await handler(Fields(order, "an order"))
    except OSError as error:
        # This machine's own trouble: no word on what was to be done.
        return {"ok": False, "reason": str(error), "may_pass": True}
    except (EdgeError, MalformedError) as error:
        return {"ok": False, "reason": str(error)}


def _exchange(address: str, line: bytes, timeout_s: float) -> bytes:
    """Send a line and read one back."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(address)
        connection.sendall(line)
        with connection.makefile("rb") as file:
            return file.readline(LINE_MAX_BYTES + 1)


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """Give a short address for a socket path of any length."""
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


def is_inside(path: Path, directory: Path) -> bool:
    """Say whether a path that came as an order's word stays in a directory."""
    return path.resolve().is_relative_to(directory.resolve())
