"""A worker is told all the settings that concern it."""

from dataclasses import fields
from pathlib import Path

from edge_runtime.settings.access_settings import AccessSettings, TlsSettings
from edge_runtime.settings.serve_settings import (
    ContainerSettings,
    Limits,
    LogSettings,
    ServeSettings,
)
from edge_runtime.worker_config import WorkerConfig, config_of


def test_a_worker_is_told_every_setting_that_it_shares_with_its_supervisor():
    settings = ServeSettings(
        host="127.0.0.1",
        port=1,
        state_dir=Path("/state"),
        drain_s=7.0,
        stop_s=8.0,
        limits=Limits(batch_rows_max=3),
        container=ContainerSettings("/h", "/p", "gs://b/o", "0", "http://s", "m"),
        models_dir=Path("/models"),
        processes=3,
        access=AccessSettings(
            ("ab", "cd"), TlsSettings(Path("/cert"), Path("/key"), Path("/ca"))
        ),
        prediction_log=LogSettings(1.0, "full", 5),
    )

    config = config_of(settings, listener_fd=7, slot="a", reason="ü")

    assert (config.listener_fd, config.slot, config.reason) == (7, "a", "ü")
    assert config.state_dir == "/state"
    told = {field.name for field in fields(WorkerConfig)} - {"state_dir"}
    shared = told & {field.name for field in fields(ServeSettings)}
    assert len(shared) == 9
    for name in shared:
        assert getattr(config, name) == getattr(settings, name)
