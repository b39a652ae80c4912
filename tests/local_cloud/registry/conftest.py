"""Registries that the contract tests run against."""

import shutil
import uuid
from dataclasses import dataclass

import pytest

from tests.local_cloud.registry.stand_ins import (
    PROJECT,
    Server,
    Topic,
    debian_registry,
    our_registry,
    running,
    webhook,
)


@dataclass(frozen=True)
class Place:
    """A registry, and the topic that it announces on."""

    server: Server
    topic: Topic


@pytest.fixture(scope="module")
def module_topic():
    topic = Topic()
    topic.start()
    yield topic
    topic.stop()


@pytest.fixture(scope="module", params=["ours", "debian"])
def place(request, module_topic, tmp_path_factory):
    data = tmp_path_factory.mktemp("registry") / "data"
    if request.param == "ours":
        server, others = our_registry(data, module_topic), []
    elif shutil.which("docker-registry"):
        others = [webhook(module_topic)]
        server = debian_registry(data, others[0])
    else:
        pytest.skip(
            "Debian's docker-registry is missing: apt-get install docker-registry"
        )
    with running(server, *others):
        yield Place(server, module_topic)


@pytest.fixture
def topic():
    topic = Topic()
    topic.start()
    yield topic
    topic.stop()


@pytest.fixture(scope="module")
def ours(module_topic, tmp_path_factory):
    """Our registry with a small limit, shared by tests that leave it running."""
    data = tmp_path_factory.mktemp("ours") / "data"
    server = our_registry(data, module_topic, "--blob-max-bytes", "1000000")
    with running(server):
        yield server


@pytest.fixture
def fresh(tmp_path, topic):
    """Our registry, to be killed, alone with its topic."""
    server = our_registry(tmp_path / "data", topic)
    with running(server):
        yield server


@pytest.fixture
def repository():
    """Return a name that no other test uses."""
    return f"{PROJECT}/models/magika-{uuid.uuid4().hex[:12]}"
