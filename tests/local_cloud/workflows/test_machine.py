"""What programs do: steps, jumps, loops, errors, retries, subworkflows."""

import pytest

from local_cloud.workflows.errors import WorkflowError, runtime_error
from local_cloud.workflows.loader import load
from local_cloud.workflows.machine import Machine


class World:
    """Takes note of what an execution wants, and answers as it was told."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.slept = []
        self.called = []
        self.steps = []

    def call(self, function, arguments):
        self.called.append((function, dict(arguments)))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(self, seconds):
        self.slept.append(seconds)

    def enter(self, routine, step):
        self.steps.append(step)


def run(source, argument=None, world=None):
    return Machine(load(source.encode()), {}, world or World()).run(argument)


def http_error(code):
    return runtime_error("HttpError", "no", code=code)


def test_main_gets_the_argument_and_returns_a_value():
    source = "main: {params: [x], steps: [{s: {return: '${x.a + 1}'}}]}"

    assert run(source, {"a": 1}) == 2


def test_a_program_that_ends_without_return_gives_null():
    assert run("[{s: {assign: [a: 1]}}]") is None


def test_assignments_reach_into_maps_and_lists_and_copy_what_they_take():
    source = """
- s:
    assign:
      - m: {l: [1, 2]}
      - copy: ${m}
      - m.l[0]: 9
      - m["new"]: ${m.l}
- r: {return: ['${m}', '${copy}']}
"""
    assert run(source) == [{"l": [9, 2], "new": [9, 2]}, {"l": [1, 2]}]


def test_a_switch_takes_the_first_true_condition_and_jumps():
    source = """
main:
  params: [x]
  steps:
    - s:
        switch:
          - condition: ${x > 10}
            next: big
          - condition: ${x > 5}
            return: middle
    - small: {return: small}
    - big: {return: big}
"""
    assert [run(source, x) for x in (11, 6, 1)] == ["big", "middle", "small"]


def test_a_condition_that_is_no_boolean_is_an_error():
    with pytest.raises(WorkflowError, match="boolean"):
        run("[{s: {switch: [{condition: '${1}', next: end}]}}]")


def test_a_jump_leaves_nested_steps():
    source = """
- s:
    steps:
      - inner: {switch: [{condition: true, next: out}]}
      - never: {raise: reached}
- skipped: {raise: reached}
- out: {return: 1}
"""
    assert run(source) == 1


def test_a_loop_runs_over_a_list_with_an_index_and_knows_break_and_continue():
    source = """
- init: {assign: [seen: []]}
- loop:
    for:
      value: v
      index: i
      in: [a, b, c, d]
      steps:
        - skip: {switch: [{condition: '${v == "b"}', next: continue}]}
        - stop: {switch: [{condition: '${v == "d"}', next: break}]}
        - note: {assign: [seen: '${list.concat(seen, v + string(i))}']}
- r: {return: '${seen}'}
"""
    assert run(source) == ["a0", "c2"]


def test_a_range_has_both_its_ends_and_what_a_loop_makes_it_takes_along():
    source = """
- init: {assign: [sum: 0]}
- loop:
    for: {value: v, range: [1, 3], steps: [{add: {assign: [sum: '${sum + v}', w: 1]}}]}
- r: {return: '${sum}'}
"""
    assert run(source) == 6
    with pytest.raises(WorkflowError, match="variable not found: w"):
        run(source.replace("'${sum}'", "'${w}'"))


def test_a_return_inside_a_loop_leaves_the_routine():
    source = """
main:
  steps:
    - c: {call: find, result: x}
    - r: {return: '${x}'}
find:
  steps:
    - l: {for: {value: v, in: [1, 2], steps: [{r: {return: '${v}'}}]}}
"""
    assert run(source) == 1


def test_a_subworkflow_sees_its_parameters_and_their_defaults_only():
    source = """
main:
  steps:
    - s: {assign: [mine: 1]}
    - c: {call: sub, args: {a: 2}, result: x}
    - r: {return: '${x}'}
sub:
  params: [a, b: 5]
  steps:
    - r: {return: '${a + b}'}
