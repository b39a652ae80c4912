"""`python -m local_cloud.vertex`: serve the stand-in until SIGTERM or Ctrl-C."""

import argparse
import shlex
import shutil
from pathlib import Path

from local_cloud.stopping import take_stop_signals
from local_cloud.vertex.container import Watch
from local_cloud.vertex.server import Settings, Stand


def main() -> None:
    """Read the flags, serve, stop."""
    settings = read_settings()
    wait_for_stop = take_stop_signals()
    stand = Stand(settings)
    urls = [f"http://{settings.host}:{port}" for port in (stand.port, stand.own_port)]
    print(f"vertex: listening on {urls[0]} and, dedicated, on {urls[1]}", flush=True)  # noqa: T201  its one line for the log
    wait_for_stop()
    stand.close()


def read_settings(arguments: list[str] | None = None) -> Settings:
    """Turn the command line into settings."""
    flags = _parser().parse_args(arguments)
    watch = Watch(
        health_timeout_s=flags.health_timeout,
        health_period_s=flags.health_period,
        predict_timeout_s=flags.predict_timeout,
    )
    return Settings(
        data=flags.data,
        serving_command=_command(flags.serving_command),
        host=flags.host,
        port=flags.port,
        own_port=flags.dedicated_port,
        project=flags.project,
        location=flags.location,
        endpoints=dict(flags.endpoint),
        container_environment=dict(flags.container_env),
        deploy_timeout_s=flags.deploy_timeout,
        watch=watch,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="local_cloud.vertex", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=0, help="port to listen on; 0 takes any")
    add(
        "--dedicated-port",
        type=int,
        default=0,
        help="port of all dedicated hosts and private addresses; 0 takes any",
    )
    add("--data", type=Path, required=True, help="directory of everything it keeps")
    add(
        "--serving-command",
        default=".venv-gateway/bin/edge-runtime serve",
        help="starts a serving container, whatever image a model names",
    )
    add("--project", default="packhorse-demo", help="project of --endpoint")
    add("--location", default="europe-west4", help="location of --endpoint")
    add(
        "--endpoint",
        action="append",
        default=[],
        type=pair,
        metavar="ID=DISPLAY_NAME",
        help="an endpoint that is there from the start",
    )
    add(
        "--container-env",
        action="append",
        default=[],
        type=pair,
        metavar="NAME=VALUE",
        help="a variable that every container gets",
    )
    add("--deploy-timeout", type=float, default=120.0, metavar="SECONDS")
    add("--health-period", type=float, default=10.0, metavar="SECONDS")
    add("--health-timeout", type=float, default=10.0, metavar="SECONDS")
    add("--predict-timeout", type=float, default=60.0, metavar="SECONDS")
    return parser


def _command(text: str) -> tuple[str, ...]:
    """Cut a command line; its program is found now, not where a container runs."""
    program, *rest = shlex.split(text)
    found = shutil.which(program)
    if found is None:
        raise SystemExit(f"--serving-command: there is no program {program!r}")
    return (str(Path(found).absolute()), *rest)


def pair(text: str) -> tuple[str, str]:
    """Cut `NAME=VALUE`."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, {text!r} came")
    return name, value


if __name__ == "__main__":
    main()
