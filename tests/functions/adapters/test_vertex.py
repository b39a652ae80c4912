"""Uploading, deploying and moving traffic, with Google's own client."""

import os
import time

import pytest

from functions import settings
from functions.adapters.vertex import EndpointView, Vertex
from functions.errors import UpstreamError, UpstreamUnavailableError
from packhorse.names import Release
from tests.functions.vertex_stand_in import CANDIDATE, PARENT, SERVING, doubling_bundle

ONE, TWO = Release("magika", 1), Release("magika", 2)


@pytest.fixture
def registry(vertex, monkeypatch):
    return Vertex(settings.serving_settings(os.environ))


def until(step):
    deadline = time.monotonic() + 30
    while not (result := step()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return result


def upload(registry, release):
    _, bundle = doubling_bundle(release)
    uri = f"gs://bundles/targets/{bundle.target}"
    return until(lambda: registry.ensure_uploaded(release, bundle, uri))


def deploy(registry, release, endpoint=SERVING, deployed_id=None):
    version = upload(registry, release)
    deployed_id = deployed_id or f"10{release.version}"
    until(
        lambda: registry.ensure_deployed(
            endpoint, release, version=version, deployed_id=deployed_id
        )
    )


def test_a_release_is_uploaded_once_with_what_its_container_needs(registry, vertex):
    version = upload(registry, ONE)
    again = upload(registry, ONE)

    model = vertex.get(f"{PARENT}/models/magika@1")
    variables = {each["name"]: each["value"] for each in model["containerSpec"]["env"]}
    assert version == again == f"{PARENT}/models/magika@1"
    assert variables["PACKHORSE_BUNDLE_SHA256"] == doubling_bundle(ONE)[1].sha256
    assert model["artifactUri"].startswith("gs://bundles/targets/bundles/magika/1/")
    assert model["labels"]["packhorse_release"] == "magika-1"
    assert len(vertex.get(f"{PARENT}/models/magika:listVersions")["models"]) == 1


def test_the_next_release_becomes_the_next_version_of_the_same_model(registry):
    upload(registry, ONE)

    assert upload(registry, TWO) == f"{PARENT}/models/magika@2"
    assert registry.find_version(ONE) == f"{PARENT}/models/magika@1"


def test_a_release_that_was_never_uploaded_is_not_found(registry):
    assert registry.find_version(ONE) is None


def test_a_release_is_deployed_once_under_its_name_and_without_traffic(
    registry, vertex
):
    deploy(registry, ONE)
    deploy(registry, ONE)

    shown = vertex.get(SERVING)
    (deployed,) = shown["deployedModels"]
    assert (deployed["id"], deployed["displayName"]) == ("101", "magika@1")
    assert not shown["trafficSplit"]


def test_a_deployment_under_way_is_found_again_and_not_begun_twice(registry, vertex):
    version = upload(registry, ONE)
    for _ in range(5):
        registry.ensure_deployed(SERVING, ONE, version=version, deployed_id="101")

    until(lambda: ONE in registry.read_endpoint(SERVING).served)
    operations = vertex.get(f"{SERVING}/operations")["operations"]
    assert len(operations) == 1


def test_traffic_moves_only_when_it_is_not_there_already(registry):
    deploy(registry, ONE)
    deploy(registry, TWO)

    assert registry.move_traffic(registry.read_endpoint(SERVING), {ONE: 95, TWO: 5})
    view = registry.read_endpoint(SERVING)
    assert view.split == {"101": 95, "102": 5}
    assert not registry.move_traffic(view, {ONE: 95, TWO: 5})
    assert not registry.move_traffic(view, {})


def test_traffic_of_an_endpoint_that_changed_meanwhile_is_not_moved(registry):
    deploy(registry, ONE)
    deploy(registry, TWO)
    stale = registry.read_endpoint(SERVING)
    registry.move_traffic(stale, {ONE: 100})

    with pytest.raises(UpstreamError):
        registry.move_traffic(stale, {TWO: 100})

    assert registry.read_endpoint(SERVING).split == {"101": 100}


def test_a_release_without_traffic_is_undeployed(registry):
    deploy(registry, ONE)
    deploy(registry, TWO)
    registry.move_traffic(registry.read_endpoint(SERVING), {TWO: 100})

    registry.undeploy(registry.read_endpoint(SERVING), ONE)

    until(lambda: list(registry.read_endpoint(SERVING).served) == [TWO])


def test_the_same_release_stands_on_both_endpoints(registry):
    deploy(registry, ONE, CANDIDATE, "201")
    deploy(registry, ONE, SERVING, "101")

    assert registry.read_endpoint(CANDIDATE).deployed == {ONE: "201"}
    assert isinstance(registry.read_endpoint(SERVING), EndpointView)


def test_a_vertex_that_is_away_is_unavailable(registry, vertex):
    vertex.process.kill()
    vertex.process.wait()

    with pytest.raises(UpstreamUnavailableError):
        registry.read_endpoint(SERVING)
