"""Who was sent away stops asking; who was only not heard asks again soon."""

from edge_runtime.agent.errors import RefusedError, UnavailableError
from edge_runtime.agent.sender import REVOKED_S, wait_after_s


def test_a_revoked_device_reports_once_an_hour_at_most():
    revoked = RefusedError("no", is_revoked=True)

    assert wait_after_s(revoked, 300.0, 1) == REVOKED_S == 3600


def test_any_other_failure_is_tried_again_within_a_poll():
    for error in (RefusedError("no"), UnavailableError("away"), OSError()):
        waits = [wait_after_s(error, 300.0, failures) for failures in range(1, 20)]
        assert waits == sorted(waits)
        assert waits[0] < 10
        assert waits[-1] == 300
