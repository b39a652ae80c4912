"""Run one supervisor, from its first lock to its last worker."""

import asyncio
import contextlib
import errno
import signal
import socket
import time

from edge_runtime.alone import only_supervisor
from edge_runtime.errors import SettingsError
from edge_runtime.http.tls import tls_context
from edge_runtime.log import log
from edge_runtime.service_manager import ServiceManager
from edge_runtime.settings.serve_settings import ServeSettings
from edge_runtime.slots import open_slots
from edge_runtime.start_pages import give_back_start_pages
from edge_runtime.supervision.control import serve_control, socket_path
from edge_runtime.supervision.pulse import tell_pulse
from edge_runtime.supervision.supervisor import Supervisor

BACKLOG = 1024
"""Connections that the kernel keeps waiting while workers change."""

_BIND_S = 15.0
"""A supervisor that was killed leaves workers that still finish what they answer."""

_BIND_PAUSE_S = 0.2


def serve(settings: ServeSettings, manager: ServiceManager) -> int:
    """Serve until SIGTERM or SIGINT, and tell `manager` how; return the exit code.

    Raises:
        ControlError: Another supervisor has this state directory.
        SettingsError: The address cannot be listened on, or no certificate shown.
    """
    if settings.access is not None and settings.access.tls is not None:
        tls_context(settings.access.tls)  # each worker makes its own
    with only_supervisor(settings.state_dir), _listen(settings) as listener:
        asyncio.run(_run(settings, listener, manager))
    return 0


async def _run(
    settings: ServeSettings, listener: socket.socket, manager: ServiceManager
) -> None:
    """Boot, obey, and stop when told."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    supervisor = Supervisor(settings, open_slots(settings.state_dir), listener)
    obeying = asyncio.create_task(_obey(settings, supervisor))
    host, port = listener.getsockname()[:2]
    log("serving", host=host, port=port, state_dir=str(settings.state_dir))
    booting = asyncio.create_task(supervisor.boot())
    booting.add_done_callback(lambda _: give_back_start_pages())
    pulse = asyncio.create_task(tell_pulse(supervisor, booting, manager))
    await stopped.wait()
    pulse.cancel()
    manager.stopping()
    log("stopping")
    obeying.cancel()
    listener.close()
    booting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await booting
    await supervisor.stop()
    with contextlib.suppress(OSError):
        socket_path(settings.state_dir).unlink(missing_ok=True)


async def _obey(settings: ServeSettings, supervisor: Supervisor) -> None:
    """Take orders; where the disk takes no socket, serve without, and try again."""
    while True:
        try:
            server = await serve_control(settings.state_dir, supervisor.obey)
        except OSError as error:
            log("control_failed", reason=error.strerror)
            await asyncio.sleep(settings.retry_s)
        else:
            await server.serve_forever()  # it closes when this is cancelled


def _listen(settings: ServeSettings) -> socket.socket:
    """Bind the address, waiting for a former supervisor's workers to end."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    until_s = time.monotonic() + _BIND_S
    is_told = False
    while True:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE or time.monotonic() > until_s:
                raise SettingsError(
                    f"cannot listen on {settings.host}:{settings.port}:"
                    f" {error.strerror}"
                ) from error
            if not is_told:
                place = f"{settings.host}:{settings.port}"
                log("listen_waits", listen=place, reason=error.strerror, wait_s=_BIND_S)
                is_told = True
            time.sleep(_BIND_PAUSE_S)
        else:
            return listener
