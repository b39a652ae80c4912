"""What a supervisor tells a worker arrives as it was said."""

from pathlib import Path

from edge_runtime.access_settings import AccessSettings, TlsSettings
from edge_runtime.settings import ContainerSettings, Limits, LogSettings, ServeSettings
from edge_runtime.worker_config import config_of, decode_config


def test_a_configuration_survives_the_command_line():
    tls = TlsSettings(Path("/cert"), Path("/key"), Path("/ca"))
    settings = ServeSettings(
        host="127.0.0.1",
        port=1,
        state_dir=Path("/state"),
        limits=Limits(batch_rows_max=3),
        container=ContainerSettings("/h", "/p", "gs://b/o", "0", "http://s", "m"),
        models_dir=Path("/models"),
        processes=3,
        access=AccessSettings(("ab", "cd"), tls),
        prediction_log=LogSettings(1.0, "full", 5),
    )
    config = config_of(settings, listener_fd=7, slot="a", reason="ü")

    assert decode_config(config.encode()) == config


def test_what_is_not_set_stays_so():
    settings = ServeSettings("127.0.0.1", 1, Path("/state"))
    config = config_of(settings, listener_fd=7, slot="", reason="none yet")

    assert decode_config(config.encode()) == config
    assert (config.access, config.container, config.models_dir) == (None, None, None)
