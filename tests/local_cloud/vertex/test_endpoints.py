"""Endpoints and what is deployed on them, through Google's own client.

Over REST the client tells errors apart by the HTTP status alone: 400 is a
`BadRequest`, whatever the word in the body, and 409 a `Conflict`.
"""

import pytest
import requests
from google.api_core import exceptions
from google.cloud import aiplatform_v1

LOCATION = "projects/packhorse-demo/locations/europe-west4"


@pytest.fixture(scope="module")
def two(vertex):
    """An endpoint with the deployed models 1, which has all traffic, and 2."""
    endpoint = vertex.new_endpoint()
    model = vertex.upload().model
    vertex.upload(parent=model)
    vertex.deploy(endpoint, f"{model}@1", own_id="1", split={"0": 100})
    vertex.deploy(endpoint, f"{model}@2", own_id="2")
    return endpoint


def set_split(vertex, endpoint, split, **fields):
    return vertex.endpoints.update_endpoint(
        endpoint={"name": endpoint, "traffic_split": split, **fields},
        update_mask={"paths": ["traffic_split"]},
    )


def undeploy(vertex, endpoint, deployed_id, split=None):
    operation = vertex.endpoints.undeploy_model(
        endpoint=endpoint, deployed_model_id=deployed_id, traffic_split=split or {}
    )
    return operation.result(timeout=20)


def test_a_new_endpoint_is_found_by_its_name_and_by_its_display_name(vertex):
    name = vertex.new_endpoint("magika-found")

    request = {"parent": LOCATION, "filter": 'display_name="magika-found"'}
    listed = vertex.endpoints.list_endpoints(request=request)

    assert vertex.endpoints.get_endpoint(name=name).display_name == "magika-found"
    assert [endpoint.name for endpoint in listed] == [name]


def test_an_endpoint_takes_the_id_it_was_asked_for_once(vertex):
    def create():
        request = aiplatform_v1.CreateEndpointRequest(
            parent=LOCATION, endpoint={"display_name": "one"}, endpoint_id="1234"
        )
        return vertex.endpoints.create_endpoint(request=request).result(timeout=10)

    assert create().name == f"{LOCATION}/endpoints/1234"
    with pytest.raises(exceptions.Conflict):
        create()


def test_a_deployed_model_has_the_id_it_was_given_and_a_fixed_version(vertex, two):
    endpoint = vertex.endpoints.get_endpoint(name=two)

    deployed = {one.id: one.model_version_id for one in endpoint.deployed_models}

    assert deployed == {"1": "1", "2": "2"}


def test_answers_hold_nothing_that_googles_messages_do_not_know(vertex, two):
    def read(message, name):
        text = requests.get(f"{vertex.url}/v1/{name}", timeout=5).text
        return message.from_json(text, ignore_unknown_fields=False)

    endpoint = read(aiplatform_v1.Endpoint, two)
    deployed = endpoint.deployed_models[0]
    model = read(aiplatform_v1.Model, f"{deployed.model}@{deployed.model_version_id}")

    assert endpoint.name == two
    assert model.display_name == "magika"


def test_a_deployment_without_a_split_leaves_the_split_as_it_was(vertex):
    endpoint = vertex.new_endpoint()
    model = vertex.upload().model
    vertex.deploy(endpoint, model, own_id="1", split={"0": 100})

    vertex.deploy(endpoint, model, own_id="2")

    assert vertex.endpoints.get_endpoint(name=endpoint).traffic_split == {"1": 100}


def test_a_deployed_id_is_taken_once(vertex, two):
    model = vertex.endpoints.get_endpoint(name=two).deployed_models[0].model

    with pytest.raises(exceptions.Conflict, match="exists already"):
        vertex.deploy(two, model, own_id="1")


@pytest.mark.parametrize("deployed_id", ["x1", "12345678901", "0"])
def test_a_deployed_id_is_one_to_ten_digits(vertex, two, deployed_id):
    model = vertex.endpoints.get_endpoint(name=two).deployed_models[0].model

    with pytest.raises(exceptions.BadRequest, match="digits"):
        vertex.deploy(two, model, own_id=deployed_id)


