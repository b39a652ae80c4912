"""What is told of the models fits into a line of the control socket."""

from edge_runtime.models.listing import describe_models
from edge_runtime.models.models import READY, UNAVAILABLE, IndexEntry
from edge_runtime.supervision.control import LINE_MAX_BYTES
from packhorse.strict_json import encode_json


class Listed:
    """What a listing asks of models."""

    reason = "\N{SNOWMAN}" * 2000

    def __init__(self, *entries):
        self.entries = list(entries)

    def index(self):
        return self.entries


def test_each_model_is_named_with_why_it_is_not_ready():
    models = Listed(
        IndexEntry("iris", "1", READY, ""),
        IndexEntry("iris", "2", UNAVAILABLE, "unloaded"),
    )
    told = describe_models(models)
    assert (told["ready"], told["more"]) == (False, 0)
    assert told["models"] == [
        {"release": "iris@1", "ready": True, "reason": ""},
        {"release": "iris@2", "ready": False, "reason": "unloaded"},
    ]


def test_there_are_never_more_than_a_line_has_room_for():
    entry = IndexEntry("n" * 100, "1", UNAVAILABLE, "\N{SNOWMAN}" * 400)
    told = describe_models(Listed(*[entry] * 64))
    assert len(encode_json({"ok": True, **told})) < LINE_MAX_BYTES
    assert told["more"] == 64 - len(told["models"])
    assert told["models"]
