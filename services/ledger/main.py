"""Runs the ledger."""

from contextlib import AsyncExitStack
from datetime import timedelta

from google.protobuf import descriptor
from tessera.ledger.v1 import (
    account_service_pb2,
    adjustment_service_pb2,
    books_service_pb2,
    coupon_service_pb2,
    gift_card_service_pb2,
    hold_service_pb2,
    household_service_pb2,
    ledger_service_pb2,
    settlement_service_pb2,
    upload_service_pb2,
)

from services.chassis import auth, clock, database, guesses, hotstore, outbox
from services.chassis.server import Server
from services.ledger import codes
from services.ledger.adjusting import Adjusting
from services.ledger.balances import Balances
from services.ledger.chainer import Chainer
from services.ledger.checker import Checker, Examiner
from services.ledger.committer import Committer
from services.ledger.config import Settings
from services.ledger.servicer.accounts import AccountServicer
from services.ledger.servicer.adjustments import AdjustmentServicer
from services.ledger.servicer.books import BooksServicer
from services.ledger.servicer.coupons import CouponServicer
from services.ledger.servicer.gift_cards import GiftCardServicer
from services.ledger.servicer.holds import HoldServicer
from services.ledger.servicer.households import HouseholdServicer
from services.ledger.servicer.keyring import Keyring
from services.ledger.servicer.ledger import LedgerServicer
from services.ledger.servicer.presenting import Presenting
from services.ledger.servicer.settlements import SettlementServicer
from services.ledger.servicer.uploads import UploadServicer
from services.ledger.storage import (
    Accounts,
    Adjustments,
    Assets,
    Books,
    Checks,
    CodeKeys,
    Copies,
    Coupons,
    GiftCards,
    Holds,
    Households,
    Journal,
    Liabilities,
    Postings,
    Settlements,
    Statements,
    Upkeep,
    Uploads,
)
from services.ledger.sweeper import Sweeper

#: Every statement here looks rows up by their keys and is planned once. A plan from the time when a
#: table was nearly empty must not be a scan of it for the rest of the day.
SESSION = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}

_ADJUSTMENTS = adjustment_service_pb2.DESCRIPTOR.services_by_name["AdjustmentService"]
_BOOKS = books_service_pb2.DESCRIPTOR.services_by_name["BooksService"]
_HOUSEHOLDS = household_service_pb2.DESCRIPTOR.services_by_name["HouseholdService"]
_SETTLEMENTS = settlement_service_pb2.DESCRIPTOR.services_by_name["SettlementService"]
_ACCOUNTS = account_service_pb2.DESCRIPTOR.services_by_name["AccountService"]
_HOLDS = hold_service_pb2.DESCRIPTOR.services_by_name["HoldService"]
_LEDGER = ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"]
_COUPONS = coupon_service_pb2.DESCRIPTOR.services_by_name["CouponService"]
_GIFT_CARDS = gift_card_service_pb2.DESCRIPTOR.services_by_name["GiftCardService"]
_UPLOADS = upload_service_pb2.DESCRIPTOR.services_by_name["UploadService"]
#: While one lane waits for PostgreSQL, the other decides.
_BULK_LANES = 2
#: Who lists or looks into the past can wait, and what is sent in bulk; who posts or asks for a
#: balance cannot.
_LOW = frozenset(
    {
        "GetHouseholdShares",
        "GetLiability",
        "GetPastBalance",
        "GetStatement",
        "ListAccountActs",
        "ListAdjustmentLimits",
        "ListAdjustments",
        "IssueCoupons",
        "ListAssets",
        "ListCouponCodes",
        "ListEntries",
        "ListHolds",
        "ListLots",
        "ListSettlementPeriods",
        "ListSettlementRates",
        "PreviewSettlement",
        "RevokeCouponSeries",
        "TraceEarning",
        "TraceSpending",
        "UploadTransfers",
    }
)


async def main(settings: Settings) -> None:
    """Serve until the process is told to stop."""
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(
            database.Database.open(settings.database, session=SESSION)
        )
        hot = await stack.enter_async_context(hotstore.Hotstore.open(settings.hotstore))
        verifier = auth.Verifier(settings.auth)
        await build(settings, db, hot, verifier).serve()


