"""A token admits one key of one device, as often as it comes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from functions.release.device_record import Revocation, device_name
from functions.release.enrolment import (
    Invitation,
    encode_invitation,
    invitation_name,
)
from tests.functions.fleet import Gateway

TOKEN = "t" * 43


@pytest.fixture
def client(client_of, bucket, topics, monkeypatch):
    monkeypatch.setenv("DEVICE_BUCKET", bucket)
    return client_of("enroll_device")


@pytest.fixture
def invite(store):
    def do(device="gateway-1", token=TOKEN, valid_s=3600, ring=1, models=()):
        until = datetime.now(UTC) + timedelta(seconds=valid_s)
        invitation = Invitation(device, ring, "operator@example.com", until, models)
        store.write_if_generation(
            invitation_name(token), encode_invitation(invitation), 0
        )

    return do


def test_a_key_with_its_token_is_registered(client, invite, topics):
    invite()

    reply = client.post("/", data=Gateway().enrolment(TOKEN))

    assert reply.status_code == 201
    enrolled_at = datetime.fromisoformat(reply.json.pop("enrolled_at"))
    assert abs(datetime.now(UTC) - enrolled_at) < timedelta(minutes=1)
    assert (reply.json["device"], reply.json["ring"]) == ("gateway-1", 1)
    (event,) = topics.read_json("reports")
    assert (event["enrolled"]["device"], event["enrolled"]["ring"]) == ("gateway-1", 1)


def test_the_same_key_may_come_again_and_says_the_same(client, invite, topics):
    invite()
    body = Gateway().enrolment(TOKEN)

    assert [client.post("/", data=body).status_code for _ in range(2)] == [201, 200]

    first, second = topics.read("reports")
    assert first == second


def test_a_second_key_is_refused(client, invite):
    invite()
    invite(token="u" * 43)
    client.post("/", data=Gateway().enrolment(TOKEN))

    reply = client.post("/", data=Gateway().enrolment("u" * 43))

    assert reply.status_code == 409
    assert "another key" in reply.json["error"]


def test_a_token_never_admits_a_second_key(client, invite, store):
    invite()
    client.post("/", data=Gateway().enrolment(TOKEN))
    store._bucket.blob(device_name("gateway-1")).delete()  # noqa: SLF001

    reply = client.post("/", data=Gateway().enrolment(TOKEN))

    assert reply.status_code == 403
    assert "used with another key" in reply.json["error"]


def test_a_token_that_nobody_gave_is_refused(client, topics):
    assert client.post("/", data=Gateway().enrolment(TOKEN)).status_code == 403
    assert topics.read("reports") == []


def test_a_token_is_of_one_device(client, invite):
    invite(device="gateway-2")

    assert client.post("/", data=Gateway().enrolment(TOKEN)).status_code == 403


def test_a_token_ends(client, invite):
    invite(valid_s=-1)

    reply = client.post("/", data=Gateway().enrolment(TOKEN))

    assert reply.status_code == 403
    assert "ended" in reply.json["error"]


def test_nobody_enrols_a_key_that_is_not_theirs(client, invite):
    invite()
    mine, theirs = Gateway(), Gateway()
    mine.public_key = theirs.public_key

    assert client.post("/", data=mine.enrolment(TOKEN)).status_code == 403


def test_a_report_is_no_enrolment(client):
    assert client.post("/", data=Gateway().report()).status_code == 400


def test_an_enrolment_whose_news_did_not_leave_is_told_by_the_next(
    client, invite, topics
):
    invite()
    body = Gateway().enrolment(TOKEN)
    topics.delete("reports")
    assert client.post("/", data=body).status_code == 502

    topics.create("reports")
    assert client.post("/", data=body).status_code == 200
    assert len(topics.read("reports")) == 1


def test_of_many_keys_at_once_one_is_registered(client, invite):
    tokens = [letter * 43 for letter in "abcdefgh"]
    for token in tokens:
        invite(token=token)
    app = client.application

    def enrol(token):
        return app.test_client().post("/", data=Gateway().enrolment(token)).status_code

    with ThreadPoolExecutor(len(tokens)) as pool:
        statuses = sorted(pool.map(enrol, tokens))

    assert statuses == [201] + [409] * 7


def test_one_key_that_comes_many_times_at_once_is_one_device(client, invite, topics):
    invite()
    body = Gateway().enrolment(TOKEN)
    app = client.application

    with ThreadPoolExecutor(8) as pool:
        replies = list(
            pool.map(lambda _: app.test_client().post("/", data=body), range(8))
        )

    assert {reply.status_code for reply in replies} <= {200, 201}
    assert len(set(topics.read("reports"))) == 1


@pytest.fixture
def revoke(device_register):
    """Revoke a device as `operate` does."""

    def do(device="gateway-1"):
        found = device_register.find(device)
        gone = Revocation(datetime.now(UTC), "operator@example.com", "stolen")
        device_register.save(replace(found.record, revocation=gone), instead_of=found)

    return do


def test_a_new_key_that_the_old_one_vouches_for_takes_its_place(
    client, invite, device_register
):
    invite()
    before, after = Gateway(), Gateway()
    client.post("/", data=before.enrolment(TOKEN))
    first = device_register.read("gateway-1")

    reply = client.post("/", data=after.rotation(before))

    assert reply.status_code == 201
    record = device_register.read("gateway-1")
    assert record.public_key == after.public_key
    assert record.key_since > first.key_since
    assert (record.ring, record.enrolled_at) == (first.ring, first.enrolled_at)
    assert client.post("/", data=after.rotation(before)).status_code == 200


def test_a_key_that_was_replaced_vouches_for_nothing_more(client, invite):
    invite()
    first, second, third = Gateway(), Gateway(), Gateway()
    client.post("/", data=first.enrolment(TOKEN))
    client.post("/", data=second.rotation(first))

    assert client.post("/", data=third.rotation(first)).status_code == 403
    assert client.post("/", data=third.rotation(second)).status_code == 201
    # The token still names the first key, which is the device's no more.
    assert client.post("/", data=first.enrolment(TOKEN)).status_code == 409


def test_a_rotation_of_before_cannot_be_replayed(client, invite, device_register):
    invite()
    first, second, third = Gateway(), Gateway(), Gateway()
    client.post("/", data=first.enrolment(TOKEN))
    seen = second.rotation(first)
    client.post("/", data=seen)
    client.post("/", data=third.rotation(second))

    assert client.post("/", data=seen).status_code == 403
    assert device_register.read("gateway-1").public_key == third.public_key


def test_nobody_vouches_for_a_device_that_is_unknown(client):
    assert client.post("/", data=Gateway().rotation(Gateway())).status_code == 403


def test_nobody_gives_a_device_a_key_that_is_not_theirs(client, invite):
    invite()
    before, mine, theirs = Gateway(), Gateway(), Gateway()
    client.post("/", data=before.enrolment(TOKEN))
    mine.public_key = theirs.public_key

    assert client.post("/", data=mine.rotation(before)).status_code == 403


def test_a_revoked_device_gets_no_new_key(client, invite, revoke):
    invite()
    before = Gateway()
    client.post("/", data=before.enrolment(TOKEN))
    revoke()

    reply = client.post("/", data=Gateway().rotation(before))

    assert (reply.status_code, reply.json["is_revoked"]) == (403, True)


def test_a_revoked_device_does_not_enrol_again_with_its_token(
    client, invite, revoke, topics
):
    invite()
    invite(token="u" * 43)  # it never used this one
    gateway = Gateway()
    client.post("/", data=gateway.enrolment(TOKEN))
    revoke()
    topics.read("reports")

    for token in (TOKEN, "u" * 43):
        for key in (gateway, Gateway()):
            assert client.post("/", data=key.enrolment(token)).status_code == 403
    assert topics.read("reports") == []


def test_a_revoked_device_is_let_in_by_a_later_token_with_another_key(
    client, invite, revoke, device_register
):
    invite()
    before, after = Gateway(), Gateway()
    client.post("/", data=before.enrolment(TOKEN))
    revoke()
    invite(token="u" * 43, valid_s=8 * 24 * 3600, models=("magika",))

    assert client.post("/", data=before.enrolment("u" * 43)).status_code == 403
    assert client.post("/", data=after.enrolment("u" * 43)).status_code == 201
    record = device_register.read("gateway-1")
    assert (record.revocation, record.models) == (None, ("magika",))
    assert record.public_key == after.public_key
    assert client.post("/", data=after.enrolment("u" * 43)).status_code == 200