def test_a_model_that_is_not_there_is_not_deployed(vertex, two):
    with pytest.raises(exceptions.NotFound):
        vertex.deploy(two, f"{LOCATION}/models/404@1")


def test_the_split_moves_and_the_etag_with_it(vertex, two):
    before = vertex.endpoints.get_endpoint(name=two).etag

    changed = set_split(vertex, two, {"1": 90, "2": 10}, etag=before)

    assert changed.traffic_split == {"1": 90, "2": 10}
    assert changed.etag != before


def test_a_split_over_an_older_read_is_refused(vertex, two):
    old = vertex.endpoints.get_endpoint(name=two).etag
    set_split(vertex, two, {"1": 100})

    with pytest.raises(exceptions.Conflict, match="changed since"):
        set_split(vertex, two, {"2": 100}, etag=old)


@pytest.mark.parametrize(
    ("split", "sentence"),
    [({"1": 60}, "add up to 100"), ({"1": 50, "9": 50}, "'9' is not on this endpoint")],
    ids=["sum", "stranger"],
)
def test_a_split_that_is_wrong_is_refused_and_changes_nothing(
    vertex, two, split, sentence
):
    before = vertex.endpoints.get_endpoint(name=two).traffic_split

    with pytest.raises(exceptions.BadRequest, match=sentence):
        set_split(vertex, two, split)

    assert vertex.endpoints.get_endpoint(name=two).traffic_split == before


def test_an_update_without_a_known_mask_is_refused(vertex, two):
    with pytest.raises(exceptions.BadRequest, match="update_mask"):
        vertex.endpoints.update_endpoint(
            endpoint={"name": two}, update_mask={"paths": ["deployed_models"]}
        )


def test_a_deployed_model_with_traffic_stays_until_the_split_leaves_it_out(vertex):
    endpoint = vertex.new_endpoint()
    model = vertex.upload().model
    vertex.deploy(endpoint, model, own_id="1", split={"0": 100})
    vertex.deploy(endpoint, model, own_id="2")

    with pytest.raises(exceptions.BadRequest, match="100 %"):
        undeploy(vertex, endpoint, "1")
    undeploy(vertex, endpoint, "1", {"2": 100})

    left = vertex.endpoints.get_endpoint(name=endpoint)
    assert [one.id for one in left.deployed_models] == ["2"]
    assert left.traffic_split == {"2": 100}


def test_the_last_deployed_model_leaves_an_empty_split(vertex):
    endpoint = vertex.new_endpoint()
    vertex.deploy(endpoint, vertex.upload().model, own_id="1", split={"0": 100})

    undeploy(vertex, endpoint, "1")

    left = vertex.endpoints.get_endpoint(name=endpoint)
    assert (list(left.deployed_models), dict(left.traffic_split)) == ([], {})


def test_what_is_not_deployed_cannot_be_undeployed(vertex, two):
    with pytest.raises(exceptions.NotFound):
        undeploy(vertex, two, "404")


def test_an_endpoint_and_a_model_in_use_are_not_deleted(vertex, two):
    model = vertex.endpoints.get_endpoint(name=two).deployed_models[0].model

    with pytest.raises(exceptions.BadRequest):
        vertex.endpoints.delete_endpoint(name=two)
    with pytest.raises(exceptions.BadRequest):
        vertex.models.delete_model(name=model)


def test_a_deleted_endpoint_is_gone(vertex):
    name = vertex.new_endpoint()

    vertex.endpoints.delete_endpoint(name=name).result(timeout=10)

    with pytest.raises(exceptions.NotFound):
        vertex.endpoints.get_endpoint(name=name)


def test_endpoints_named_at_the_start_are_there(own_vertex):
    vertex = own_vertex("--endpoint", "1=magika-candidate")

    found = vertex.endpoints.get_endpoint(name=f"{LOCATION}/endpoints/1")

    assert found.display_name == "magika-candidate"
