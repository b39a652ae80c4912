"""The server: the listening port, the data, the pushing and the housekeeping."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc

from local_cloud.pubsub import backlog, catalogue, outcomes
from local_cloud.pubsub.database import Database
from local_cloud.pubsub.front import Front
from local_cloud.pubsub.lanes import PAUSE_MAX_S
from local_cloud.pubsub.posts import Poster
from local_cloud.pubsub.publisher import Publisher
from local_cloud.pubsub.push import Pusher
from local_cloud.pubsub.rpc import Handlers
from local_cloud.pubsub.tokens import TokenSource

GRPC_MAX_BYTES = 16 * 1024 * 1024
"""Above Google's 10 MB for a publish: `rules.py` refuses that with a sentence."""
THREADS = 128
"""Each waiting pull and each open stream holds one."""
PING_MIN_MS = 10_000
HOUSEKEEPING_S = 1.0
RETENTION_CHECK_S = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server is run.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        data: Folder of what is kept.
        token_url: Where the identity stand-in gives out ID tokens; None: none.
        pause_max_s: The longest pause before a failing endpoint is asked again.
    """

    host: str
    port: int
    data: Path
    token_url: str | None = None
    pause_max_s: float = PAUSE_MAX_S


class Server:
    """A running Pub/Sub.

    Attributes:
        port: The port it listens on.
    """

    def __init__(self, settings: Settings) -> None:
        """Open the data folder, listen, and begin to push.

        Raises:
            OSError: The port is taken, or the folder cannot be written.
            sqlite3.OperationalError: Another process holds the data.
        """
        settings.data.mkdir(parents=True, exist_ok=True)
        self._database = Database(settings.data / "pubsub.sqlite")
        tokens = TokenSource(settings.token_url) if settings.token_url else None
        self._pusher = Pusher(
            self._database, Poster(tokens), pause_max_s=settings.pause_max_s
        )
        self._is_stopping = threading.Event()
        self._grpc = grpc.server(
            ThreadPoolExecutor(THREADS, thread_name_prefix="rpc"),
            handlers=[Handlers(self._database, has_tokens=tokens is not None)],
            options=[
                ("grpc.max_receive_message_length", GRPC_MAX_BYTES),
                ("grpc.max_send_message_length", -1),
                # Two servers on one port would each get some of the requests.
                ("grpc.so_reuseport", 0),
                # The subscriber client pings every 30 s, messages or none.
                ("grpc.http2.min_ping_interval_without_data_ms", PING_MIN_MS),
                ("grpc.keepalive_permit_without_calls", 1),
            ],
        )
        listening = _listen(settings)
        self.port = listening.getsockname()[1]
        inner = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        self._front = Front(
            listening,
            ("127.0.0.1", inner),
            lambda request: Publisher(self._database).publish(request, None),
        )
        self._pusher.start()
        self._housekeeper = threading.Thread(target=self._keep_house, daemon=True)
        self._housekeeper.start()

    def stop(self) -> None:
        """Stop; what was answered is kept."""
        self._is_stopping.set()
        self._pusher.stop()
        self._front.stop()
        self._grpc.stop(grace=0.5).wait()
        self._housekeeper.join()
        self._database.close()

    def _keep_house(self) -> None:
        """End leases that nobody asks about, and forget what is too old."""
        checked_at = 0.0
        while not self._is_stopping.wait(HOUSEKEEPING_S):
            now = time.time()
            with self._database.write(durable=False) as connection:
                for subscription in catalogue.all_subscriptions(connection):
                    outcomes.end_leases(connection, subscription, now)
                    if now - checked_at > RETENTION_CHECK_S:
                        backlog.drop_old(connection, subscription, now)
            checked_at = now if now - checked_at > RETENTION_CHECK_S else checked_at


def _listen(settings: Settings) -> socket.socket:
    address = (settings.host, settings.port)
    try:
        return socket.create_server(address, backlog=128)
    except OSError as error:
        raise OSError(f"cannot listen on {settings.host}:{settings.port}") from error