"""
    assert run(source) == 7
    with pytest.raises(WorkflowError, match="variable not found: mine"):
        run(source.replace("a + b", "mine"))
    with pytest.raises(WorkflowError, match="needs a"):
        run(source.replace("args: {a: 2}, ", ""))
    with pytest.raises(WorkflowError, match="no parameter z"):
        run(source.replace("a: 2}", "a: 2, z: 1}"))


def test_subworkflows_that_call_each_other_forever_are_stopped():
    source = """
main: {steps: [{c: {call: sub}}]}
sub: {steps: [{c: {call: sub}}]}
"""
    with pytest.raises(WorkflowError, match="20 calls deep"):
        run(source)


def test_an_error_is_caught_under_its_name():
    source = """
- s:
    try: {call: http.get, args: {url: 'http://x'}}
    except: {as: e, steps: [{r: {return: '${e.code}'}}]}
"""
    assert run(source, world=World(http_error(404))) == 404


def test_an_error_that_nobody_catches_says_where_it_was():
    source = """
main: {steps: [{outer: {call: sub}}]}
sub: {steps: [{inner: {raise: {code: 5, message: nay}}}]}
"""
    with pytest.raises(WorkflowError) as caught:
        run(source)

    assert caught.value.value == {"code": 5, "message": "nay"}
    assert caught.value.where == [("sub", "inner"), ("main", "outer")]


RETRY = """
- s:
    try: {call: http.get, args: {url: 'http://x'}, result: reply}
    retry:
      predicate: ${PREDICATE}
      max_retries: 3
      backoff: {initial_delay: 2, max_delay: 5, multiplier: 2}
- r: {return: '${reply}'}
"""


def retried(*answers, predicate="http.default_retry_predicate"):
    world = World(*answers)
    value = run(RETRY.replace("PREDICATE", predicate), world=world)
    return value, world.slept


def test_a_retry_waits_longer_each_time_up_to_the_longest_pause():
    value, slept = retried(http_error(503), http_error(429), http_error(502), "ok")

    assert value == "ok"
    assert slept == [2, 4, 5]


def test_a_retry_gives_up_after_its_last_time():
    with pytest.raises(WorkflowError, match="HttpError"):
        retried(*[http_error(503)] * 4)


@pytest.mark.parametrize("code", [400, 404, 500])
def test_what_a_retry_cannot_cure_is_not_tried_again(code):
    with pytest.raises(WorkflowError):
        retried(http_error(code), "never")


@pytest.mark.parametrize("tag", ["ConnectionError", "TimeoutError"])
def test_a_lost_connection_is_tried_again_where_that_does_no_harm(tag):
    value, _ = retried(runtime_error(tag, "gone"), "ok")

    assert value == "ok"
    with pytest.raises(WorkflowError):
        retried(
            runtime_error(tag, "gone"),
            predicate="http.default_retry_predicate_non_idempotent",
        )


def test_a_subworkflow_may_be_the_predicate():
    source = f"""
main:
  steps: {RETRY.replace("PREDICATE", "mine").replace(chr(10), chr(10) + "    ")}
mine:
  params: [e]
  steps:
    - r: {{return: '${{e.code == 418}}'}}
"""
    world = World(http_error(418), "ok")

    assert run(source, world=world) == "ok"


def test_the_default_policy_retries_five_times():
    source = """
- s:
    try: {call: http.get, args: {url: 'http://x'}}
    retry: ${http.default_retry}
"""
    world = World(*[http_error(503)] * 6)
    with pytest.raises(WorkflowError):
        run(source, world=world)

    assert world.slept == [1, 1.25, 1.5625, 1.953125, 2.44140625]


def test_what_a_retry_does_not_cure_can_still_be_caught():
    source = """
- s:
    try: {call: http.get, args: {url: 'http://x'}}
    retry: ${http.default_retry}
    except: {as: e, steps: [{r: {return: caught}}]}
"""
    assert run(source, world=World(http_error(404))) == "caught"


def test_sleep_waits_for_as_long_as_it_says():
    world = World()
    run("[{s: {call: sys.sleep, args: {seconds: '${1 / 2}'}}}]", world=world)

    assert world.slept == [0.5]


def test_a_program_that_never_ends_is_stopped():
    with pytest.raises(WorkflowError, match="100000 steps"):
        run("[{s: {next: s}}]")
