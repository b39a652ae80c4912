"""What an upstream and its callers see of a storm, and of the calm after it."""

import asyncio
import contextlib
import random
import time
from collections import Counter

import pytest

from functions.adapters.bearer_token import BearerToken
from functions.adapters.upstream.client import Upstream
from functions.errors import CircuitOpenError
from functions.prediction.attempts import Attempts
from functions.prediction.circuit import Circuits
from functions.prediction.circuit_state import PROBE_MAX_S
from functions.prediction.retries import BUDGET_RATIO, Budget
from functions.setting_values import EndpointSettings
from tests.functions.prediction.scripted_upstream import (
    WAIT_S,
    ScriptedUpstream,
    answer,
)

NAME = "projects/p/locations/europe-west4/endpoints/1234"
GOOD = answer(200, b"good", x_vertex_ai_deployed_model_id="77")
BUSY = answer(503)
CALLERS = 32

pytestmark = pytest.mark.usefixtures("google_account")


def let_callers_ask(script, take_part):
    """Let many callers take part at once; return how often each thing was seen."""

    async def run():
        upstream = Upstream()
        seen = Counter()
        async with script as server:
            endpoint = EndpointSettings(NAME, server.url, "shared", 1_500_000, WAIT_S)
            attempts = Attempts(
                upstream,
                BearerToken(),
                Budget(time.monotonic),
                Circuits(time.monotonic),
            )

            async def ask():
                try:
                    outcome = await attempts.call(
                        endpoint,
                        b"{}",
                        "application/json",
                        deadline=asyncio.get_running_loop().time() + WAIT_S,
                        retries_timeouts=False,
                    )
                except CircuitOpenError:
                    seen["refused"] += 1
                    return 0
                seen[outcome.answer.status] += 1
                return outcome.answer.status

            try:
                await asyncio.gather(*(take_part(ask) for _ in range(CALLERS)))
            finally:
                await upstream.close()
        return seen

    return asyncio.run(run())


@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_costs_less_than_a_tenth_more_and_helps_whom_it_can(seed):
    draw = random.Random(seed).random
    script = ScriptedUpstream(lambda _: BUSY if draw() < 0.3 else GOOD)
    left = iter(range(3000))

    async def take_part(ask):
        for _ in left:
            await ask()

    seen = let_callers_ask(script, take_part)

    assert sum(seen.values()) == 3000
    assert set(seen) == {200, 503}
    assert len(script.requests) < 1.1 * 3000
    # Seven in ten at once, and seven in ten of those asked again.
    assert seen[200] / 3000 == pytest.approx(0.7 + 0.7 * BUDGET_RATIO, abs=0.025)


def test_an_outage_is_left_alone_and_its_end_is_noticed_at_once():
    is_well = False
    well_at = []
    script = ScriptedUpstream(lambda _: GOOD if is_well else BUSY)

    async def take_part(ask):
        nonlocal is_well
        loop = asyncio.get_running_loop()
        mended_at = loop.time() + 1.5
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                # Callers ask every hundredth of a second, whatever they are told.
                while await ask() != 200:
                    is_well = is_well or loop.time() >= mended_at
                    await asyncio.sleep(0.01)
                well_at.append(loop.time() - mended_at)

    seen = let_callers_ask(script, take_part)

    assert len(well_at) == seen[200] == CALLERS
    # The last probe before the end may have gone just then.
    assert max(well_at) < PROBE_MAX_S + 0.5
    # Three thousand asked in vain, and the upstream saw what opened the circuit.
    assert seen["refused"] > 1000
    assert len(script.requests) < 100 + CALLERS
