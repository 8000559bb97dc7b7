"""Campaigns that name other campaigns: by name in files, by id in an installation.

An id is made where a campaign is made, a name is the same everywhere. Between the two, in messages
that were read from files, stands an id that follows from the name.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import TypeVar

from google.protobuf import message

Named = TypeVar("Named", bound=message.Message)
ID = re.compile(r"cmp_[0-9a-f]{32}")
#: Every field of the rules that names a campaign is called so.
FIELD = "campaign_id"


def placeholder(key: str) -> str:
    """Return the id that stands for a name."""
    return "cmp_" + hashlib.sha256(f"tessera.campaign.{key}".encode()).hexdigest()[:32]


def find(rules: message.Message) -> set[str]:
    """Return the ids that the rules name."""
    return {getattr(holder, FIELD) for holder in _holders(rules)}


def replace(rules: Named, ids: Mapping[str, str]) -> Named:
    """Return the rules with other ids for those that they name; the unknown stay as they are."""
    made = type(rules)()
    made.CopyFrom(rules)
    for holder in _holders(made):
        known = getattr(holder, FIELD)
        setattr(holder, FIELD, ids.get(known, known))
    return made


def _holders(value: message.Message) -> Iterator[message.Message]:
    """Return every message inside that names a campaign."""
    for one, held in value.ListFields():
        if one.name == FIELD:
            yield value
        elif one.message_type is not None:
            for inner in held if one.is_repeated else (held,):
                yield from _holders(inner)
