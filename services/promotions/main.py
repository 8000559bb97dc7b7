"""The promotions role, put together."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from google.protobuf import descriptor
from tessera.promotions.v1 import (
    campaign_service_pb2,
    catalogue_service_pb2,
    checkout_service_pb2,
    draw_service_pb2,
    instant_win_service_pb2,
    local_campaign_service_pb2,
    offline_service_pb2,
    program_service_pb2,
    receipt_service_pb2,
    referral_service_pb2,
    reservation_service_pb2,
    subscription_service_pb2,
)

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
#: Planning costs more than our statements, so they are planned once, whatever the parameters. The
#: tables may be empty then and full an hour later: a plan must not rest on their being small.
_SESSION = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


_CATALOGUE = catalogue_service_pb2.DESCRIPTOR.services_by_name["CatalogueService"]
_CAMPAIGNS = campaign_service_pb2.DESCRIPTOR.services_by_name["CampaignService"]
_LOCAL = local_campaign_service_pb2.DESCRIPTOR.services_by_name["LocalCampaignService"]
_PROGRAMS = program_service_pb2.DESCRIPTOR.services_by_name["ProgramService"]
_REFERRALS = referral_service_pb2.DESCRIPTOR.services_by_name["ReferralService"]
_DRAWS = draw_service_pb2.DESCRIPTOR.services_by_name["DrawService"]
_INSTANT_WINS = instant_win_service_pb2.DESCRIPTOR.services_by_name["InstantWinService"]
_SUBSCRIPTIONS = subscription_service_pb2.DESCRIPTOR.services_by_name["SubscriptionService"]
_RESERVATIONS = reservation_service_pb2.DESCRIPTOR.services_by_name["ReservationService"]
_OFFLINE = offline_service_pb2.DESCRIPTOR.services_by_name["OfflineService"]
_RECEIPTS = receipt_service_pb2.DESCRIPTOR.services_by_name["ReceiptService"]
_CHECKOUT = checkout_service_pb2.DESCRIPTOR.services_by_name["CheckoutService"]
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
    enter = stack.enter_async_context
    db = await enter(database.Database.open(settings.database, session=_SESSION))
    hot = await enter(hotstore.Hotstore.open(settings.hotstore))
    members, books = await _connect(settings, stack)
    relay = outbox.Relay(db, hot, role=_ROLE)
    goods, months = catalogue.Catalogue(), storage.keys.Months(db)
    sets = rulesets.Rulesets(db, kept=settings.rulesets_kept)
    terms = terms_of(settings)
    programs = book.Book(db, zone=terms.zone, now=now)
    tidings = news.News(db, goods, sets, programs, interval_s=settings.refresh_interval_s)
    rooms = preparation.Preparation(books, settings)
    paying = payouts.Payouts(db, books)
    counts = counting.Counting(db, programs, terms, payouts=paying, now=now)
    standing = programs_members.Members(db, programs, counts, now=now)
    looks = reviews.Reviews(db, counts, interval_s=settings.review_interval_s)
    settled = settlement.Settlement(db, books, terms, counting=counts, relay=relay, now=now)
    patience_s = settings.evaluate_patience_ms / 1000
    collector = facts.Collector(
        goods, members, books, terms, members=standing, patience_s=patience_s
    )
    promised = promises.Promises(
        db, rulesets=sets, collector=collector, settlement=settled, terms=terms, now=now
    )
    recovered = recovery.Recovery(db, settled, promised, settings.recovery, months=months, now=now)
    reserved = reserving.Reserving(db, rulesets=sets, ledger=books, terms=terms, now=now)
    bought = purchases.Purchases(
        db,
        rulesets=sets,
        collector=collector,
        offers=offers.Offers(age_s_max=settings.offer_age_s_max),
        settlement=settled,
        promised=promised,
        reserving=reserved,
        printing=printing.Printing(books, zone=terms.zone),
        drawing=chances.Chances(db, now=now),
        ledger=books,
        terms=terms,
        late_h_max=settings.offline.late_h_max,
        months=months,
        now=now,
    )
    returned = returning.Returns(
        db,
        rulesets=sets,
        settlement=settled,
        promised=promised,
        ledger=books,
        goods=goods,
        owes=terms.owes,
        ahead_s_max=settings.occurred_ahead_s_max,
        now=now,
    )
    serving = server.Server(
        _ROLE, settings.server, verifier=verifier, checks={"postgresql": db.ping}
    )
    currency, ahead = settings.currency_code, settings.occurred_ahead_s_max
    _add(serving, _CATALOGUE, CatalogueServicer(db, tidings, currency_code=currency))
    publisher = publishing.Publishing(
        db, settings.campaigns, sets=sets, rooms=rooms, relay=relay, now=now
    )
    servicer = CampaignServicer(
        db, publisher=publisher, rooms=rooms, currency_code=currency, now=now
    )
    _add(serving, _CAMPAIGNS, servicer)
    _add(serving, _LOCAL, LocalCampaignServicer(db, publisher=publisher, now=now))
    making_good = compensations.Compensations(
        db,
        books,
        points_asset=settings.points.asset_code,
        units_max=settings.compensation_units_max,
        now=now,
    )
    till = CheckoutServicer(
        db,
        bought,
        returned,
        making_good,
        bounds=settings.offline,
        terms=terms.points,
        ahead_s_max=ahead,
        now=now,
    )
    _add(serving, _CHECKOUT, till)
    _add(serving, _REFERRALS, ReferralServicer(db, members, zone=terms.zone, now=now))
    _add(serving, _INSTANT_WINS, InstantWinServicer(db, now=now))
    _add(serving, _DRAWS, DrawServicer(db, terms, payouts=paying, now=now))
    _add(serving, _SUBSCRIPTIONS, SubscriptionServicer(db, members, zone=terms.zone, now=now))
    again = reruns.Reruns(goods, sets, collector)
    desk = ReceiptServicer(
        db,
        bought,
        again,
        identity=members,
        making_good=making_good,
    )
    _add(serving, _RECEIPTS, desk)
    _add(serving, _RESERVATIONS, ReservationServicer(bought, reserved))
    happened = offline.Offline(
        db,
        settings.offline,
        rulesets=sets,
        collector=collector,
        purchases=bought,
        settlement=settled,
        terms=terms,
        months=months,
        now=now,
    )
    told = OfflineServicer(
        db, happened, bounds=settings.offline, terms=terms.points, ahead_s_max=ahead, now=now
    )
    _add(serving, _OFFLINE, told)
    held = ProgramServicer(
        db,
        book=programs,
        counting=counts,
        members=standing,
        identity=members,
        zone=terms.zone,
        now=now,
    )
    _add(serving, _PROGRAMS, held)
    for work in (members, books, settled, rooms, publisher, recovered, looks, paying, relay):
        serving.background(type(work).__name__.lower(), work.run)
    serving.background("listen", tidings.listen)
    serving.background("poll", tidings.poll)
    return Role(serving, tidings, goods, sets, recovered, looks, publisher)


async def _connect(
    settings: config.Settings, stack: AsyncExitStack
) -> tuple[identity.Identity, ledger.Ledger]:
    tokens = clients.Tokens(settings.auth)
    to_identity = await stack.enter_async_context(
        clients.channel(settings.identity_address, service=identity.SERVICE, tokens=tokens)
    )
    to_ledger = await stack.enter_async_context(
        clients.channel(settings.ledger_address, service=ledger.SERVICE, tokens=tokens)
    )
    return identity.Identity(to_identity), ledger.Ledger(to_ledger)


def _add(serving: server.Server, service: descriptor.ServiceDescriptor, servicer: object) -> None:
    serving.add(
        servicer,
        service,
        low_priority={method.name for method in service.methods if method.name in _LOW},
    )


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