def build(
    settings: Settings,
    db: database.Database,
    hot: hotstore.Hotstore,
    verifier: auth.Verifier | None,
    now: clock.Clock = clock.system,
) -> Server:
    """Put the parts together. Valkey is not among the checks: without it the ledger is slower."""
    server = Server("ledger", settings.server, verifier=verifier, checks={"postgresql": db.ping})
    accounts, assets, statements = Accounts(db), Assets(db), Statements(db)
    balances = Balances(statements, assets, Copies(hot), now=now)
    relay = outbox.Relay(db, hot, role="ledger")
    postings = Postings(db)

    def lane() -> Committer:
        return Committer(
            postings,
            assets,
            publish=balances.publish,
            now=now,
            pace_s=settings.pace_ms / 1000,
            group_operations_max=settings.group_operations_max,
        )

    committer = lane()
    # Bulk work has lanes of its own: tills do not stand in line behind it.
    bulk = [lane() for _ in range(_BULK_LANES)]
    sweeper = Sweeper(db, Upkeep(), committer, interval_s=settings.sweep_interval_s, now=now)
    examiner = Examiner(Checks(db), Copies(hot), now=now)
    checker = Checker(db, Checks(db), examiner, interval_s=settings.check_interval_s)
    chainer = Chainer(db, Journal(), interval_s=settings.chain_interval_s)
    servicer = LedgerServicer(
        committer=committer,
        balances=balances,
        accounts=accounts,
        assets=assets,
        statements=statements,
        now=now,
    )
    _add(server, _LEDGER, servicer)
    cards = GiftCards(db)
    people = AccountServicer(
        committer=committer, accounts=accounts, cards=cards, assets=assets, now=now
    )
    _add(server, _ACCOUNTS, people)
    _add(server, _HOLDS, HoldServicer(holds=Holds(db), assets=assets, now=now))
    _add(server, _UPLOADS, UploadServicer(lanes=bulk, uploads=Uploads(db), now=now))
    made = [] if settings.code_key_file is None else codes.load(settings.code_key_file)
    keyring = Keyring(made, CodeKeys(db))
    counted = guesses.Guesses(hot, "ledger", now=now)
    presenting = Presenting(keyring, counted, settings.code_attempts_max)
    gift_cards = GiftCardServicer(
        cards=cards,
        accounts=accounts,
        keyring=keyring,
        presenting=presenting,
        committer=committer,
        balances=balances,
        postings=postings,
        assets=assets,
        now=now,
    )
    _add(server, _GIFT_CARDS, gift_cards)
    _add(server, _BOOKS, BooksServicer(Books(db), Liabilities(db), assets, now=now))
    _add(server, _HOUSEHOLDS, HouseholdServicer(committer, Households(db), assets, now=now))
    _add(server, _SETTLEMENTS, SettlementServicer(Settlements(db), assets, now=now))
    corrections = Adjustments(db)
    waiting = timedelta(days=settings.adjustment_days)
    adjusting = Adjusting(corrections, committer, life=waiting, now=now)
    _add(server, _ADJUSTMENTS, AdjustmentServicer(adjusting, corrections, assets, now=now))
    server.background("adjusting", adjusting.run)
    coupons = CouponServicer(
        coupons=Coupons(db),
        keyring=keyring,
        presenting=presenting,
        committer=committer,
        balances=balances,
        assets=assets,
        now=now,
    )
    _add(server, _COUPONS, coupons)
    server.background("committer", committer.run)
    for number, one in enumerate(bulk, start=1):
        server.background(f"bulk {number}", one.run)
    server.background("balances", balances.run)
    server.background("sweeper", sweeper.run)
    server.background("chainer", chainer.run)
    server.background("checker", checker.run)
    server.background("relay", relay.run)
    return server


def _add(server: Server, service: descriptor.ServiceDescriptor, servicer: object) -> None:
    low = {method.name for method in service.methods if method.name in _LOW}
    server.add(servicer, service, low_priority=low)
