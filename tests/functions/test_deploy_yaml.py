"""`deploy.yaml` lists every function, and exactly what each one reads."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from functions.topics import TOPICS

FUNCTIONS = Path(__file__).resolve().parents[2] / "functions"
DEPLOYED = yaml.safe_load((FUNCTIONS / "deploy.yaml").read_text())["functions"]
KEYS = {
    "trigger",
    "requirements",
    "memory",
    "timeout_s",
    "concurrency",
    "max_instances",
    "min_instances",
    "service_account",
    "callers",
    "settings",
    "permissions",
}
SOMETIMES = {"asgi", "cpu", "startup_path"}
DATABASE_CONNECTIONS = 100
"""PostgreSQL's default, and Cloud SQL's smallest."""
POOL = 2

each_function = pytest.mark.parametrize("name", sorted(DEPLOYED))


def parse(path):
    return ast.parse(path.read_text())


def defined(tree):
    """Return what a module defines, by name: functions, classes, tables."""
    found = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign):
            found[node.target.id] = node
    return found


WIRING = defined(parse(FUNCTIONS / "wiring.py"))
SETTINGS = defined(parse(FUNCTIONS / "settings.py"))


def attributes_of(tree, module):
    """Return every NAME of `module.NAME` in a tree."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == module
    }


def names_in(tree):
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def closure(start, graph):
    found, waiting = set(), set(start)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= names_in(graph[name]) & set(graph) - found
    return found


def beside(tree):
    """Return what a module imports from its neighbours: local name to module."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("func"):
            _, _, module = node.module.partition(".")
            for alias in node.names:
                file = module or alias.name
                if (FUNCTIONS / f"{file}.py").exists():
                    found[alias.name] = file
    return found


def builders_of(module, start):
    """Return what of `wiring` the function `start` of a module comes to use."""
    tree = parse(FUNCTIONS / f"{module}.py")
    bodies = defined(tree)
    used = [bodies[name] for name in closure({start} & set(bodies), bodies)]
    found = set().union(*(attributes_of(body, "wiring") for body in used))
    for name, other in beside(tree).items():
        if other not in {"wiring", "settings", "replies", module}:
            called = set().union(*(attributes_of(body, name) for body in used))
            named = {name} if any(name in names_in(body) for body in used) else set()
            for one in called | named:
                found |= builders_of(other, one)
    return found


def read_by(name):
    """Follow a function to the variables that it reads."""
    builders = builders_of(name, name)
    decorators = attributes_of(parse(FUNCTIONS / f"{name}.py"), "replies")
    if decorators & {"as_event", "as_guarded_json"}:
        builders.add("callers")
    wired = closure(builders, WIRING)
    loaders = set().union(*(attributes_of(WIRING[one], "settings") for one in wired))
    read = closure(loaders & set(SETTINGS), SETTINGS)
    return {
        node.value
        for one in read
        for node in ast.walk(SETTINGS[one])
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"[A-Z][A-Z0-9_]+", node.value)
    }


@each_function
def test_every_function_has_a_file_and_a_function_of_its_name(name):
    entry = defined(parse(FUNCTIONS / f"{name}.py"))[name]

    decorators = {ast.unparse(decorator) for decorator in entry.decorator_list}
    is_event = "topic" in DEPLOYED[name]["trigger"]
    kind = "cloud_event" if is_event else "http"
    is_asgi = isinstance(entry, ast.AsyncFunctionDef)
    framework = "functions_framework.aio" if is_asgi else "functions_framework"
    assert f"{framework}.{kind}" in decorators
    assert is_asgi == DEPLOYED[name].get("asgi", False)


def test_every_entry_file_is_listed():
    entries = {
        path.stem
        for path in FUNCTIONS.glob("*.py")
        if re.search(r"^@functions_framework\.", path.read_text(), re.MULTILINE)
    }

    assert entries == set(DEPLOYED)


@each_function
def test_every_function_lists_exactly_the_settings_that_it_reads(name):
    listed = DEPLOYED[name]["settings"]

    assert sorted(listed) == listed
    assert set(listed) == read_by(name)


@each_function
def test_every_function_says_everything(name):
    function = DEPLOYED[name]

    assert set(function) - SOMETIMES == KEYS
    assert Path(FUNCTIONS.parent, function["requirements"]).exists()
    assert re.fullmatch(r"[1-9][0-9]*(Mi|Gi)", function["memory"])
    # A push subscription waits no longer than this.
    assert (
        1 <= function["timeout_s"] <= (540 if "topic" in function["trigger"] else 3600)
    )


@each_function
def test_every_topic_is_one_of_ours(name):
    topic = DEPLOYED[name]["trigger"].get("topic")

    assert topic is None or topic in TOPICS


@each_function
def test_only_devices_and_the_public_come_without_a_token(name):
    entry = defined(parse(FUNCTIONS / f"{name}.py"))[name]
    decorators = {ast.unparse(decorator) for decorator in entry.decorator_list}
    is_open = bool({"devices", "public"} & set(DEPLOYED[name]["callers"]))

    assert is_open == ("ALLOWED_CALLERS" not in DEPLOYED[name]["settings"])
    assert is_open == (not decorators & {"replies.as_event", "replies.as_guarded_json"})


def test_all_instances_together_leave_the_database_connections():
    taken = sum(
        POOL * function["max_instances"]
        for function in DEPLOYED.values()
        if "LEDGER_URL" in function["settings"]
    )

    assert taken <= DATABASE_CONNECTIONS - 10
