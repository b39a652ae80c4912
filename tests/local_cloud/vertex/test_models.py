"""The Model Registry, through Google's own client."""

import pytest
import requests
from google.api_core import exceptions

LOCATION = "projects/packhorse-demo/locations/europe-west4"


def test_the_first_upload_makes_a_model_whose_version_1_is_the_default(vertex):
    uploaded = vertex.upload(artifact_uri="gs://bundles/magika")

    model = vertex.models.get_model(name=uploaded.model)

    assert uploaded.model_version_id == "1"
    assert (model.version_id, list(model.version_aliases)) == ("1", ["default"])
    assert model.artifact_uri == "gs://bundles/magika"
    assert model.labels == {"packhorse_release": "magika-1"}


def test_an_upload_under_a_parent_makes_the_next_version_but_not_the_default(vertex):
    first = vertex.upload("1")

    second = vertex.upload("2", parent=first.model)

    assert (second.model, second.model_version_id) == (first.model, "2")
    assert vertex.models.get_model(name=first.model).version_id == "1"
    newer = vertex.models.get_model(name=f"{first.model}@2")
    assert newer.labels == {"packhorse_release": "magika-2"}


def test_an_alias_names_the_version_it_was_given_to_last(vertex):
    model = vertex.upload("1", version_aliases=["golden"]).model

    vertex.upload("2", parent=model, version_aliases=["golden", "default"])

    assert vertex.models.get_model(name=f"{model}@golden").version_id == "2"
    assert vertex.models.get_model(name=model).version_id == "2"


def test_aliases_are_merged_and_taken_away(vertex):
    model = vertex.upload("1", version_aliases=["golden"]).model

    changed = vertex.models.merge_version_aliases(
        name=f"{model}@1", version_aliases=["silver", "-golden"]
    )

    assert set(changed.version_aliases) == {"default", "silver"}
    with pytest.raises(exceptions.NotFound):
        vertex.models.get_model(name=f"{model}@golden")


def test_versions_are_listed_by_their_label_whether_default_or_not(vertex):
    model = vertex.upload("1").model
    vertex.upload("2", parent=model)
    text = 'labels.packhorse_release="magika-2"'

    found = vertex.models.list_model_versions(request={"name": model, "filter": text})

    assert [version.version_id for version in found] == ["2"]


def test_a_list_of_models_shows_each_once_as_its_default_version(vertex):
    label = {"packhorse_model": "shown-once"}
    model = vertex.upload("1", labels={**label, "packhorse_release": "once-1"}).model
    vertex.upload("2", parent=model, labels={**label, "packhorse_release": "once-2"})

    def listed(text):
        request = {"parent": LOCATION, "filter": text}
        return [m.version_id for m in vertex.models.list_models(request=request)]

    assert listed("labels.packhorse_model=shown-once") == ["1"]
    assert listed("labels.packhorse_release=once-1") == ["1"]
    assert listed("labels.packhorse_release=once-2") == []


def test_lists_come_in_pages(vertex):
    model = vertex.upload("1").model
    for number in ("2", "3"):
        vertex.upload(number, parent=model)

    pages = vertex.models.list_model_versions(request={"name": model, "page_size": 2})

    assert [len(page.models) for page in pages.pages] == [2, 1]


@pytest.mark.parametrize("text", ["labels.a>b", "createTime=1", "a=b OR c=d"])
def test_a_filter_that_is_not_known_is_refused_with_what_is(vertex, text):
    with pytest.raises(exceptions.BadRequest, match=r"labels\.KEY=VALUE"):
        vertex.models.list_models(request={"parent": LOCATION, "filter": text})


def test_what_is_not_there_is_answered_in_googles_error_shape(vertex):
    reply = requests.get(f"{vertex.url}/v1/{LOCATION}/models/5", timeout=5)

    error = reply.json()["error"]
    assert reply.status_code == 404
    assert (error["code"], error["status"]) == (404, "NOT_FOUND")
    assert "models/5" in error["message"]


def test_a_deleted_model_is_gone(vertex):
    model = vertex.upload().model

    vertex.models.delete_model(name=model).result(timeout=10)

    with pytest.raises(exceptions.NotFound):
        vertex.models.get_model(name=model)


def test_a_version_is_deleted_unless_it_is_the_default(vertex):
    model = vertex.upload("1").model
    vertex.upload("2", parent=model)

    vertex.models.delete_model_version(name=f"{model}@2").result(timeout=10)

    with pytest.raises(exceptions.NotFound):
        vertex.models.get_model(name=f"{model}@2")
    with pytest.raises(exceptions.BadRequest, match="default"):
        vertex.models.delete_model_version(name=f"{model}@1").result(timeout=10)


def test_a_version_id_is_never_given_twice(vertex):
    model = vertex.upload("1").model
    vertex.upload("2", parent=model)
    vertex.models.delete_model_version(name=f"{model}@2").result(timeout=10)

    assert vertex.upload("3", parent=model).model_version_id == "3"


def test_labels_change_under_an_update_mask(vertex):
    model = vertex.upload("1").model

    changed = vertex.models.update_model(
        model={"name": model, "labels": {"packhorse_release": "magika-9"}},
        update_mask={"paths": ["labels"]},
    )

    assert changed.labels == {"packhorse_release": "magika-9"}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"labels": {"release": "magika@2"}}, "lower case"),
        ({"version_aliases": ["2"]}, "alias"),
        ({"display_name": ""}, "display_name"),
    ],
    ids=["label", "alias", "name"],
)
def test_an_upload_that_vertex_refuses_is_refused(vertex, fields, sentence):
    with pytest.raises(exceptions.BadRequest, match=sentence):
        vertex.upload(**fields)


def test_an_upload_under_a_parent_that_is_not_there_is_refused(vertex):
    with pytest.raises(exceptions.NotFound):
        vertex.upload(parent=f"{LOCATION}/models/404")


def test_a_model_id_is_taken_once(vertex):
    def upload():
        request = {
            "parent": LOCATION,
            "model_id": "mine",
            "model": {"display_name": "mine"},
        }
        return vertex.models.upload_model(request=request).result(timeout=10)

    assert upload().model == f"{LOCATION}/models/mine"
    with pytest.raises(exceptions.Conflict, match="exists already"):
        upload()


def test_the_operations_of_a_model_are_listed_before_it_is_there_too(vertex):
    name = f"{LOCATION}/models/watched"
    request = {"parent": LOCATION, "model_id": "watched"}
    before = vertex.models.list_operations({"name": name}).operations

    operation = vertex.models.upload_model(
        request={**request, "model": {"display_name": "watched"}}
    )

    after = vertex.models.list_operations({"name": name}).operations
    assert [list(before), len(after)] == [[], 1]
    assert after[0].name == operation.operation.name
    operation.result(timeout=10)
