"""One supervisor to a state directory."""

import pytest

from edge_runtime.alone import only_supervisor
from edge_runtime.errors import ControlError


def test_there_is_one_and_then_another(tmp_path):
    with (
        only_supervisor(tmp_path),
        pytest.raises(ControlError, match="another supervisor serves"),
        only_supervisor(tmp_path),
    ):
        pass
    with only_supervisor(tmp_path):
        pass


def test_a_folder_in_the_place_of_the_lock_keeps_nobody_from_serving(tmp_path):
    (tmp_path / "run" / "supervisor.lock").mkdir(parents=True)
    with only_supervisor(tmp_path):
        assert (tmp_path / "run" / "supervisor.lock").is_file()
