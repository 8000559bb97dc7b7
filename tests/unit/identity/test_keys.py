"""The schedule of signing keys."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.identity.engine import keys

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = keys.Policy(
    publish_lead=15 * MINUTE,
    rotation=timedelta(days=1),
    token_life=15 * MINUTE,
    retire_margin=10 * MINUTE,
)


def dates(key_id: str, publish: timedelta, sign: timedelta) -> keys.Dates:
    return keys.Dates(key_id=key_id, publish_time=NOON + publish, sign_time=NOON + sign)


def test_first_key_signs_at_once() -> None:
    """Before the first key nobody can hold an older document."""
    assert keys.plan([], policy=POLICY, now=NOON) == keys.Plan(next_sign_time=NOON, retired=())


def test_next_key_is_published_a_lead_before_it_is_due() -> None:
    """The successor appears exactly `publish_lead` before the rotation."""
    first = dates("a", timedelta(), timedelta())
    due = NOON + POLICY.rotation
    early = due - POLICY.publish_lead - timedelta(microseconds=1)
    assert keys.plan([first], policy=POLICY, now=early).is_empty
    on_time = due - POLICY.publish_lead
    assert keys.plan([first], policy=POLICY, now=on_time).next_sign_time == due


def test_overdue_key_is_still_published_before_it_signs() -> None:
    """After a long stand-still the old key signs on until verifiers know the new one."""
    first = dates("a", timedelta(), timedelta())
    late = NOON + 5 * POLICY.rotation
    plan = keys.plan([first], policy=POLICY, now=late)
    assert plan.next_sign_time == late + POLICY.publish_lead


def test_phases_follow_each_other() -> None:
    """One key's life, read at the borders of its phases."""
    first = dates("a", timedelta(), timedelta())
    second = dates("b", POLICY.rotation - POLICY.publish_lead, POLICY.rotation)
    border = NOON + POLICY.rotation
    end = border + POLICY.token_life + POLICY.retire_margin
    tick = timedelta(microseconds=1)

    def phases(now: datetime) -> tuple[str, str]:
        found = keys.phases_of([second, first], policy=POLICY, now=now)
        return found["a"], found["b"]

    assert phases(border - tick) == ("signing", "published")
    assert phases(border) == ("retiring", "signing")
    assert phases(end - tick) == ("retiring", "signing")
    assert phases(end) == ("retired", "signing")
    assert keys.plan([first, second], policy=POLICY, now=end).retired == ("a",)


def test_clock_behind_the_makers_still_finds_a_signer() -> None:
    """A process that is late by seconds signs with the very first key too."""
    first = dates("a", timedelta(), timedelta())
    before = NOON - timedelta(seconds=3)
    assert keys.phases_of([first], policy=POLICY, now=before) == {"a": keys.Phase.SIGNING}
    assert keys.plan([first], policy=POLICY, now=before).is_empty
    assert keys.phases_of([], policy=POLICY, now=before) == {}


@given(
    steps=st.lists(st.integers(1, 3 * 24 * 60), min_size=1, max_size=60),
    rotation=st.integers(30, 7 * 24 * 60),
    lead=st.integers(10, 60),
    life=st.integers(1, 60),
)
def test_no_token_ever_meets_a_verifier_that_cannot_know_its_key(
    steps: list[int], rotation: int, lead: int, life: int
) -> None:
    """Over any history of wake-ups: one signer, published long before, kept long after."""
    policy = keys.Policy(
        publish_lead=lead * MINUTE,
        rotation=rotation * MINUTE,
        token_life=life * MINUTE,
        retire_margin=10 * MINUTE,
    )
    live: list[keys.Dates] = []
    gone: dict[str, datetime] = {}
    now, number = NOON, 0
    for step in steps:
        plan = keys.plan(live, policy=policy, now=now)
        for key_id in plan.retired:
            gone[key_id] = now
        live = [key for key in live if key.key_id not in plan.retired]
        if plan.next_sign_time is not None:
            number += 1
            live.append(
                keys.Dates(key_id=f"{number}", publish_time=now, sign_time=plan.next_sign_time)
            )
        phases = list(keys.phases_of(live, policy=policy, now=now).values())
        assert phases.count(keys.Phase.SIGNING) == 1
        for key in live:
            assert key.key_id == "1" or key.sign_time - key.publish_time >= policy.publish_lead
        for key_id, left in gone.items():
            successor = min(key.sign_time for key in live if int(key.key_id) > int(key_id))
            if int(key_id) + 1 == min(int(key.key_id) for key in live):
                assert left >= successor + policy.token_life
        now += step * MINUTE
