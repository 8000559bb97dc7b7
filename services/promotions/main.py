"""The promotions role, put together."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from google.protobuf import descriptor_pool

from services.chassis import auth, clients, clock, database, hotstore, outbox, server
from services.promotions import (
    catalogue,
    config,
    engine,
    news,
    preparation,
    publishing,
    rulesets,
    storage,
)
from services.promotions.checkout import (
    chances,
    compensations,
    facts,
    offers,
    offline,
    printing,
    promises,
    purchases,
    recovery,
    reruns,
    reserving,
    returning,
    settlement,
)
from services.promotions.peers import identity, ledger
from services.promotions.programs import book, counting, payouts, reviews
from services.promotions.programs import members as programs_members
from services.promotions.servicer.campaigns import CampaignServicer
from services.promotions.servicer.catalogue import CatalogueServicer
from services.promotions.servicer.checkout import CheckoutServicer
from services.promotions.servicer.draws import DrawServicer
from services.promotions.servicer.instant_wins import InstantWinServicer
from services.promotions.servicer.local_campaigns import LocalCampaignServicer
from services.promotions.servicer.offline import OfflineServicer
from services.promotions.servicer.programs import ProgramServicer
from services.promotions.servicer.receipts import ReceiptServicer
from services.promotions.servicer.referrals import ReferralServicer
from services.promotions.servicer.reservations import ReservationServicer
from services.promotions.servicer.subscriptions import SubscriptionServicer
from services.promotions.wire import batches

_ROLE = "promotions"
_PACKAGE = "tessera.promotions.v1"
#: Planning costs more than our statements, so they are planned once, whatever the parameters. The
#: tables may be empty then and full an hour later: a plan must not rest on their being small.
_SESSION = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
#: Who lists can wait; who stands at a till cannot.
_LOW = frozenset(
    {
        "ListStores",
        "ListCampaigns",
        "ListCampaignChanges",
        "ListPrograms",
        "ListProgramChanges",
        "ListTierChanges",
        "ListDueRenewals",
        "ListInstantDraws",
        "ListConflicts",
        "SearchReceipts",
        "RerunReceipt",
    }
)


@dataclass(frozen=True, slots=True)
class Role:
    """The parts of a process that others look at; `server` is not started yet."""

    server: server.Server
    news: news.News
    goods: catalogue.Catalogue
    sets: rulesets.Rulesets
    recovery: recovery.Recovery
    reviews: reviews.Reviews
    publisher: publishing.Publishing


async def main(settings: config.Settings) -> None:
    """Serve until the process is told to stop."""
    async with AsyncExitStack() as stack:
        role = await assemble(settings, stack, verifier=auth.Verifier(settings.auth))
        await role.news.begin()
        await role.server.serve()


async def assemble(
    settings: config.Settings,
    stack: AsyncExitStack,
    *,
    verifier: auth.Verifier | None,
    now: clock.Clock = clock.system,
) -> Role:
    """Put the role together; `stack` closes what it opens. Only tests do without a verifier."""
    ground = await _lay_ground(settings, stack, now=now)
    copies = _copy(ground)
    programs = _count(ground, copies)
    campaigns = _publish(ground, copies)
    checkout = _sell(ground, copies, programs)
    serving = server.Server(
        _ROLE, settings.server, verifier=verifier, checks={"postgresql": ground.db.ping}
    )
    _serve(serving, _of_campaigns(ground, copies, campaigns))
    _serve(serving, _of_members(ground, programs))
    _serve(serving, _of_receipts(ground, copies, checkout))
    for work in (
        *(ground.identity, ground.ledger, checkout.settlement, campaigns.rooms),
        *(campaigns.publisher, checkout.recovery, programs.reviews, programs.payouts, ground.relay),
    ):
        serving.background(type(work).__name__.lower(), work.run)
    serving.background("listen", copies.news.listen)
    serving.background("poll", copies.news.poll)
    return Role(
        serving,
        copies.news,
        copies.goods,
        copies.sets,
        checkout.recovery,
        programs.reviews,
        campaigns.publisher,
    )


@dataclass(frozen=True, slots=True)
class _Ground:
    """What everything stands on."""

    settings: config.Settings
    terms: batches.Terms
    db: database.Database
    relay: outbox.Relay
    identity: identity.Identity
    ledger: ledger.Ledger
    now: clock.Clock


async def _lay_ground(
    settings: config.Settings, stack: AsyncExitStack, *, now: clock.Clock
) -> _Ground:
    enter = stack.enter_async_context
    db = await enter(database.Database.open(settings.database, session=_SESSION))
    hot = await enter(hotstore.Hotstore.open(settings.hotstore))
    tokens = clients.Tokens(settings.auth)
    to_identity = await enter(
        clients.channel(settings.identity_address, service=identity.SERVICE, tokens=tokens)
    )
    to_ledger = await enter(
        clients.channel(settings.ledger_address, service=ledger.SERVICE, tokens=tokens)
    )
    return _Ground(
        settings=settings,
        terms=terms_of(settings),
        db=db,
        relay=outbox.Relay(db, hot, role=_ROLE),
        identity=identity.Identity(to_identity),
        ledger=ledger.Ledger(to_ledger),
        now=now,
    )


@dataclass(frozen=True, slots=True)
class _Copies:
    """What every process knows by heart, and what keeps it up to date."""

    goods: catalogue.Catalogue
    sets: rulesets.Rulesets
    book: book.Book
    news: news.News


def _copy(ground: _Ground) -> _Copies:
    db, settings = ground.db, ground.settings
    goods = catalogue.Catalogue()
    sets = rulesets.Rulesets(db, kept=settings.rulesets_kept)
    programs = book.Book(db, zone=ground.terms.zone, now=ground.now)
    tidings = news.News(db, goods, sets, programs, interval_s=settings.refresh_interval_s)
    return _Copies(goods, sets, programs, tidings)


@dataclass(frozen=True, slots=True)
class _Programs:
    """What members are counted by."""

    book: book.Book
    payouts: payouts.Payouts
    counting: counting.Counting
    members: programs_members.Members
    reviews: reviews.Reviews


def _count(ground: _Ground, copies: _Copies) -> _Programs:
    db, now = ground.db, ground.now
    paying = payouts.Payouts(db, ground.ledger)
    counts = counting.Counting(db, copies.book, ground.terms, payouts=paying, now=now)
    return _Programs(
        copies.book,
        paying,
        counts,
        programs_members.Members(db, copies.book, counts, now=now),
        reviews.Reviews(db, counts, interval_s=ground.settings.review_interval_s),
    )


@dataclass(frozen=True, slots=True)
class _Campaigns:
    """What puts campaigns live."""

    rooms: preparation.Preparation
    publisher: publishing.Publishing


def _publish(ground: _Ground, copies: _Copies) -> _Campaigns:
    rooms = preparation.Preparation(ground.ledger, ground.settings)
    publisher = publishing.Publishing(
        ground.db,
        ground.settings.campaigns,
        sets=copies.sets,
        rooms=rooms,
        relay=ground.relay,
        now=ground.now,
    )
    return _Campaigns(rooms, publisher)


@dataclass(frozen=True, slots=True)
class _Checkout:
    """What happens to carts and receipts."""

    collector: facts.Collector
    settlement: settlement.Settlement
    promises: promises.Promises
    recovery: recovery.Recovery
    reserving: reserving.Reserving
    purchases: purchases.Purchases
    months: storage.keys.Months


def _sell(ground: _Ground, copies: _Copies, programs: _Programs) -> _Checkout:
    db, terms, now, settings = ground.db, ground.terms, ground.now, ground.settings
    months = storage.keys.Months(db)
    settled = settlement.Settlement(
        db, ground.ledger, terms, counting=programs.counting, relay=ground.relay, now=now
    )
    collector = facts.Collector(
        copies.goods,
        ground.identity,
        ground.ledger,
        terms,
        members=programs.members,
        patience_s=settings.evaluate_patience_ms / 1000,
    )
    promised = promises.Promises(
        db, rulesets=copies.sets, collector=collector, settlement=settled, terms=terms, now=now
    )
    reserved = reserving.Reserving(
        db,
        rulesets=copies.sets,
        promised=promised,
        ledger=ground.ledger,
        terms=terms,
        now=now,
    )
    bought = purchases.Purchases(
        db,
        rulesets=copies.sets,
        collector=collector,
        offers=offers.Offers(age_s_max=settings.offer_age_s_max),
        settlement=settled,
        promised=promised,
        reserving=reserved,
        printing=printing.Printing(ground.ledger, zone=terms.zone),
        drawing=chances.Chances(db, now=now),
        ledger=ground.ledger,
        terms=terms,
        late_h_max=settings.offline.late_h_max,
        months=months,
        now=now,
    )
    recovered = recovery.Recovery(db, settled, promised, settings.recovery, months=months, now=now)
    return _Checkout(collector, settled, promised, recovered, reserved, bought, months)


def _of_campaigns(ground: _Ground, copies: _Copies, campaigns: _Campaigns) -> dict[str, object]:
    db, now, currency = ground.db, ground.now, ground.settings.currency_code
    return {
        "CatalogueService": CatalogueServicer(db, copies.news, currency_code=currency),
        "CampaignService": CampaignServicer(
            db,
            publisher=campaigns.publisher,
            rooms=campaigns.rooms,
            currency_code=currency,
            now=now,
        ),
        "LocalCampaignService": LocalCampaignServicer(db, publisher=campaigns.publisher, now=now),
        "InstantWinService": InstantWinServicer(db, now=now),
    }


def _of_members(ground: _Ground, programs: _Programs) -> dict[str, object]:
    db, zone, now = ground.db, ground.terms.zone, ground.now
    return {
        "ProgramService": ProgramServicer(
            db,
            book=programs.book,
            counting=programs.counting,
            members=programs.members,
            identity=ground.identity,
            zone=zone,
            currency_code=ground.settings.currency_code,
            now=now,
        ),
        "DrawService": DrawServicer(db, ground.terms, payouts=programs.payouts, now=now),
        "ReferralService": ReferralServicer(db, ground.identity, zone=zone, now=now),
        "SubscriptionService": SubscriptionServicer(db, ground.identity, zone=zone, now=now),
    }


def _of_receipts(ground: _Ground, copies: _Copies, checkout: _Checkout) -> dict[str, object]:
    db, now, settings, sold = ground.db, ground.now, ground.settings, checkout.purchases
    made_good = compensations.Compensations(
        db,
        ground.ledger,
        points_asset=settings.points.asset_code,
        units_max=settings.compensation_units_max,
        now=now,
    )
    again = reruns.Reruns(copies.goods, copies.sets, checkout.collector)
    return {
        "CheckoutService": CheckoutServicer(
            db,
            sold,
            _take_back(ground, copies, checkout),
            made_good,
            bounds=settings.offline,
            terms=ground.terms.points,
            ahead_s_max=settings.occurred_ahead_s_max,
            now=now,
        ),
        "ReservationService": ReservationServicer(sold, checkout.reserving),
        "OfflineService": OfflineServicer(
            db,
            _hear(ground, copies, checkout),
            bounds=settings.offline,
            terms=ground.terms.points,
            ahead_s_max=settings.occurred_ahead_s_max,
            now=now,
        ),
        "ReceiptService": ReceiptServicer(
            db, sold, again, identity=ground.identity, making_good=made_good
        ),
    }


def _take_back(ground: _Ground, copies: _Copies, checkout: _Checkout) -> returning.Returns:
    return returning.Returns(
        ground.db,
        rulesets=copies.sets,
        settlement=checkout.settlement,
        promised=checkout.promises,
        ledger=ground.ledger,
        goods=copies.goods,
        owes=ground.terms.owes,
        ahead_s_max=ground.settings.occurred_ahead_s_max,
        now=ground.now,
    )


def _hear(ground: _Ground, copies: _Copies, checkout: _Checkout) -> offline.Offline:
    return offline.Offline(
        ground.db,
        ground.settings.offline,
        rulesets=copies.sets,
        collector=checkout.collector,
        purchases=checkout.purchases,
        settlement=checkout.settlement,
        terms=ground.terms,
        months=checkout.months,
        now=ground.now,
    )


def _serve(serving: server.Server, servicers: Mapping[str, object]) -> None:
    """Serve contracts by their names, which the servicers have loaded."""
    for name, servicer in servicers.items():
        service = descriptor_pool.Default().FindServiceByName(f"{_PACKAGE}.{name}")
        low = {method.name for method in service.methods if method.name in _LOW}
        serving.add(servicer, service, low_priority=low)


def terms_of(settings: config.Settings) -> batches.Terms:
    """Return what the settings say about value."""
    points = settings.points
    return batches.Terms(
        points_asset=points.asset_code,
        currency_code=settings.currency_code,
        zone=ZoneInfo(points.time_zone),
        cap=engine.ReceiptCap(
            share_basis_points=settings.discount_cap.share_max_basis_points,
            amount_minor=settings.discount_cap.amount_max_minor,
        ),
        points=engine.PointsTerms(
            point_value_minor=points.value_minor,
            point_units=points.units,
            points_scale=points.scale,
            payment_share_max_basis_points=points.payment_share_max_basis_points,
            payment_receipt_min_minor=points.payment_receipt_min_minor,
            payment_min_units=points.payment_min_units,
            payment_step_units=points.payment_step_units,
            payment_goods=engine.ItemFilter(**points.payment_goods.model_dump()),
        ),
        partners=points.partners,
        owes=points.shortfall == "OWE",
    )
