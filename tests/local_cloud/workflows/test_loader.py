"""Which files are refused before anything of them runs."""

import pytest

from local_cloud.workflows.errors import SourceError
from local_cloud.workflows.loader import load


def load_steps(text):
    lines = "\n".join(f"    {line}" for line in text.strip("\n").splitlines())
    return load(f"main:\n  steps:\n{lines}\n".encode())


PREDICATE = "${http.default_retry_predicate}"
RETRY = (
    "- s: {{try: {{return: 1}}, retry: {{predicate: '{}', max_retries: 1,"
    " backoff: {{{}: 1, max_delay: 1, multiplier: 1}}}}}}"
)
REFUSED = {
    "parallel": ("- s: {parallel: {branches: []}}", "parallel"),
    "unknown key": ("- s: {return: 1, retryy: 2}", "retryy"),
    "unknown call": ("- s: {call: googleapis.run.v2.x, args: {}}", "googleapis.run"),
    "callback": ("- s: {call: events.await_callback}", "events.await_callback"),
    "unknown argument": ("- s: {call: http.get, args: {url: u, body: b}}", "body"),
    "missing argument": ("- s: {call: http.get}", "url"),
    "OAuth2": ("- s: {call: http.get, args: {url: u, auth: {type: OAuth2}}}", "OAuth2"),
    "next to nowhere": ("- s: {assign: [a: 1], next: t}", "'t'"),
    "break outside a loop": ("- s: {next: break}", "'break'"),
    "jump out of a loop": (
        "- s: {for: {value: v, in: [1], steps: [{t: {next: s}}]}}",
        "'s'",
    ),
    "step twice": ("- s: {return: 1}\n- s: {return: 2}", "'s' comes twice"),
    "key twice": ("- s: {return: 1, return: 2}", "'return' comes twice"),
    "alias": ("- s: &a {return: 1}\n- t: *a", "alias"),
    "no": ("- s: {return: no}", "quote 'no'"),
    "date": ("- s: {return: 2026-01-01}", "quote it"),
    "predicate": (RETRY.format("${x.y}", "initial_delay"), "x.y"),
    "retry policy": ("- s: {try: {return: 1}, retry: '${http.other}'}", "http.other"),
    "backoff delay": (RETRY.format(PREDICATE, "delay"), "delay"),
    "backoff alone": ("- s: {try: {return: 1}, retry: {backoff: {}}}", "max_retries"),
    "try alone": ("- s: {try: {return: 1}}", "retry"),
    "for without a list": ("- s: {for: {value: v, steps: [{t: {next: end}}]}}", "in"),
    "target": ("- s: {assign: ['1': 2]}", "nothing that can be set"),
    "two steps in one": ("- {s: {return: 1}, t: {return: 2}}", "one step"),
    "no step": ("- s: {}", "no step with"),
    "function in a condition": (
        "- s: {switch: [{condition: '${no.such(1)}', next: end}]}",
        "no.such",
    ),
}


@pytest.mark.parametrize(("text", "named"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_known_is_refused_by_its_name(text, named):
    with pytest.raises(SourceError) as refusal:
        load_steps(text)

    assert named in str(refusal.value)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        (b"main: [", "no YAML"),
        (b"other: {steps: [{s: {return: 1}}]}", "no `main`"),
        (b"main: {steps: []}", "list of steps"),
        (b"main: {params: [a, b], steps: [{s: {return: 1}}]}", "one parameter"),
        (b"# " + b"x" * 128 * 1024, "too long"),
        (b"7", "a map"),
    ],
)
def test_a_source_that_is_no_workflow_is_refused(source, named):
    with pytest.raises(SourceError, match=named):
        load(source)


def test_a_list_of_steps_alone_is_a_main():
    assert list(load(b"- s: {return: 1}")) == ["main"]
