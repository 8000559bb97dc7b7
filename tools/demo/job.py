"""The main job, step by step: load the chain, replay its year, read it back, prove it."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from tessera.ledger.v1 import account_pb2
from tessera.promotions.v1 import (
    campaign_pb2,
    checkout_pb2,
    checkout_service_pb2,
)

from services.chassis import timestamps
from tools import invocation
from tools.demo import (
    audit,
    baskets,
    catalogue,
    coupons,
    dataset,
    households,
    loading,
    plan,
    program,
    proof,
    reading,
    recomputation,
    session,
)
from tools.demo.baskets import Baskets
from tools.demo.coupons import Coupons
from tools.demo.dataset import Calendar
from tools.demo.households import Households
from tools.demo.loading import Loaded
from tools.demo.plan import Plan
from tools.demo.program import Offer
from tools.demo.proof import Check, Value
from tools.demo.reading import Account, Receipts
from tools.demo.replay import Journal, Tills
from tools.demo.session import Login, Progress, Session, Timings

#: Sent again at the end: all of a usual replay, a part of the year that is spread over it.
_SENT_AGAIN_MAX = 6_000
_BASE = "base"
_RULESET_S_MAX = 20.0
_POLL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to replay: `receipts` None is the whole year; `workers` tills at a time."""

    receipts: int | None
    workers: int


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Where to call, and as whom; `ledger_dsn` where the ledger's own database may be read."""

    address: str
    admin: Login
    till: Login
    ledger_dsn: str | None = None


