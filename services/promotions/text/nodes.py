"""YAML as nodes that know their place, read as YAML 1.2 has it: no dates, no octals, no `yes`."""

import re
from typing import Any

import yaml

Node = yaml.Node
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """Resolves what YAML 1.2 resolves."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  the library's own attribute


for _name, _form, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"-?[0-9]+", list("-0123456789")),
    ("float", r"-?[0-9]+\.[0-9]+", list("-0123456789")),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(f"^(?:{_form})$"), _first)


def compose(text: str) -> Node | None:
    """Return the only document of a text, None when it is empty; raises yaml.MarkedYAMLError."""
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def plain(text: str) -> Any:
    """Return the values of a text, as an editor with a schema sees them."""
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def is_null(node: Node) -> bool:
    """Tell whether nothing is written."""
    return bool(node.tag == f"{_TAG}null")


def is_truth(node: Node) -> bool:
    """Tell whether a node is `true` or `false`."""
    return bool(node.tag == f"{_TAG}bool")
