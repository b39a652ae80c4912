"""Shared, dedicated and private endpoints, through Google's own client."""

import pytest
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform_v1
from google.protobuf import duration_pb2

MIB = 1024 * 1024


def seconds(value):
    return {"inference_timeout": duration_pb2.Duration(seconds=value)}


@pytest.fixture(scope="module")
def dedicated(vertex):
    endpoint = vertex.new_endpoint(
        dedicated_endpoint_enabled=True, client_connection_config=seconds(1)
    )
    vertex.deploy(endpoint, vertex.upload().model, split={"0": 100}, own_id="78")
    return endpoint


@pytest.fixture(scope="module")
def private(vertex):
    config = {"enable_private_service_connect": True, "project_allowlist": ["caller"]}
    endpoint = vertex.new_endpoint(private_service_connect_config=config)
    vertex.deploy(endpoint, vertex.upload().model, split={"0": 100}, own_id="79")
    return endpoint


@pytest.fixture
def own_predictions(vertex):
    client = aiplatform_v1.PredictionServiceClient(
        client_options=ClientOptions(api_endpoint=vertex.own_url),
        transport="rest",
        credentials=AnonymousCredentials(),
    )
    yield client
    client.transport.close()


def test_a_dedicated_endpoint_tells_its_own_host_and_its_timeout(vertex, dedicated):
    found = vertex.endpoints.get_endpoint(name=dedicated)

    number = dedicated.rsplit("/", 1)[1]
    assert found.dedicated_endpoint_enabled
    assert found.dedicated_endpoint_dns.startswith(f"{number}.europe-west4-")
    assert found.dedicated_endpoint_dns.endswith(".prediction.vertexai.goog")
    assert found.client_connection_config.inference_timeout.seconds == 1


def test_a_private_endpoint_tells_its_service_attachment(vertex, private):
    config = vertex.endpoints.get_endpoint(name=private).private_service_connect_config

    assert list(config.project_allowlist) == ["caller"]
    assert "/serviceAttachments/" in config.service_attachment


def test_a_shared_endpoint_has_no_host_of_its_own(vertex, served):
    found = vertex.endpoints.get_endpoint(name=served)

    assert not found.dedicated_endpoint_enabled
    assert not found.dedicated_endpoint_dns


def test_google_s_client_is_answered_on_the_dedicated_host(dedicated, own_predictions):
    answer = own_predictions.predict(endpoint=dedicated, instances=[1])

    assert answer.deployed_model_id == "78"


def test_the_shared_host_names_the_dedicated_one_and_does_not_answer(vertex, dedicated):
    dns = vertex.endpoints.get_endpoint(name=dedicated).dedicated_endpoint_dns

    with pytest.raises(exceptions.BadRequest, match="shared Vertex AI domain") as found:
        vertex.predictions.predict(endpoint=dedicated, instances=[1])

    assert f"'{dns}'" in str(found.value)


def test_a_host_header_leads_to_the_dedicated_host_on_the_first_port_too(
    vertex, dedicated, served
):
    dns = vertex.endpoints.get_endpoint(name=dedicated).dedicated_endpoint_dns

    right = vertex.raw_predict(dedicated, Host=dns)
    other = vertex.raw_predict(dedicated, Host=f"9{dns}")

    assert right.headers["X-Vertex-AI-Deployed-Model-Id"] == "78"
    assert other.status_code == 404
    assert vertex.raw_predict(served, Host=dns).status_code == 404


def test_a_private_endpoint_is_not_on_the_shared_host(vertex, private):
    assert vertex.raw_predict(private).status_code == 400
    assert vertex.raw_predict(private, is_own=True).status_code == 200


def test_a_shared_endpoint_is_not_on_a_dedicated_host(vertex, served):
    assert vertex.raw_predict(served, is_own=True).status_code == 404


def test_a_dedicated_host_knows_predictions_alone(own_predictions, vertex, dedicated):
    endpoints = aiplatform_v1.EndpointServiceClient(
        client_options=ClientOptions(api_endpoint=vertex.own_url),
        transport="rest",
        credentials=AnonymousCredentials(),
    )

    with endpoints, pytest.raises(exceptions.NotFound):
        endpoints.get_endpoint(name=dedicated)


@pytest.mark.parametrize("kind", ["dedicated", "private"])
def test_ten_megabytes_are_taken_and_not_one_byte_more(vertex, request, kind):
    endpoint = request.getfixturevalue(kind)

    largest = vertex.raw_predict(endpoint, b"x" * 10 * MIB, is_own=True)
    reply = vertex.raw_predict(endpoint, b"x" * (10 * MIB + 1), is_own=True)

    assert largest.status_code == 200
    assert reply.status_code == 400
    assert "10485760 bytes" in reply.json()["error"]["message"]


def test_a_prediction_beyond_the_endpoints_own_timeout_is_given_up(vertex, dedicated):
    reply = vertex.raw_predict(dedicated, b"sleep 5", is_own=True)

    assert reply.status_code == 504
    assert reply.json()["error"]["status"] == "DEADLINE_EXCEEDED"


def test_the_timeout_is_changed_by_a_long_running_update(vertex):
    endpoint = vertex.new_endpoint(dedicated_endpoint_enabled=True)

    operation = vertex.endpoints.update_endpoint_long_running(
        endpoint={"name": endpoint, "client_connection_config": seconds(3600)}
    )

    changed = operation.result(timeout=20)
    assert changed.client_connection_config.inference_timeout.seconds == 3600


@pytest.mark.parametrize("value", [0, 3601])
def test_a_timeout_beyond_an_hour_or_of_nothing_is_refused(vertex, value):
    with pytest.raises(exceptions.BadRequest, match="3600 s"):
        vertex.new_endpoint(
            dedicated_endpoint_enabled=True, client_connection_config=seconds(value)
        )
