"""Serving containers: started, watched, restarted, and never left behind."""

import os
import signal
from pathlib import Path

import pytest
from google.api_core import exceptions

FAST = ("--health-period", "0.05", "--deploy-timeout", "8")
LOCATION = "projects/packhorse-demo/locations/europe-west4"


def pid_of(vertex, endpoint):
    return vertex.raw_predict(endpoint).json()["predictions"][0]["pid"]


def serve(vertex, **env):
    endpoint = vertex.new_endpoint()
    vertex.deploy(endpoint, vertex.upload(env=env).model, own_id="1", split={"0": 100})
    return endpoint


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_deployment_is_done_only_when_the_health_route_says_200(own_vertex):
    vertex = own_vertex(*FAST)
    model = vertex.upload(env={"WARM_S": "1.5"}).model
    endpoint = vertex.new_endpoint()
    operation = vertex.endpoints.deploy_model(
        endpoint=endpoint, deployed_model={"model": model}, traffic_split={"0": 100}
    )

    assert not operation.done()
    assert not vertex.endpoints.get_endpoint(name=endpoint).deployed_models
    operation.result(timeout=20)

    assert vertex.raw_predict(endpoint).status_code == 200


def test_a_container_that_never_gets_ready_fails_its_deployment(own_vertex):
    vertex = own_vertex("--deploy-timeout", "0.5")
    model = vertex.upload(env={"WARM_S": "999"}).model
    endpoint = vertex.new_endpoint()

    with pytest.raises(exceptions.GoogleAPICallError, match="never became ready"):
        vertex.deploy(endpoint, model)

    assert not vertex.endpoints.get_endpoint(name=endpoint).deployed_models


def test_a_container_that_cannot_start_fails_with_its_last_words(own_vertex):
    vertex = own_vertex(*FAST)
    model = vertex.upload(env={"BROKEN": "1"}).model

    with pytest.raises(exceptions.GoogleAPICallError, match="cannot load the model"):
        vertex.deploy(vertex.new_endpoint(), model)


def test_variables_given_to_the_stand_in_reach_every_container(own_vertex):
    vertex = own_vertex(*FAST, "--container-env", "STORAGE_EMULATOR_HOST=http://x")
    endpoint = serve(vertex, URL="$(STORAGE_EMULATOR_HOST)/b", KEPT="$$(HOME)")

    environment = vertex.raw_predict(endpoint).json()["environment"]

    assert environment["STORAGE_EMULATOR_HOST"] == "http://x"
    assert environment["URL"] == "http://x/b"
    assert environment["KEPT"] == "$(HOME)"


def test_a_container_that_ends_is_started_again(own_vertex, until):
    vertex = own_vertex(*FAST)
    endpoint = serve(vertex)
    first = pid_of(vertex, endpoint)

    assert vertex.raw_predict(endpoint, b"die").status_code == 503
    until(lambda: vertex.raw_predict(endpoint).status_code == 200)

    assert pid_of(vertex, endpoint) != first


def test_four_bad_health_answers_stop_the_traffic_until_a_good_one(own_vertex, until):
    vertex = own_vertex(*FAST)
    endpoint = serve(vertex)
    home = vertex.raw_predict(endpoint).json()["environment"]["HOME"]
    vertex.raw_predict(endpoint, b"sicken")

    until(lambda: vertex.raw_predict(endpoint).status_code == 503)
    Path(home, "unhealthy").unlink()
    until(lambda: vertex.raw_predict(endpoint).status_code == 200)


def test_an_undeployed_container_is_stopped(own_vertex, until):
    vertex = own_vertex(*FAST)
    endpoint = serve(vertex)
    pid = pid_of(vertex, endpoint)

    vertex.endpoints.undeploy_model(
        endpoint=endpoint, deployed_model_id="1", traffic_split={}
    ).result(timeout=10)

    until(lambda: not is_alive(pid))


def test_the_same_deployed_id_on_two_endpoints_is_two_containers(own_vertex):
    vertex = own_vertex(*FAST)

    one, other = serve(vertex, WHO="one"), serve(vertex, WHO="other")

    asked = [vertex.raw_predict(endpoint).json() for endpoint in (one, other)]
    assert [answer["environment"]["WHO"] for answer in asked] == ["one", "other"]
    homes = {answer["environment"]["HOME"] for answer in asked}
    assert len(homes) == 2


def test_what_a_container_started_dies_with_it(own_vertex, until):
    vertex = own_vertex(*FAST)
    endpoint = serve(vertex)
    child = vertex.raw_predict(endpoint, b"fork").json()["child"]
    assert is_alive(child)

    vertex.kill()

    until(lambda: not is_alive(child))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_containers_die_with_the_stand_in(own_vertex, until, number):
    vertex = own_vertex(*FAST)
    pid = pid_of(vertex, serve(vertex))

    vertex.process.send_signal(number)

    vertex.process.wait(20)
    until(lambda: not is_alive(pid))


def test_after_a_kill_everything_is_there_and_answers_again(own_vertex, until):
    vertex = own_vertex(*FAST)
    endpoint = serve(vertex)
    before = vertex.endpoints.get_endpoint(name=endpoint)

    vertex.kill()
    vertex.start()

    assert vertex.endpoints.get_endpoint(name=endpoint) == before
    until(lambda: vertex.raw_predict(endpoint).status_code == 200)


def test_a_deployment_that_a_kill_cut_off_is_finished_after_the_start(own_vertex):
    vertex = own_vertex(*FAST)
    endpoint = vertex.new_endpoint()
    model = vertex.upload(env={"WARM_S": "1"}).model
    cut_off = vertex.endpoints.deploy_model(
        endpoint=endpoint,
        deployed_model={"model": model, "id": "5"},
        traffic_split={"0": 100},
    )

    vertex.kill()
    vertex.start()

    name = cut_off.operation.name
    finished = vertex.wait_for(name)
    assert finished["response"]["deployedModel"]["id"] == "5"
    assert vertex.raw_predict(endpoint).status_code == 200


def test_a_deployed_id_that_is_being_deployed_is_taken(own_vertex):
    vertex = own_vertex(*FAST)
    endpoint = vertex.new_endpoint()
    model = vertex.upload(env={"WARM_S": "2"}).model
    request = {"endpoint": endpoint, "deployed_model": {"model": model, "id": "5"}}

    vertex.endpoints.deploy_model(request=request)

    with pytest.raises(exceptions.Conflict, match="being deployed"):
        vertex.endpoints.deploy_model(request=request)
