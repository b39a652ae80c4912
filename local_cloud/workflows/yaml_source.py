"""Read YAML as Workflows does: no duplicate keys, no aliases, no tags."""

import yaml

from local_cloud.workflows.errors import SourceError

SOURCE_MAX_BYTES = 128 * 1024
"""Google's limit for a workflow's source."""


def read_yaml(source: bytes) -> object:
    """Return what the YAML text holds.

    Raises:
        SourceError: It is too long, or no YAML, or says something twice.
    """
    if len(source) > SOURCE_MAX_BYTES:
        sentence = f"expected at most {SOURCE_MAX_BYTES} bytes, {len(source)} came"
        raise SourceError(f"the source is too long: {sentence}")
    try:
        return yaml.load(source, Loader=_Loader)  # noqa: S506  a safe loader
    except yaml.YAMLError as error:
        raise SourceError(f"the source is no YAML: {error}") from error


_BOOLEANS = {"true": True, "false": False}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which by itself takes the last of two equal keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases."""
        if self.check_event(yaml.AliasEvent):
            raise SourceError("the source has a YAML alias, which nothing here needs")
        return super().compose_node(parent, index)

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002  PyYAML's
    ) -> dict[object, object]:
        """Refuse a key that comes twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise SourceError(f"line {line}: the key {key.value!r} comes twice")
            seen.add(key.value)
        return dict(super().construct_mapping(node, deep))

    def construct_yaml_bool(self, node: yaml.ScalarNode) -> bool:
        """Refuse `yes`, `no`, `on` and `off`, which are strings to some readers."""
        if node.value.lower() not in _BOOLEANS:
            line = node.start_mark.line + 1
            raise SourceError(
                f"line {line}: quote {node.value!r}, or write true, false"
            )
        return _BOOLEANS[node.value.lower()]


_Loader.add_constructor("tag:yaml.org,2002:bool", _Loader.construct_yaml_bool)
