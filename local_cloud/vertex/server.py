"""Put the stand-in together: store, containers, operations, routes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_cloud import google_http
from local_cloud.documents import Store
from local_cloud.vertex import endpoints
from local_cloud.vertex.api import Api
from local_cloud.vertex.container import Launch, Watch
from local_cloud.vertex.control import Control
from local_cloud.vertex.faults import Faults
from local_cloud.vertex.fleet import Fleet
from local_cloud.vertex.kinds import Door
from local_cloud.vertex.prediction import Predictor
from local_cloud.vertex.worker import Worker


@dataclass(frozen=True, slots=True)
class Settings:
    """What the stand-in is started with.

    Attributes:
        data: Directory of everything it keeps.
        serving_command: Starts a serving container, whatever image was uploaded.
        host: Address to listen on.
        port: Port of the region's host; 0 takes any.
        own_port: Port of all dedicated hosts and private addresses; 0 takes any.
        project: Project of the endpoints made at the start.
        location: Location of the endpoints made at the start.
        endpoints: Display names of the endpoints made at the start, by id.
        container_environment: Variables added to every container's.
        deploy_timeout_s: A container must be healthy within this time.
        watch: How containers are looked after.
    """

    data: Path
    serving_command: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 0
    own_port: int = 0
    project: str = "packhorse-demo"
    location: str = "europe-west4"
    endpoints: Mapping[str, str] = field(default_factory=dict)
    container_environment: Mapping[str, str] = field(default_factory=dict)
    deploy_timeout_s: float = 120.0
    watch: Watch = field(default_factory=Watch)


class Stand:
    """A running stand-in."""

    def __init__(self, settings: Settings) -> None:
        """Open the store, take up what was running, then listen."""
        data = settings.data.absolute()
        self._store = Store(data / "vertex.sqlite")
        self._make_endpoints(settings)
        environment = dict(settings.container_environment)
        command = settings.serving_command
        launch = Launch(command, environment, data / "containers", settings.watch)
        timeout_s = settings.deploy_timeout_s
        self._fleet = Fleet(launch, deploy_timeout_s=timeout_s)
        worker = Worker(self._store, self._fleet)
        faults = Faults()
        shared_s = settings.watch.predict_timeout_s
        predictor = Predictor(
            self._store, self._fleet, faults, shared_timeout_s=shared_s
        )
        api = Api(self._store, worker, predictor, faults)
        control = Control(faults)
        worker.take_up()
        ports = {Door.SHARED: settings.port, Door.OWN: settings.own_port}
        self._servers = {
            door: google_http.start(
                settings.host, port, control.before(api.handler(door))
            )
            for door, port in ports.items()
        }
        self.port = self._servers[Door.SHARED].port
        self.own_port = self._servers[Door.OWN].port

    def close(self) -> None:
        """Stop listening, then stop every container."""
        for server in self._servers.values():
            server.shutdown()
            server.server_close()
        self._fleet.stop_all()

    def _make_endpoints(self, settings: Settings) -> None:
        parent = f"projects/{settings.project}/locations/{settings.location}"
        with self._store.transaction() as work:
            for number, display_name in settings.endpoints.items():
                name = f"{parent}/endpoints/{number}"
                if work.get(endpoints.KIND, name) is None:
                    body = {"displayName": display_name}
                    endpoints.create(work, parent, body, number)
