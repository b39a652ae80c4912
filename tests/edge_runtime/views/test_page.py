"""What the status page says of a server."""

import dataclasses

from flask import Flask

from edge_runtime.page_views import add_pages
from edge_runtime.views.page import CHARTS_MAX, build_page
from tests.edge_runtime.server_views import (
    NOW_S,
    busy_measures,
    busy_view,
    model_view,
    server_view,
)


def client_of(view):
    app = Flask("edge_runtime", static_folder=None)
    add_pages(app, lambda: view)
    return app.test_client()


def test_a_server_without_a_release_says_why_in_words_that_cannot_be_markup():
    view = server_view(reason="<b>the disk</b> is broken")
    text = client_of(view).get("/").text
    assert "No release" in text
    assert "not ready" in text
    assert "&lt;b&gt;the disk&lt;/b&gt; is broken" in text
    assert "<title>NOT READY No release" in text


def test_without_a_slot_the_page_is_named_after_what_is_served():
    one = server_view(model_view(), release="", slot="")
    two = server_view(model_view(), model_view("other"), release="", slot="")
    assert (build_page(one).release, build_page(two).title) == ("tiny@3", "2 models")
    assert "No release" not in client_of(two).get("/").text


def test_every_model_has_its_line():
    magika, defects = build_page(busy_view()).models
    assert (magika.release, magika.state, magika.tone) == ("magika@2", "ready", "good")
    assert (defects.state, defects.tone) == ("ready, not proven", "fair")
    assert magika.note == "7 refused as malformed, 2 too late"
    assert magika.errors == "9"
    assert magika.batch == "2.0 of 32"
    assert defects.batch == "not batched"
    assert magika.p50.endswith("ms")


def test_a_model_that_fails_says_so_before_anything_else():
    failed = model_view(is_ready=False, reason="it failed 5 times in a row")
    view = server_view(failed, reason="tiny@3: it failed 5 times in a row")
    page = build_page(view)
    assert (page.models[0].state, page.models[0].tone) == ("not ready", "bad")
    text = client_of(view).get("/").text
    assert text.index("it failed 5 times") < text.index("Requests answered")


def test_a_fresh_model_has_dashes_instead_of_numbers():
    (line,) = build_page(server_view(model_view(rows_max=8))).models
    assert (line.p50, line.p99, line.queue, line.compute) == ("–",) * 4  # noqa: RUF001
    assert (line.last, line.rate, line.errors) == ("never", "0/s", "0")


def test_predictions_show_shapes_time_and_class():
    first, second, *_ = build_page(busy_view()).predictions
    assert (first.inputs, first.outputs) == (("x [1, 1536]",), ("y [1, 113]",))
    assert (first.classes, first.took, first.ago) == ("24", "0.41 ms", "just now")
    assert second.classes == "24, 24, 7, …"


def test_errors_are_told_the_newest_first_and_ours_stand_out():
    view = busy_view()
    view.counts.add("infer", 500, 0.1)
    newest, *others = build_page(view).errors
    assert (newest.status, newest.phrase) == (500, "Internal Server Error")
    assert newest.is_ours
    assert not [line for line in others if line.status == 404]


def test_only_the_busiest_models_have_a_chart():
    models = [
        model_view(f"m{n}", measures=busy_measures(per_s=n + 1, minutes=2))
        for n in range(CHARTS_MAX + 2)
    ]
    page = build_page(server_view(*models, model_view("idle")))
    assert len(page.charts) == CHARTS_MAX
    assert page.charts[0].release == "m7@3"
    assert page.has_more_charts
    assert len(page.models) == CHARTS_MAX + 3


def test_several_processes_are_told_with_their_memory():
    view = busy_view()
    process = dataclasses.replace(view.process, count=3)
    facts = build_page(dataclasses.replace(view, process=process)).facts
    (memory,) = [fact for fact in facts if fact.name == "Memory"]
    assert (memory.value, memory.note) == ("70 MiB", "3 processes")


def test_the_page_loads_and_runs_nothing():
    reply = client_of(busy_view()).get("/")
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "<script" not in reply.text
    assert "url(" not in reply.text
    assert 'src="' not in reply.text
    assert 'href="http' not in reply.text


def test_the_page_looks_again_unless_it_is_held_still():
    client = client_of(busy_view())
    moving, still = client.get("/").text, client.get("/?still").text
    assert '<meta http-equiv="refresh" content="5">' in moving
    assert "Minute (UTC)" not in moving
    assert "http-equiv" not in still
    assert "Minute (UTC)" in still


def test_programs_are_told_the_same():
    document = client_of(busy_view()).get("/status").json
    assert (document["release"], document["ready"]) == ("magika@2", True)
    assert document["requests"]["infer"] == {"200": 91_204, "400": 7, "504": 2}
    magika, defects = document["models"]
    assert magika["p50_ms"] < magika["p99_ms"]
    assert (defects["proven"], defects["batch_rows_max"]) == (False, 1)
    assert document["last"][1]["classes"] == [24, 24, 7]
    empty = client_of(server_view(model_view())).get("/status").json
    assert empty["models"][0]["p50_ms"] is None
    assert empty["last_error"] is None


def test_the_clock_is_that_of_the_server():
    page = build_page(busy_view())
    assert NOW_S == 1_800_000_007.0
    assert (page.day, page.clock) == ("2027-01-15", "08:00:07")
