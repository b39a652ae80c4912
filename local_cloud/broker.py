"""An MQTT broker on loopback: `python -m local_cloud.broker --port P --data DIR`.

amqtt, embedded: MQTT 3.1.1 (5 is refused), anyone may connect, publish and
subscribe, nothing is encrypted. A production broker asks for a certificate per
gateway and keeps each to its own topics; the tests have mosquitto for that
(`tests/mosquitto.py`).

Retained messages are kept in --data and are there again after a kill, save one
that was acknowledged in the last moment before it. Messages under way to a
client, and the sessions of clients that are away, are lost when the broker
stops. Nothing in the product leans on any of it: a notice is a hint.
"""

import argparse
import asyncio
import base64
import json
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

# amqtt ships no types.
from amqtt.broker import (  # type: ignore[import-untyped]
    Broker,
    BrokerContext,
    RetainedApplicationMessage,
)
from amqtt.contexts import BrokerConfig, ListenerConfig  # type: ignore[import-untyped]
from amqtt.plugins.base import BasePlugin  # type: ignore[import-untyped]

RETAINED_MAX = 10_000
"""Topics that may hold a retained message: rings, not devices."""

STOP_TIMEOUT_S = 5.0


class KeepRetained(BasePlugin[BrokerContext]):  # type: ignore[misc]  # see above
    """Keep retained messages in one file, written whole at each change."""

    @dataclass
    class Config:
        """Where to keep them."""

        path: str

    async def on_broker_pre_start(self) -> None:
        """Bring back what an earlier process kept."""
        for topic, (data, qos) in load_retained(Path(self._file())).items():
            await self.context.retain_message(topic, data, qos)

    async def on_broker_retained_message(
        self, *, client_id: str | None, retained_message: RetainedApplicationMessage
    ) -> None:
        """Keep the message that was just retained or cleared."""
        del client_id, retained_message  # the context holds all of them
        kept = {
            topic: (bytes(message.data), message.qos or 0)
            for topic, message in self.context.retained_messages.items()
            if message.data and not topic.startswith("$")
        }
        save_retained(Path(self._file()), kept)

    def _file(self) -> str:
        return str(self._get_config_option("path"))


def load_retained(path: Path) -> dict[str, tuple[bytes, int]]:
    """Read retained messages (data, quality of service) by topic."""
    if not path.exists():
        return {}
    entries = json.loads(path.read_bytes())
    return {
        topic: (base64.b64decode(data), qos) for topic, (data, qos) in entries.items()
    }


def save_retained(path: Path, kept: dict[str, tuple[bytes, int]]) -> None:
    """Write retained messages; a kill leaves the old file or the new one."""
    entries = {
        topic: (base64.b64encode(data).decode(), qos)
        for topic, (data, qos) in list(kept.items())[:RETAINED_MAX]
    }
    beside = path.with_suffix(".new")
    with beside.open("w") as file:
        json.dump(entries, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


async def serve(*, host: str, port: int, data: Path) -> None:
    """Serve until SIGINT or SIGTERM; keep retained messages in the folder `data`."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    broker = Broker(_config(host, port, data / "retained.json"))
    await broker.start()
    sys.stdout.write(json.dumps({"event": "ready", "url": f"mqtt://{host}:{port}"}))
    sys.stdout.write("\n")
    sys.stdout.flush()
    await stopping.wait()
    await asyncio.wait_for(broker.shutdown(), STOP_TIMEOUT_S)


def _config(host: str, port: int, retained: Path) -> BrokerConfig:
    return BrokerConfig(
        listeners={"default": ListenerConfig(bind=f"{host}:{port}")},
        plugins={
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {
                "allow_anonymous": True
            },
            "local_cloud.broker.KeepRetained": {"path": str(retained)},
        },
    )


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(
        prog="local_cloud.broker",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(serve(host=options.host, port=options.port, data=options.data))


if __name__ == "__main__":
    main()
