"""Reports wait on the disk until the cloud has them, in their order."""

import pytest

from edge_runtime.agent.errors import UnavailableError
from edge_runtime.agent.network.web import Web
from edge_runtime.agent.report import DROPPED_MEASURE, News, Spool
from packhorse.report import REASON_MAX, DeviceState, decode_report, open_envelope
from tests.edge_runtime.agent.bundles import release

SERVING = News(DeviceState.SERVING, release(1), "magika@1#1", "", {"took_s": 0.5})
STEP = News(DeviceState.DOWNLOADED, release(1))


def test_reports_arrive_once_and_in_order(spool, receiver):
    for news in (STEP, SERVING, STEP):
        spool.add(news)

    assert spool.send(Web(), receiver.url) == 3
    assert spool.send(Web(), receiver.url) == 0

    reports = receiver.reports()
    first = reports[0].sequence
    assert [report.sequence - first for report in reports] == [0, 1, 2]
    assert reports[1].state is DeviceState.SERVING
    assert reports[1].rollout_id == "magika@1#1"
    assert reports[1].measures == {"took_s": 0.5}


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 503])
def test_a_cloud_that_is_away_or_does_not_know_us_loses_nothing(
    spool, receiver, status
):
    spool.add(STEP)
    spool.add(SERVING)
    receiver.statuses = [202, status]

    with pytest.raises(UnavailableError):
        spool.send(Web(), receiver.url)
    assert spool.send(Web(), receiver.url) == 1

    first, second = (report.sequence for report in receiver.reports())
    assert second == first + 1


def test_a_report_that_the_cloud_never_wants_does_not_hold_up_the_rest(spool, receiver):
    spool.add(STEP)
    spool.add(SERVING)
    receiver.statuses = [409]

    assert spool.send(Web(), receiver.url) == 1
    assert spool.waiting() == []


def test_a_report_that_cannot_be_read_does_not_hold_up_the_rest(
    state_dir, spool, receiver, capsys
):
    spool.add(STEP)
    spool.add(SERVING)
    lost = spool.waiting()[0]
    lost.unlink()
    lost.mkdir()

    assert spool.send(Web(), receiver.url) == 1
    spool.add(STEP)
    assert spool.send(Web(), receiver.url) == 1

    assert [r.state for r in receiver.reports()] == [SERVING.state, STEP.state]
    assert receiver.reports()[-1].measures == {DROPPED_MEASURE: 1.0}
    assert "report_lost" in capsys.readouterr().out
    assert [path.name for path in (state_dir / "spool").iterdir()] == ["next.json"]


@pytest.mark.parametrize("body", [b"", b"x" * 10_000_000], ids=["empty", "huge"])
def test_a_report_that_is_none_is_thrown_away_by_the_cloud(spool, receiver, body):
    spool.add(STEP)
    spool.waiting()[0].write_bytes(body)
    receiver.statuses = [400]

    assert spool.send(Web(), receiver.url) == 0
    assert spool.waiting() == []


def test_files_of_others_in_the_spool_give_no_number(state_dir, spool):
    for name in ("1abc.json", "99999999999999999999.json", "7.step.json"):
        (state_dir / "spool" / name).mkdir()
    spool.add(STEP)
    assert (state_dir / "spool" / f"{1:020d}.step.json").is_file()


def test_without_a_network_reports_are_kept(spool):
    spool.add(SERVING)
    with pytest.raises(UnavailableError):
        spool.send(Web(), "http://127.0.0.1:1/")
    assert len(spool.waiting()) == 1


def test_a_gateway_that_lost_its_state_uses_no_number_again(tmp_path, identity):
    first = Spool(
        tmp_path / "first", device="gateway-1", sign=identity.sign, clock=lambda: 100
    )
    again = Spool(
        tmp_path / "again", device="gateway-1", sign=identity.sign, clock=lambda: 200
    )

    assert max(first.add(STEP) for _ in range(50)) < again.add(STEP)


def test_a_number_is_never_used_twice_also_after_a_restart(state_dir, spool, receiver):
    spool.add(STEP)
    spool.send(Web(), receiver.url)
    spool.add(STEP)

    again = Spool(state_dir / "spool", device="gateway-1", sign=lambda _: b"s")

    assert again.add(STEP) == 3


def test_a_number_taken_by_a_crashed_agent_is_left_out(state_dir, spool):
    spool.add(STEP)
    spool.waiting()[0].unlink()

    again = Spool(state_dir / "spool", device="gateway-1", sign=lambda _: b"s")

    assert again.add(STEP) == 2


def test_a_lost_count_goes_on_after_what_still_waits(state_dir, spool):
    for _ in range(3):
        spool.add(STEP)
    (state_dir / "spool" / "next.json").unlink()

    assert spool.add(STEP) == 4


def test_a_full_spool_drops_the_oldest_that_are_no_final_word(state_dir, identity):
    spool = Spool(
        state_dir / "small",
        device="gateway-1",
        sign=identity.sign,
        spooled_max=4,
        clock=lambda: 0,
    )
    for news in (SERVING, STEP, STEP, SERVING, STEP, SERVING):
        spool.add(news)

    names = [int(path.name.split(".")[0]) for path in spool.waiting()]
    assert names == [1, 4, 5, 6]
    measures = [
        decode_report(open_envelope(path.read_bytes()).payload).measures
        for path in spool.waiting()
    ]
    assert [m.get(DROPPED_MEASURE) for m in measures] == [None, None, 1.0, 1.0]


def test_a_spool_of_final_words_drops_the_oldest(state_dir, identity):
    spool = Spool(
        state_dir / "small",
        device="gateway-1",
        sign=identity.sign,
        spooled_max=2,
        clock=lambda: 0,
    )
    for _ in range(4):
        spool.add(SERVING)
    assert len(spool.waiting()) == 2
    assert spool.waiting()[0].name.startswith(f"{3:020d}")


def test_a_long_reason_is_cut_to_what_a_report_holds(spool, told):
    spool.add(News(DeviceState.REFUSED, release(1), reason="x" * 5000))
    assert len(told()[0].reason) == REASON_MAX
