"""Online prediction: what reaches the container, and what comes back."""

import collections
import threading

import requests


def seen(reply):
    return reply.json()["predictions"][0]


def test_the_body_and_its_type_reach_the_one_predict_route_and_nothing_else(
    vertex, served
):
    reply = vertex.raw_predict(
        served,
        b"any bytes",
        **{"Content-Type": "application/x-own; size=3", "X-Request": "1"},
    )

    arrived = seen(reply)
    assert (arrived["path"], arrived["body"]) == ("/predict", "any bytes")
    assert arrived["headers"]["content-type"] == "application/x-own; size=3"
    assert "x-request" not in arrived["headers"]


def test_the_answer_says_which_endpoint_and_deployed_model_gave_it(vertex, served):
    headers = vertex.raw_predict(served).headers

    assert headers["X-Vertex-AI-Endpoint-Id"] == served.rsplit("/", 1)[1]
    assert headers["X-Vertex-AI-Deployed-Model-Id"] == "77"
    assert "X-Own" not in headers


def test_the_containers_own_status_and_body_come_back_as_they_are(vertex, served):
    reply = vertex.raw_predict(served, b"refuse")

    assert reply.status_code == 422
    assert seen(reply)["body"] == "refuse"


def test_the_container_sees_what_vertex_documents_and_nothing_of_its_host(
    vertex, served, monkeypatch
):
    environment = vertex.raw_predict(served).json()["environment"]

    assert environment["WHO"] == "served"
    assert environment["AIP_PREDICT_ROUTE"] == "/predict"
    assert environment["AIP_DEPLOYED_MODEL_ID"] == "77"
    assert "PYTEST_CURRENT_TEST" not in environment


def test_predict_adds_the_model_that_answered(vertex, served):
    answer = vertex.predictions.predict(endpoint=served, instances=[{"a": 1}])

    assert answer.deployed_model_id == "77"
    assert (answer.model_version_id, answer.model_display_name) == ("1", "magika")
    assert answer.model.startswith("projects/packhorse-demo/")
    assert len(answer.predictions) == 1


def test_predict_without_instances_is_refused(vertex, served):
    url = f"{vertex.url}/v1/{served}:predict"
    reply = requests.post(url, json={"inputs": []}, timeout=5)

    assert reply.status_code == 400
    assert "instances" in reply.json()["error"]["message"]


def test_a_request_over_a_megabyte_and_a_half_is_refused(vertex, served):
    largest = vertex.raw_predict(served, b"x" * 1_572_864)
    reply = vertex.raw_predict(served, b"x" * 1_572_865)

    assert largest.status_code == 200
    assert reply.status_code == 400
    assert reply.json()["error"]["message"] == (
        "Request payload size exceeds the limit: 1572864 bytes."
    )


def test_an_endpoint_without_traffic_says_so(vertex):
    reply = vertex.raw_predict(vertex.new_endpoint())

    assert reply.status_code == 400
    assert "cannot process traffic" in reply.json()["error"]["message"]


def test_an_endpoint_that_is_not_there_is_not_found(vertex, served):
    assert vertex.raw_predict(f"{served}9").status_code == 404


def test_requests_fall_on_deployed_models_as_the_split_says(vertex):
    endpoint = vertex.new_endpoint()
    model = vertex.upload().model
    vertex.deploy(endpoint, model, own_id="1", split={"0": 100})
    vertex.deploy(endpoint, model, own_id="2", split={"1": 75, "0": 25})

    ids = collections.Counter(
        vertex.raw_predict(endpoint).headers["X-Vertex-AI-Deployed-Model-Id"]
        for _ in range(200)
    )

    assert set(ids) == {"1", "2"}
    assert 110 <= ids["1"] <= 185


def test_a_model_that_takes_too_long_is_given_up(own_vertex):
    vertex = own_vertex("--predict-timeout", "0.3")
    endpoint = vertex.new_endpoint()
    vertex.deploy(endpoint, vertex.upload().model, split={"0": 100})

    reply = vertex.raw_predict(endpoint, b"sleep 5")

    assert reply.status_code == 504
    assert reply.json()["error"]["status"] == "DEADLINE_EXCEEDED"


def test_undeploying_lets_the_requests_in_flight_end(vertex):
    endpoint = vertex.new_endpoint()
    model = vertex.upload().model
    vertex.deploy(endpoint, model, own_id="1", split={"0": 100})
    vertex.deploy(endpoint, model, own_id="2")
    replies = []

    def ask():
        replies.append(vertex.raw_predict(endpoint, b"sleep 0.7"))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    threads[0].join(0.2)
    vertex.endpoints.undeploy_model(
        endpoint=endpoint, deployed_model_id="1", traffic_split={"2": 100}
    ).result(timeout=10)
    for thread in threads:
        thread.join()

    assert [reply.status_code for reply in replies] == [200] * 3
    assert vertex.raw_predict(endpoint).status_code == 200
