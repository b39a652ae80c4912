"""Which releases have answered."""

from functions.prediction.answered import Answered


def test_answers_are_counted_by_release_the_latest_first():
    now = [10.0]
    answered = Answered(lambda: now[0])
    answered.note("m", "m@1", is_unexpected=False)
    now[0] = 12.0
    answered.note("m", "m@2", is_unexpected=True)
    answered.note("m", "m@2", is_unexpected=False)
    now[0] = 12.5

    assert answered.tell("m") == [
        {"release": "m@2", "answers": 2, "unexpected": 1, "last_s_ago": 0.5},
        {"release": "m@1", "answers": 1, "unexpected": 0, "last_s_ago": 2.5},
    ]
    assert answered.tell("other") == []


def test_what_nobody_can_name_is_unknown():
    answered = Answered()
    answered.note("m", "", is_unexpected=True)

    assert answered.tell("m")[0]["release"] == "unknown"


def test_no_number_of_releases_takes_all_memory():
    answered = Answered()
    for version in range(1000):
        answered.note("m", f"m@{version}", is_unexpected=False)

    told = answered.tell("m")
    assert len(told) <= 65
    assert sum(one["answers"] for one in told) == 1000
