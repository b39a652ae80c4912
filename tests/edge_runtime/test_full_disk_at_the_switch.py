"""A disk that fills up in the midst of a switch: the link names what serves."""

import pytest

from edge_runtime.slots import open_slots
from tests.crash.steps import fault_text, watched
from tests.edge_runtime.clients import ROW
from tests.edge_runtime.gateways import ROOT, install_tiny

AFTER_THE_RENAME = "fsync_dir . after rename .active.partial"


@pytest.mark.parametrize(
    ("lasts", "is_switched"),
    [
        pytest.param(1, False, id="there is room for the way back"),
        pytest.param(4, True, id="there is none for a while"),
        pytest.param(1000, True, id="there is none any more"),
    ],
)
def test_what_the_link_names_serves_though_the_disk_is_full(
    start_gateway, state_dir, lasts, is_switched
):
    install_tiny(state_dir, "a", 1, is_active=True)
    install_tiny(state_dir, "b", 2)
    fault = fault_text("ENOSPC", AFTER_THE_RENAME, lasts=lasts)
    gateway = start_gateway(
        **watched({"PYTHONPATH": str(ROOT)}, state_dir, fault=fault)
    )
    gateway.wait_ready()

    assert gateway.order("switch", slot="b")["ok"] is is_switched

    expected = 2 if is_switched else 1
    assert gateway.infer([ROW])[1]["model_version"] == str(expected)
    assert open_slots(state_dir).active().release.version == expected
