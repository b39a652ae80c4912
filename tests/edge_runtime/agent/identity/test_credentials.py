"""A gateway reads a private bucket with tokens that it renews, and outlives refusal."""

from datetime import timedelta

import pytest

from edge_runtime.agent.errors import RefusedError, UnavailableError
from edge_runtime.agent.identity.credentials import REPLACE_GAP_S, DeviceCredentials
from edge_runtime.agent.identity.read_token import TokenDesk
from edge_runtime.agent.network.web import Web
from edge_runtime.agent.pause import LONGEST_S, Pause
from packhorse.device_key import public_pem
from tests.edge_runtime.agent.token_cloud import TokenCloud
from tests.standing_clock import StandingClock

OBJECT = "/bucket/metadata/timestamp.json"
ABSENT = "/bucket/metadata/9.root.json"
GONE = (403, {"error": "gateway-1 was revoked", "is_revoked": True})


@pytest.fixture
def clock():
    return StandingClock()


@pytest.fixture
def cloud(identity):
    found = TokenCloud(public_pem(identity.key_pem))
    yield found
    found.stop()


@pytest.fixture
def desk(identity, cloud):
    return TokenDesk(identity, model="magika", url=cloud.url, web=Web())


@pytest.fixture
def web(desk, cloud, clock):
    """Read the bucket; a token is renewed in the middle of its life."""
    credentials = DeviceCredentials(
        desk, f"{cloud.url}/bucket", clock=clock, draw=lambda low, _: low
    )
    return Web(credentials)


@pytest.fixture
def read(web, cloud):
    def do(path=OBJECT):
        with web.get(f"{cloud.url}{path}") as answer:
            return answer.status

    return do


def tokens(cloud):
    return [token for _, token in cloud.seen]


def test_one_token_is_asked_for_and_used_for_everything(read, cloud):
    assert [read(), read()] == [200, 200]

    assert tokens(cloud) == ["t1", "t1"]
    (request,) = cloud.asked
    assert request.model == "magika"


def test_a_token_is_renewed_before_it_ends(read, cloud, clock):
    read()
    clock.now += 1799
    read()
    clock.now += 1
    read()

    assert tokens(cloud) == ["t1", "t1", "t2"]


def test_while_no_new_token_can_be_had_the_old_one_is_used_to_its_end(
    read, cloud, clock
):
    read()
    cloud.answers = [(503, {})] * 9
    clock.now += 1800
    assert read() == 200
    clock.now += 1799
    assert read() == 200
    assert set(tokens(cloud)) == {"t1"}
    clock.now += 1

    with pytest.raises(UnavailableError):
        read()
    assert set(tokens(cloud)) == {"t1"}


def test_the_first_token_that_cannot_be_had_is_asked_for_again_later(
    read, cloud, clock
):
    cloud.answers = [(503, {})]
    for _ in range(3):
        with pytest.raises(UnavailableError):
            read()
    assert cloud.seen == []

    clock.now += 10

    assert read() == 200


def test_a_token_that_the_bucket_refuses_is_replaced_once(read, cloud, clock):
    read()
    cloud.good.clear()

    assert read() == 200

    assert tokens(cloud) == ["t1", "t1", "t2"]


def test_a_bucket_that_refuses_every_token_costs_few(read, cloud, clock):
    read()
    for _ in range(5):
        cloud.good.clear()
        read()
    assert len(cloud.asked) == 2

    clock.now += REPLACE_GAP_S
    cloud.good.clear()

    assert read() == 200
    assert len(cloud.asked) == 3


def test_an_object_that_is_not_there_costs_one_token_at_most(read, cloud, clock):
    for _ in range(5):
        assert read(ABSENT) == 403
        clock.now += REPLACE_GAP_S

    assert len(cloud.asked) == 2
    assert read() == 200


def test_a_refused_token_that_cannot_be_replaced_is_an_answer(read, cloud):
    read()
    cloud.good.clear()
    cloud.answers = [(503, {})]

    assert read() == 401


def test_a_revoked_device_asks_ever_more_seldom(read, cloud, clock):
    cloud.answers = [GONE] * 1000
    for _ in range(24 * 60):
        with pytest.raises(UnavailableError):
            read()
        clock.now += 60

    assert len(cloud.answers) > 1000 - 40
    assert cloud.seen == []
    cloud.answers.clear()
    clock.now += 1.3 * LONGEST_S

    assert read() == 200


def test_a_token_goes_to_its_bucket_and_nowhere_else(web, cloud):
    for path in ("/bucketeer/x", "/bucket", "/"):
        with web.get(f"{cloud.url}{path}") as answer:
            assert answer.status == 401

    assert tokens(cloud) == ["", "", ""]
    assert cloud.asked == []


def test_a_wrong_clock_is_made_up_for_with_the_clouds_time(read, cloud, clock):
    cloud.ahead = timedelta(days=20_000)
    assert read() == 200
    clock.now += 1800
    assert read() == 200

    # The first one was refused; the second renewal was signed rightly at once.
    assert len(cloud.asked) == 3


@pytest.mark.parametrize("told", ["never", 7, "2026-11-22T12:00:00", None])
def test_a_time_that_is_none_is_a_refusal(desk, cloud, told):
    cloud.answers = [(403, {"error": "odd", "now": told})]

    with pytest.raises(RefusedError, match="odd"):
        desk.ask()


def test_the_cloud_may_correct_the_time_once_a_request(desk, cloud):
    now = "2026-11-22T12:00:00+00:00"
    cloud.answers = [(403, {"error": "again", "now": now})] * 9

    with pytest.raises(RefusedError):
        desk.ask()
    assert len(cloud.answers) == 7


def test_a_refusal_says_why_and_how_final_it_is(desk, cloud):
    cloud.answers = [GONE, (403, b"<html>")]

    with pytest.raises(RefusedError, match="was revoked") as refused:
        desk.ask()
    assert refused.value.is_revoked
    with pytest.raises(RefusedError, match="no reason given") as refused:
        desk.ask()
    assert not refused.value.is_revoked


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"access_token": "t"},
        {"access_token": "t\r\nX: y", "expires_in": 60},
        {"access_token": "", "expires_in": 60},
        {"access_token": "x" * 10_000, "expires_in": 60},
        {"access_token": "t", "expires_in": -1},
        {"access_token": "t", "expires_in": 10**9},
        [],
        b"\xff",
        b"x" * 100_000,
    ],
)
def test_what_is_no_token_is_not_used(desk, cloud, answer):
    cloud.answers = [(200, answer)]

    with pytest.raises(UnavailableError, match="came something else"):
        desk.ask()


def test_a_token_may_be_over_when_it_comes(read, cloud, clock):
    cloud.life_s = 0

    assert [read(), read()] == [200, 200]
    assert tokens(cloud) == ["t1", "t2"]


def test_the_wish_for_a_new_key_is_heard(desk, cloud, identity):
    desk.ask()
    assert not identity.wish_file.exists()
    cloud.is_rotation_wanted = True

    desk.ask()

    assert identity.wish_file.exists()


def test_a_pause_doubles_up_to_the_longest_and_ends_with_a_success(clock):
    pause = Pause(clock=clock)
    assert pause.is_over

    spans = [pause.begin() for _ in range(20)]

    assert 4 <= spans[0] <= 6
    assert 0.8 * LONGEST_S <= spans[-1] <= 1.2 * LONGEST_S
    assert not pause.is_over
    pause.end()
    assert pause.is_over
    assert pause.begin() <= 6
