"""Any process may be killed at any moment: the release arrives all the same.

A kill is a SIGKILL to the process and to all that it started. Every process of
the stack dies here, several in the life of each release, at moments that a seed
decides. `make kills` gives each process releases of its own, and takes long.
"""

import os
import random

import pytest

from tests.path.conftest import make_stack
from tests.path.fleet import Fleet
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
    """How long a release takes that nothing disturbs; how to begin the next."""
    version = next_version(unkilled)
    return endure(unkilled, version, [], SEED)


def next_version(fleet):
    return int(fleet.stable().partition("@")[2]) + 1


@pytest.mark.timeout(600)
def test_a_release_arrives_whatever_is_killed_on_its_way(unkilled, life_s):
    draw = random.Random(SEED)
    names = victims(unkilled.stack)
    draw.shuffle(names)

    for begin in range(0, len(names), PER_RELEASE):
        kills = plan_kills(
            names[begin : begin + PER_RELEASE], draw, life_s=1.5 * life_s
        )
        endure(unkilled, next_version(unkilled), kills, SEED)


if os.environ.get("KILLS_LONG"):

    @pytest.mark.timeout(7200)
    def test_a_release_arrives_whichever_moment_each_process_dies_at(unkilled, life_s):
        draw = random.Random(SEED)
        names = victims(unkilled.stack)

        for name in names:
            for _ in range(MOMENTS):
                alone = plan_kills([name], draw, life_s=1.5 * life_s)
                endure(unkilled, next_version(unkilled), alone, SEED)
            two = plan_kills([name, draw.choice(names)], draw, life_s=1.5 * life_s)
            endure(unkilled, next_version(unkilled), two, SEED)
