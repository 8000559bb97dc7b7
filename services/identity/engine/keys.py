"""The life of a signing key: published, signing, retiring, retired.

Verifiers learn keys from a document that they keep for minutes. A key therefore is published a good
while before it signs, and stays published until the last token it signed has expired. Every date
follows from two that are stored with the key, so all processes come to the same answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise


class Phase(StrEnum):
    """Where a key is in its life."""

    PUBLISHED = "published"
    SIGNING = "signing"
    RETIRING = "retiring"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long each part of a key's life takes.

    `publish_lead` is the time before the first signature, `rotation` the time of signing,
    `token_life` the longest life of a token, `retire_margin` what is added for clocks and caches.
    """

    publish_lead: timedelta
    rotation: timedelta
    token_life: timedelta
    retire_margin: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """A key's name, when verifiers could first see it, and when it begins to sign."""

    key_id: str
    publish_time: datetime
    sign_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now: begin a key that signs from `next_sign_time`, and drop the retired ones."""

    next_sign_time: datetime | None
    retired: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return self.next_sign_time is None and not self.retired


def plan(keys: Sequence[Dates], *, policy: Policy, now: datetime) -> Plan:
    """Return what has to be done at `now`.

    The very first key signs at once: nobody can hold an older document. A later one signs when the
    rotation is due, and never before it was published for `publish_lead`.
    """
    phases = phases_of(keys, policy=policy, now=now)
    retired = tuple(sorted(key for key, phase in phases.items() if phase is Phase.RETIRED))
    if not keys:
        return Plan(next_sign_time=now, retired=retired)
    due = max(key.sign_time for key in keys) + policy.rotation
    if now < due - policy.publish_lead:
        return Plan(next_sign_time=None, retired=retired)
    return Plan(next_sign_time=max(due, now + policy.publish_lead), retired=retired)


def phases_of(keys: Sequence[Dates], *, policy: Policy, now: datetime) -> dict[str, Phase]:
    """Return the phase of each key: exactly one signs, unless there is none.

    The oldest key signs even before its date: it was made by a process whose clock is ahead.
    """
    order = sorted(keys, key=_by_sign_time)
    now = max([now, *(key.sign_time for key in order[:1])])
    phases = {}
    for key, successor in pairwise([*order, None]):
        assert key is not None  # only the last place is empty
        phases[key.key_id] = _phase(key, successor, policy=policy, now=now)
    return phases


def _phase(key: Dates, successor: Dates | None, *, policy: Policy, now: datetime) -> Phase:
    if now < key.sign_time:
        return Phase.PUBLISHED
    if successor is None or now < successor.sign_time:
        return Phase.SIGNING
    last_need = successor.sign_time + policy.token_life + policy.retire_margin
    return Phase.RETIRING if now < last_need else Phase.RETIRED


def _by_sign_time(key: Dates) -> tuple[datetime, str]:
    return key.sign_time, key.key_id
