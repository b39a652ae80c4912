"""Schemathesis against a real gateway: a short run; `make fuzz` is the long one."""

import pytest

from tests.fuzz.by_document import fuzz_by_document, start_described_gateway

EXAMPLES = 8
SHORT_S = 200.0


@pytest.fixture
def gateway(tmp_path):
    gateway = start_described_gateway(tmp_path)
    yield gateway
    assert gateway.stop() == 0


@pytest.mark.timeout(SHORT_S + 60.0)
def test_no_request_gets_an_answer_that_the_document_does_not_foresee(
    gateway, tmp_path
):
    wishes = ("--max-examples", EXAMPLES)
    run = fuzz_by_document(gateway, tmp_path, *wishes, timeout_s=SHORT_S)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert "request_failed" not in gateway.log.read_text()
