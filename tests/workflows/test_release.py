"""workflows/release.yaml itself, run against functions that the test scripts."""

import json
import signal

RELEASE = {"release": "magika@2"}


def payload_of(execution):
    assert execution["state"] == "FAILED"
    return json.loads(execution["error"]["payload"])


def test_a_release_goes_through_every_step_in_order(workflows, functions):
    execution = workflows.run(RELEASE)

    assert execution["state"] == "SUCCEEDED"
    assert json.loads(execution["result"]) == {"release": "magika@2", "claimed": True}
    assert functions.order == ["claim", "upload", "candidate", "parity", "open"]


def test_every_call_carries_an_id_token_for_the_function_it_calls(workflows, functions):
    workflows.run(RELEASE)

    for step in ("claim", "upload", "candidate", "parity", "open"):
        _, authorization = functions.calls[f"/deploy_{step}"][0]
        assert authorization == f"Bearer token for {functions.url(step)}"


def test_the_claim_names_the_release_and_the_execution(workflows, functions):
    name = workflows.create(RELEASE)
    workflows.wait(name)

    body, _ = functions.calls["/deploy_claim"][0]
    assert body == {"release": "magika@2", "execution": name.rsplit("/", 1)[1]}


def test_a_release_that_is_claimed_elsewhere_ends_there(workflows, functions):
    functions.scripts["/deploy_claim"] = [(200, {"claimed": False})]

    execution = workflows.run(RELEASE)

    assert json.loads(execution["result"]) == {"release": "magika@2", "claimed": False}
    assert functions.order == ["claim"]


def test_upload_and_candidate_are_asked_until_they_are_done(workflows, functions):
    not_done = (200, {"done": False})
    functions.scripts["/deploy_upload"] = [not_done, not_done, (200, {"done": True})]
    functions.scripts["/deploy_candidate"] = [not_done, (200, {"done": True})]

    assert workflows.run(RELEASE)["state"] == "SUCCEEDED"

    polled = ["upload"] * 3 + ["candidate"] * 2
    assert functions.order == ["claim", *polled, "parity", "open"]


def test_polling_ends_with_a_sentence(start_workflows, functions):
    functions.scripts["/deploy_upload"] = [(200, {"done": False})]
    workflows = start_workflows(POLL_S="0")

    execution = workflows.run(RELEASE)

    assert payload_of(execution) == (
        "deploy_upload of magika@2 is not done after 480 questions"
    )
    assert len(functions.calls["/deploy_upload"]) == 480


def test_a_function_that_is_unavailable_is_called_again(workflows, functions):
    busy = (503, {"error": "come back"})
    functions.scripts["/deploy_candidate"] = [busy, (200, {"done": True})]

    assert workflows.run(RELEASE)["state"] == "SUCCEEDED"

    assert functions.order.count("candidate") == 2


def test_a_release_that_a_function_refuses_fails_with_the_functions_sentence(
    workflows, functions
):
    refusal = (409, {"error": "magika@2 was refused"})
    functions.scripts["/deploy_upload"] = [refusal]

    sentence = payload_of(workflows.run(RELEASE))

    assert sentence.startswith("deploy_upload of magika@2 failed; ")
    assert "409" in sentence
    assert "magika@2 was refused" in sentence
    assert functions.order == ["claim", "upload"]


def test_a_release_that_answers_differently_is_never_opened(workflows, functions):
    differs = (200, {"agrees": False, "reason": "output score differs by 0.2"})
    functions.scripts["/deploy_parity"] = [differs]

    execution = workflows.run(RELEASE)

    assert payload_of(execution).endswith("output score differs by 0.2")
    assert "deploy_parity" not in execution["error"]["context"]
    assert functions.order == ["claim", "upload", "candidate", "parity"]


def test_an_execution_that_a_kill_cut_off_ends_under_its_own_name(
    workflows, functions, until
):
    functions.scripts["/deploy_upload"] = [(200, {"done": False})]
    name = workflows.create(RELEASE)
    until(lambda: len(functions.calls["/deploy_upload"]) > 2)

    workflows.end(signal.SIGKILL)
    functions.scripts["/deploy_upload"] = [(200, {"done": True})]
    workflows.start()

    assert workflows.wait(name)["state"] == "SUCCEEDED"
    claims = {body["execution"] for body, _ in functions.calls["/deploy_claim"]}
    assert claims == {name.rsplit("/", 1)[1]}
    assert functions.order[-3:] == ["candidate", "parity", "open"]
