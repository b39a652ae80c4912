"""Many writers at once, a database that goes away, and events that stay."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from functions.adapters.ledger import Ledger
from functions.adapters.ledger.database import Database, insert_once
from functions.adapters.ledger.tables import REFUSALS
from functions.errors import UpstreamUnavailableError
from packhorse.names import Release

WRITERS = 16
ROOT = Path(__file__).resolve().parents[4]

WRITE = """
import sys
from datetime import UTC, datetime
from functions.adapters.ledger import Ledger
from packhorse.names import Release

ledger = Ledger(sys.argv[1])
for version in range(1, 11):
    ledger.register_release(
        Release(sys.argv[2], version), digest="sha256:x", card={}, variants=["fp32"],
        at=datetime.now(UTC),
    )
"""


def test_sixteen_writers_at_once_lose_nothing(ledger, now):
    def register(version):
        return ledger.register_release(
            Release("magika", version // 2 + 1),
            digest="sha256:same",
            card={},
            variants=["fp32", "int8"],
            at=now,
        )

    with ThreadPoolExecutor(WRITERS) as pool:
        news = list(pool.map(register, range(80)))

    assert sum(news) == 40
    assert len(ledger.pending_events(1000)) == 80


def test_sixteen_claims_at_once_have_one_winner(ledger, register, release):
    register()

    with ThreadPoolExecutor(WRITERS) as pool:
        claims = list(
            pool.map(
                lambda name: ledger.claim(release, execution=name), "abcdefghijklmnop"
            )
        )

    assert sum(claims) == 1


def test_sixteen_askers_at_once_get_one_id(ledger, register, release):
    register()

    with ThreadPoolExecutor(WRITERS) as pool:
        ids = set(
            pool.map(lambda _: ledger.deployed_id(release, "candidate"), range(WRITERS))
        )

    assert len(ids) == 1


def test_processes_that_start_together_share_a_new_database(ledger_url):
    command = [sys.executable, "-c", WRITE, ledger_url]
    processes = [
        subprocess.Popen([*command, f"model-{number}"], cwd=ROOT) for number in range(3)
    ]
    codes = [process.wait(timeout=120) for process in processes]

    ledger = Ledger(ledger_url)
    assert codes == [0] * 3
    assert len(ledger.pending_events(1000)) == 30
    ledger.close()


def test_a_killed_writer_leaves_whole_transactions(ledger_url):
    endless = WRITE.replace("range(1, 11)", "range(1, 10**6)") + "    print(version)\n"
    command = [sys.executable, "-u", "-c", endless, ledger_url, "magika"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    told = [process.stdout.readline() for _ in range(20)]
    process.kill()
    told += process.communicate()[0].splitlines()

    ledger = Ledger(ledger_url)
    events = len(ledger.pending_events(10**6))
    registered = [
        v for v in range(1, events + 2) if ledger.release(Release("magika", v))
    ]
    # What was told is there; the one it died in is there with its event, or not.
    assert len(registered) == events
    assert events in {len(told), len(told) + 1}
    ledger.close()


def test_events_leave_in_order_and_are_forgotten_once_sent(ledger, register):
    register(variants=("a", "b", "c"))
    first, second = ledger.pending_events(2)

    ledger.mark_sent([first.id])

    ids = [event.id for event in ledger.pending_events(10)]
    assert ids == [second.id, second.id + 1]
    assert [event.id for event in ledger.pending_events(10, after_id=second.id)] == [
        second.id + 1
    ]


def test_a_transaction_that_fails_changes_nothing(ledger_url, now):
    database = Database(ledger_url)
    row = {"kind": "notice", "subject": "x", "reason": "y", "at": now}

    def fail():
        with database.write() as connection:
            insert_once(connection, REFUSALS, **row)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with database.read() as connection:
        assert connection.execute(sa.select(REFUSALS)).first() is None
    database.close()


def test_a_database_that_is_away_says_come_back_later(tmp_path, now):
    ledger = Ledger(f"sqlite:///{tmp_path}/missing/ledger.db")

    with pytest.raises(UpstreamUnavailableError):
        ledger.refuse_notice(subject="x", reason="y", at=now)


def test_a_server_that_stops_is_used_again_once_it_is_back(postgres, now):
    ledger = Ledger(postgres.new_database())
    ledger.refuse_notice(subject="x", reason="before", at=now)

    postgres.stop()
    try:
        with pytest.raises(UpstreamUnavailableError):
            ledger.refuse_notice(subject="x", reason="while", at=now)
    finally:
        postgres.start()
    ledger.refuse_notice(subject="x", reason="after", at=now)

    reasons = {refusal["reason"] for refusal in ledger.snapshot_status()["refusals"]}
    assert reasons == {"before", "after"}
    ledger.close()
