"""Any process may be killed at any moment: the release arrives all the same.

A kill is a SIGKILL to the process and to all that it started. Every process of
the stack dies here, several in the life of each release, at moments that a seed
decides. `make kills` gives each process releases of its own, and takes long;
KILLS_OF="vertex gw-0" names some, KILLS_SEED repeats what was drawn.
"""

import os
import random

import pytest
import requests

from tests.path.conftest import make_stack
from tests.path.fleet import Fleet, wait_until
from tests.path.kills import endure, plan_kills, victims

SEED = int(os.environ.get("KILLS_SEED") or random.SystemRandom().randrange(10**6))
PER_RELEASE = 7
"""So many die in the life of one release."""

MOMENTS = 3
"""In the long run, each process dies this often, alone and with another."""


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    """A stack with every stand-in of its own, and a release that went undisturbed."""
    folder = tmp_path_factory.mktemp("kills")
    with make_stack(folder, None) as stack:
        stack.start()
        stack.add_gateway("gw-0", 0)
        stack.add_gateway("gw-1", 1)
        stack.start_gateways()
        fleet = Fleet(stack, folder)
        assert fleet.release(1) == "rollout finished"
        fleet.all_answer(1)
        yield fleet


@pytest.fixture
def life_s(unkilled):
    """How long a release may take: kills make its life longer."""
    return 1.5 * endure(unkilled, next_version(unkilled), [], SEED)


def next_version(fleet):
    return int(fleet.stable().partition("@")[2]) + 1


@pytest.mark.timeout(600)
def test_a_release_arrives_whatever_is_killed_on_its_way(unkilled, life_s):
    draw = random.Random(SEED)
    names = victims(unkilled.stack)
    draw.shuffle(names)

    for begin in range(0, len(names), PER_RELEASE):
        kills = plan_kills(names[begin : begin + PER_RELEASE], draw, life_s=life_s)
        endure(unkilled, next_version(unkilled), kills, SEED)


if os.environ.get("KILLS_LONG"):

    @pytest.mark.timeout(7200)
    def test_a_release_arrives_whichever_moment_each_process_dies_at(unkilled, life_s):
        draw = random.Random(SEED)
        names = victims(unkilled.stack)
        only = os.environ.get("KILLS_OF", "").split()

        for name in only or names:
            for _ in range(MOMENTS):
                alone = plan_kills([name], draw, life_s=life_s)
                endure(unkilled, next_version(unkilled), alone, SEED)
            two = plan_kills([name, draw.choice(names)], draw, life_s=life_s)
            endure(unkilled, next_version(unkilled), two, SEED)

    @pytest.mark.timeout(600)
    def test_a_release_whose_workflow_fails_gets_another(unkilled):
        stack = unkilled.stack
        version = next_version(unkilled)
        stack.process("deploy_candidate").kill_for_good()
        try:
            assert unkilled.push(version).returncode == 0
            wait_until(lambda: "published" in unkilled.history(version), "publishes")
            cancel_workflow(stack)
        finally:
            stack.process("deploy_candidate").start()
        assert unkilled.settled(version, 120) == "rollout finished"
        unkilled.all_answer(version)


def cancel_workflow(stack):
    """Cancel the executions that run, as a person may, or a limit of Google's."""
    plan = stack.plan
    url = f"{plan.url('workflows')}/v1/{plan.parent}/workflows/release/executions"

    def cancelled():
        running = [
            each["name"]
            for each in requests.get(url, timeout=10).json()["executions"]
            if each["state"] == "ACTIVE"
        ]
        for name in running:
            cancel = f"{plan.url('workflows')}/v1/{name}:cancel"
            requests.post(cancel, json={}, timeout=10)
        return running

    wait_until(cancelled, "an execution runs")