@dataclass(frozen=True, kw_only=True)
class Chain:
    """What the data set holds, moved to the present."""

    calendar: Calendar
    people: Households
    coupons: Coupons
    offers: Sequence[Offer]
    bought: Baskets
    plan: Plan

    @property
    def start_time(self) -> datetime:
        """The wall-clock time of the stores at which the year begins."""
        return dataset.FIRST_DAY + self.calendar.shift


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Everything there is to tell."""

    chain: Chain
    was_loaded: bool
    journal: Journal
    replay_s: float
    receipts: Receipts
    value: Value
    checks: Sequence[Check]
    timings: Sequence[Timings]

    @property
    def passed(self) -> bool:
        """True when every check passed."""
        return proof.all_passed(self.checks)


class Unsuitable(Exception):  # noqa: N818  an answer to the user, no error of ours
    """The stack is not one that the demo can prove anything on."""


async def perform(gateway: Gateway, options: Options, progress: Progress) -> Outcome:
    """Do the whole job.

    Raises session.Refused when the platform refuses a part of it, and Unsuitable when others have
    campaigns there.
    """
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(session.connect(gateway.address, gateway.admin))
        till = await stack.enter_async_context(session.connect(gateway.address, gateway.till))
        live = await loading.find_campaigns(admin)
        chain = await asyncio.to_thread(_prepare, _find_calendar(live), options.receipts)
        _require_ours(live, chain)
        was_loaded = _is_complete(live, chain.offers)
        loaded = await _load(admin, chain, live if was_loaded else (), progress)
        await _wait_for_ruleset(till, chain.plan, loaded.ruleset_version)
        tills = Tills(chain.plan, till, resuming=was_loaded)
        start = time.monotonic()
        await _replay(tills, chain.plan, options.workers, progress)
        replay_s = time.monotonic() - start
        receipts = await reading.read_receipts(till, chain.plan, loaded.campaigns, progress)
        value = await _read_value(admin, chain, loaded, receipts, progress)
        checks = await asyncio.to_thread(_prove, chain, loaded, receipts, value)
        checks.append(await _prove_sums(value, gateway.ledger_dsn))
        failures = till.timings.retries + admin.timings.retries
        checks.append(proof.compare_copies(value, after_failures=failures > 0))
        checks.append(await _prove_again(admin, tills, value, progress))
        return Outcome(
            chain=chain,
            was_loaded=was_loaded,
            journal=tills.journal,
            replay_s=replay_s,
            receipts=receipts,
            value=value,
            checks=checks,
            timings=(till.timings, admin.timings),
        )


def _prepare(calendar: Calendar, count: int | None) -> Chain:
    people = households.read()
    found = coupons.read(calendar)
    bought = baskets.read(calendar, count=count)
    return Chain(
        calendar=calendar,
        people=people,
        coupons=found,
        offers=program.write(dataset.FIRST_DAY + calendar.shift, found.offers),
        bought=bought,
        plan=plan.write(bought, people, found),
    )


def _find_calendar(live: Iterable[campaign_pb2.Campaign]) -> Calendar:
    """Return the calendar of an earlier load, which its campaigns tell, or today's."""
    title = program.title_of(_BASE)
    for campaign in live:
        if campaign.rules.title.en == title:
            start = timestamps.read(campaign.rules.validity.period.start_time)
            return Calendar((start.date() - dataset.FIRST_DAY.date()).days // 7)
    return Calendar.ending_before(datetime.now(UTC).date())


def _require_ours(live: Iterable[campaign_pb2.Campaign], chain: Chain) -> None:
    titles = {offer.rules.title.en for offer in chain.offers}
    stores = set(chain.plan.sales["store_id"])
    for campaign in live:
        only = set(campaign.rules.audience.store_ids)
        elsewhere = only and only.isdisjoint(stores)
        if campaign.rules.title.en not in titles and not elsewhere:
            raise Unsuitable(
                f"“{campaign.rules.title.en}” is live here and not a campaign of the demo, so the"
                " receipts would not be those that the proof expects. Give the demo a stack of its"
                " own with --data FOLDER, or empty this one with: "
                + invocation.command("stack reset")
            )


def _is_complete(live: Iterable[campaign_pb2.Campaign], offers: Iterable[Offer]) -> bool:
    titles = {campaign.rules.title.en for campaign in live}
    return all(offer.rules.title.en in titles for offer in offers)


async def _load(
    admin: Session, chain: Chain, live: Iterable[campaign_pb2.Campaign], progress: Progress
) -> Loaded:
    if live:
        return await loading.recognise(admin, chain.people, live, chain.offers, progress)
    goods = await asyncio.to_thread(catalogue.read)
    return await loading.load(
        admin, catalogue=goods, people=chain.people, offers=chain.offers, progress=progress
    )


async def _wait_for_ruleset(till: Session, planned: Plan, version: int) -> None:
    """Wait until the rule set that holds the program decides."""
    cart = checkout_pb2.Cart(
        store_id=planned.sales["store_id"][0],
        channel=campaign_pb2.CHANNEL_TILL,
        currency_code=dataset.CURRENCY,
        lines=[
            checkout_pb2.CartLine(
                line_id="1", sku="0", quantity_thousandths=1_000, unit_price_minor=100
            )
        ],
    )
    request = checkout_service_pb2.EvaluateRequest(cart=cart)
    deadline = time.monotonic() + _RULESET_S_MAX
    while time.monotonic() < deadline:
        answer = await till.ask("Evaluate", till.checkout.Evaluate, request)
        if answer.evaluation.ruleset_version >= version:
            till.timings.latencies_ms.clear()
            return
        await asyncio.sleep(_POLL_S)
    raise TimeoutError(f"rule set {version} is not in use after {_RULESET_S_MAX:g} s")


async def _replay(tills: Tills, planned: Plan, workers: int, progress: Progress) -> None:
    total = planned.steps.height
    finished = 0

    def done() -> None:
        nonlocal finished
        finished += 1
        progress("replay", finished, total)

    progress("replay", 0, total)
    await tills.run(workers=workers, done=done)


async def _read_value(
    admin: Session, chain: Chain, loaded: Loaded, receipts: Receipts, progress: Progress
) -> Value:
    assets = await reading.read_assets(admin)
    shoppers = sorted(set(receipts.receipts["member_id"]) - {""})
    accounts = _list_accounts(assets, chain, loaded, shoppers)
    movements = await reading.read_movements(admin, shoppers, progress)
    copies = await reading.read_balances(
        admin, accounts, "balances", progress, min_version=reading.COPIES
    )
    truth = await reading.read_balances(
        admin, accounts, "balances on disk", progress, min_version=reading.TRUTH
    )
    return Value(movements=movements, balances=truth, copies=copies, assets=assets)


def _list_accounts(
    assets: Iterable[str], chain: Chain, loaded: Loaded, shoppers: Sequence[str]
) -> list[Account]:
    """Return every account that may hold anything: members', campaigns', the world's."""
    member, world = account_pb2.OWNER_TYPE_MEMBER, account_pb2.OWNER_TYPE_WORLD
    granted = {
        loaded.campaigns[offer.key]: [loaded.members[household] for household in offer.granted_to]
        for offer in chain.offers
    }
    accounts: list[Account] = []
    for code in assets:
        accounts += [(world, purpose, code) for purpose in reading.WORLD]
        kind, _, rest = code.partition(".")
        if kind == reading.POINTS:
            accounts += [(member, member_id, code) for member_id in loaded.members.values()]
        elif kind == "coupon":
            accounts += [(member, member_id, code) for member_id in granted.get(rest, ())]
        elif kind == "use":
            accounts += [(member, member_id, code) for member_id in shoppers]
        else:
            accounts += [_campaign_account(name, code) for name in loaded.campaigns.values()]
    return accounts


def _campaign_account(campaign_id: str, asset_code: str) -> Account:
    return account_pb2.OWNER_TYPE_CAMPAIGN, campaign_id, asset_code


def _prove(chain: Chain, loaded: Loaded, receipts: Receipts, value: Value) -> list[Check]:
    books = recomputation.recompute(
        chain.plan,
        chain.coupons.offers,
        proof.read_choices(receipts),
        start_time=chain.start_time,
    )
    return [
        *proof.compare_receipts(chain.plan, books, receipts),
        *proof.compare_limits(books, receipts, *_limits(chain, loaded, value)),
        *proof.compare_members(receipts, books, value),
    ]


def _limits(
    chain: Chain, loaded: Loaded, value: Value
) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
    """Return by campaign its limits, and what the ledger still has or has counted."""
    limits, left = {}, {}
    for offer in chain.offers:
        if offer.key in proof.LIMITED:
            given = offer.rules.limits
            limits[offer.key] = (given.uses_max, given.budget_minor)
            asset_code = f"budget.{dataset.CURRENCY}" if given.budget_minor else "uses"
            account = _campaign_account(loaded.campaigns[offer.key], asset_code)
            left[offer.key] = value.balances[account].available
    return limits, left


async def _prove_sums(value: Value, ledger_dsn: str | None) -> Check:
    if ledger_dsn is None or not any(proof.sum_up(value).values()):
        return proof.compare_sums(value)
    return proof.compare_sums(value, all_accounts=await audit.sum_up(ledger_dsn))


async def _prove_again(admin: Session, tills: Tills, value: Value, progress: Progress) -> Check:
    calls, news = await tills.repeat(count_max=_SENT_AGAIN_MAX, progress=progress)
    after = await reading.read_balances(
        admin, list(value.balances), "balances on disk", progress, min_version=reading.TRUTH
    )
    return proof.compare_again(calls=calls, news=news, before=value.balances, after=after)
