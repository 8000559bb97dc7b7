"""The tables of the body check, as they are rendered from contracts."""

import re

from services.gateway import contracts, fields


def _table(script: str, name: str) -> dict[str, str]:
    block = script[script.index(f"local {name} = {{") :]
    return dict(
        re.findall(r'^  \["([^"]+)"\] = \{(.*)\},$', block[: block.index("\n}")], re.MULTILINE)
    )


def test_each_kind_of_field_has_its_shape(draft):
    """Lists, maps, messages, free values and single ones are told apart."""
    entry = draft.message("Entry", key="string", value="tessera.shop.v1.Leaf")
    entry.options.map_entry = True
    draft.message("Leaf", on="bool")
    draft.message(
        "Tree",
        size_minor="int64",
        leaf="tessera.shop.v1.Leaf",
        leaves="[]tessera.shop.v1.Leaf",
        words="[]string",
        by_name="[]tessera.shop.v1.Entry",
        free="google.protobuf.Struct",
        when="google.protobuf.Timestamp",
    )
    draft.method("Plant", scope="a", request="Tree", http=[("post", "/v1/a", "*")])
    messages = _table(fields.script(draft.read()), "MESSAGES")
    assert messages["tessera.shop.v1.Tree"] == (
        '{"size_minor", "size_minor", "int64"}, '
        '{"leaf", "leaf", "message", "tessera.shop.v1.Leaf"}, '
        '{"leaves", "leaves", "message", "tessera.shop.v1.Leaf", true}, '
        '{"words", "words", "text", "", true}, '
        '{"by_name", "by_name", "map", "tessera.shop.v1.Entry"}, '
        '{"free", "free", "any"}, '
        '{"when", "when", "time"}'
    )
    assert messages["tessera.shop.v1.Leaf"] == '{"on", "on", "truth"}'


def test_both_names_of_a_field_are_known():
    """JSON names come from the descriptors, beside the names of the contract."""
    messages = _table(fields.script(contracts.load()), "MESSAGES")
    assert (
        '{"request_id", "requestId", "text"}'
        in messages["tessera.identity.v1.RegisterMemberRequest"]
    )


def test_recursive_messages_end():
    """A message may hold itself; only messages that requests reach are listed."""
    messages = _table(fields.script(contracts.load()), "MESSAGES")
    assert messages
    assert not [name for name in messages if name.endswith("Response")]


def test_body_of_a_method_is_the_whole_request_a_field_or_nothing(draft):
    """Three kinds of bindings, three kinds of entries."""
    draft.message("Part", name="string")
    draft.message("Order", parts="[]tessera.shop.v1.Part", note="string")
    draft.method("Whole", scope="a", request="Order", http=[("post", "/v1/a", "*")])
    draft.method("Field", scope="a", request="Order", http=[("post", "/v1/b", "parts")])
    draft.method("None", scope="a", request="Order", http=[("get", "/v1/c", "")])
    draft.method("Internal", scope="a", request="Order")
    bodies = _table(fields.script(draft.read()), "BODIES")
    assert bodies == {
        "/tessera.shop.v1.ShopService/Whole": (
            'shape = "message", message = "tessera.shop.v1.Order"'
        ),
        "/tessera.shop.v1.ShopService/Field": (
            'shape = "message", message = "tessera.shop.v1.Part", list = true'
        ),
    }
