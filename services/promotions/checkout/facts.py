"""What an evaluation needs to know besides the cart, gathered in as few calls as possible."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from tessera.identity.v1 import member_pb2
from tessera.ledger.v1 import coupon_service_pb2
from tessera.promotions.v1 import checkout_pb2

from services.chassis import auth, timestamps
from services.chassis import errors as chassis_errors
from services.promotions import catalogue, engine, errors
from services.promotions.checkout import veils
from services.promotions.peers.identity import Identity
from services.promotions.peers.ledger import Ledger
from services.promotions.programs.members import NO_MEMBERSHIP, Members, Membership
from services.promotions.wire import accounts
from services.promotions.wire.accounts import Account
from services.promotions.wire.batches import Terms, limits_of, stamps_of

#: More codes of a cart than this that no campaign has are not looked up: nobody carries so many.
_SECRETS_MAX = 5
#: The longest name of who presents codes that the ledger takes.
_PRESENTER_MAX = 64
#: What accounts have available.
Balances = dict[Account, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """The facts of one evaluation, the local time that it is for, and what could not be asked."""

    facts: engine.Facts
    now: datetime
    degradations: tuple[checkout_pb2.Degradation.ValueType, ...] = ()
    #: Points that the member owes, in smallest units; not kept with receipts.
    points_debt: int = 0
    #: What the engine found on the way, until the cart has been decided about.
    meeting: engine.Meeting | None = None
    #: What programs say of the member; of receipts of the past only the names are kept.
    membership: Membership = NO_MEMBERSHIP

    @property
    def member_id(self) -> str:
        """The member; empty for an unknown shopper."""
        return self.facts.member.member_id if self.facts.member else ""

    def dump(self) -> bytes:
        """Return the facts as they are kept with a receipt."""
        kept = {"zone": str(self.now.tzinfo), "facts": engine.dump_facts(self.facts)}
        return json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode()


def load(kept: bytes, *, occurred_time: datetime) -> Gathered:
    """Return the facts that were kept with a receipt."""
    plain = json.loads(kept)
    now = occurred_time.astimezone(ZoneInfo(plain["zone"]))
    return Gathered(facts=engine.load_facts(plain["facts"]), now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A cart at a moment, and how much may be left open: nothing, when the answer is binding.

    `hands_out` is False where nobody can be handed anything any more. `secrets` are the codes for
    which stand-ins are in the cart.
    """

    cart: engine.Cart
    #: None for an unknown shopper.
    member_key: member_pb2.MemberKey | None
    ruleset: engine.Ruleset
    occurred_time: datetime
    is_binding: bool
    hands_out: bool = True
    secrets: Mapping[str, str] = field(default_factory=dict)


class Collector:
    """Asks the catalogue, identity and the ledger. Nothing that decides about value is cached."""

    def __init__(
        self,
        goods: catalogue.Catalogue,
        identity: Identity,
        ledger: Ledger,
        terms: Terms,
        *,
        members: Members,
        patience_s: float,
    ) -> None:
        self._goods = goods
        self._identity = identity
        self._ledger = ledger
        self._terms = terms
        self._members = members
        self._patience_s = patience_s

    async def collect(self, question: Question) -> Gathered:
        """Return the facts about a cart.

        Raises StoreNotFound, CurrencyMismatch, MemberUnknown or MemberBlocked; when the answer is
        binding, also DependencyUnavailable instead of an answer with degradations.
        """
        gathered = self._look_up(question)
        if question.member_key is not None:
            gathered = await self._identify(gathered, question, question.member_key)
        gathered, coupons = await self._unveil(gathered, question)
        gathered = await self._count(gathered, question, coupons)
        # What is promised while somebody is away is settled when the shopper has left.
        hands_out = question.hands_out and not gathered.degradations
        return replace(gathered, facts=replace(gathered.facts, hands_out=hands_out))

    def _look_up(self, question: Question) -> Gathered:
        """Return what the catalogue knows; in one piece, so that no change falls in between."""
        cart, articles = question.cart, self._goods.articles
        store = self._goods.stores.get(cart.store_id)
        if store is None:
            raise errors.StoreNotFound(store_id=cart.store_id)
        if store.currency_code != cart.currency_code:
            raise errors.CurrencyMismatch(
                currency_code=cart.currency_code, expected_currency_code=store.currency_code
            )
        facts = engine.Facts(
            store=store.facts,
            articles={line.sku: articles[line.sku] for line in cart.lines if line.sku in articles},
            terms=self._terms.points,
            cap=self._terms.cap,
        )
        return Gathered(facts=facts, now=question.occurred_time.astimezone(store.zone))

    async def _identify(
        self, gathered: Gathered, question: Question, key: member_pb2.MemberKey
    ) -> Gathered:
        """Add what identity knows."""
        try:
            async with self._patience(question):
                context = await self._identity.member(key)
        except (errors.DependencyUnavailable, TimeoutError):
            if question.is_binding:
                raise
            return Gathered(
                facts=replace(gathered.facts, identity_answered=False),
                now=gathered.now,
                degradations=(checkout_pb2.DEGRADATION_IDENTITY,),
            )
        gathered = await self._stand(gathered, question, context.member_id)
        member = engine.Member(
            member_id=context.member_id,
            segment_ids=frozenset(context.segment_ids),
            purchases_before=context.purchase_count,
            tier_ids=gathered.membership.tier_ids,
            plan_ids=gathered.membership.plan_ids,
            dates=_dates(context),
            last_purchase_time=_last_purchase(context),
        )
        articles = _with_tags(gathered, question.cart)
        return replace(gathered, facts=replace(gathered.facts, member=member, articles=articles))

    async def _stand(self, gathered: Gathered, question: Question, member_id: str) -> Gathered:
        """Add where the member stands in programs."""
        if self._members.is_idle:
            return gathered
        try:
            async with self._patience(question):
                membership = await self._members.find(member_id)
        except (chassis_errors.Unavailable, TimeoutError):
            if question.is_binding:
                raise
            away = (*gathered.degradations, checkout_pb2.DEGRADATION_PROGRAMS)
            return replace(gathered, degradations=away)
        return replace(gathered, membership=membership)

    async def _unveil(
        self, gathered: Gathered, question: Question
    ) -> tuple[Gathered, dict[str, int]]:
        """Add whose secret codes the ledger knows, and return the uses left, by campaign.

        Of several codes of a campaign the first that has a use left is taken.
        """
        unknown = engine.unknown_codes(question.ruleset, question.cart.coupon_codes)
        secrets = question.secrets
        codes = [one for one in unknown if one in secrets or not veils.is_veiled(one)]
        codes = codes[:_SECRETS_MAX]
        if not codes:
            return gathered, {}
        presenter = f"{auth.caller_id()} {question.cart.store_id}"[:_PRESENTER_MAX]
        asked = (
            self._ledger.find_coupon(secrets.get(code, code), presenter_id=presenter)
            for code in codes
        )
        try:
            async with self._patience(question):
                found = await asyncio.gather(*asked)
        except (errors.DependencyUnavailable, TimeoutError):
            if question.is_binding:
                raise
            away = (*gathered.degradations, checkout_pb2.DEGRADATION_LEDGER)
            facts = replace(gathered.facts, codes_answered=False)
            return replace(gathered, facts=facts, degradations=away), {}
        bearers: dict[str, engine.Bearer] = {}
        coupons: dict[str, int] = {}
        for code, coupon in zip(codes, found, strict=True):
            if coupon is None or not _is_for_tills(coupon, question.ruleset):
                continue
            name = coupon.campaign_id
            before = bearers.get(name, engine.Bearer(coupon.coupon_id, ()))
            known = (*before.codes, code)
            bearers[name] = replace(before, codes=known)
            if name not in coupons or (not coupons[name] and coupon.available):
                bearers[name] = engine.Bearer(coupon.coupon_id, known)
                coupons[name] = coupon.available
        return replace(gathered, facts=replace(gathered.facts, bearers=bearers)), coupons

    async def _count(
        self, gathered: Gathered, question: Question, coupons: Mapping[str, int]
    ) -> Gathered:
        """Add what the ledger knows, all of it asked at once: calls cost more than accounts."""
        facts, ruleset = gathered.facts, question.ruleset
        found = engine.find_needs(ruleset, question.cart, facts, now=gathered.now)
        gathered = replace(gathered, meeting=found.meeting)
        needs, skus = found.limits, sorted({line.sku for line in question.cart.lines})
        limited = [self._limited(need, ruleset, facts.member) for need in needs]
        articles = [_count_articles(need, ruleset, skus) for need in needs]
        wanted = {account for one in (*limited, *articles) for account in one.values()}
        cards: dict[str, Account] = {}
        if facts.member is not None:
            wanted.update(self._points_of(facts.member))
            cards = {card: accounts.stamps(facts.member.member_id, card) for card in found.cards}
            wanted.update(cards.values())
        balances = await self._available(wanted, question)
        if balances is None:
            if question.is_binding:
                raise errors.DependencyUnavailable(service="ledger")
            away = dict.fromkeys((*gathered.degradations, checkout_pb2.DEGRADATION_LEDGER))
            return replace(gathered, degradations=tuple(away))
        remaining = {
            need.campaign_id: _remaining(
                accounts_of, by_sku, balances, limits_of(ruleset, need.campaign_id)
            )
            for need, accounts_of, by_sku in zip(needs, limited, articles, strict=True)
        }
        for name in remaining.keys() & coupons.keys():
            remaining[name] = replace(remaining[name], coupons=coupons[name])
        member = facts.member and self._with_points(facts.member, balances)
        if member is not None and cards:
            stamps = {card: balances[account] for card, account in cards.items()}
            member = replace(member, stamps=stamps)
        return replace(
            gathered,
            facts=replace(facts, member=member, remaining=remaining),
            points_debt=self._debt_of(facts.member, balances),
        )

    async def _available(self, wanted: AbstractSet[Account], question: Question) -> Balances | None:
        """Return what accounts have available; None when the ledger does not answer."""
        if not wanted:
            return {}
        try:
            async with self._patience(question):
                return await self._ledger.available(wanted)
        except (errors.DependencyUnavailable, TimeoutError):
            return None

    def _patience(self, question: Question) -> asyncio.Timeout:
        """Return how long to wait: a price is wanted soon, a purchase rather than not at all."""
        return asyncio.timeout(None if question.is_binding else self._patience_s)

    def _limited(
        self, need: engine.Need, ruleset: engine.Ruleset, member: engine.Member | None
    ) -> dict[str, Account]:
        """Return the accounts behind a campaign's limits, by the name of what they tell."""
        found, campaign_id = {}, need.campaign_id
        if need.uses:
            found["uses"] = accounts.uses(campaign_id)
        if need.budget:
            found["budget_minor"] = accounts.budget(campaign_id, self._terms.currency_code)
        if need.member_uses and member is not None:
            limit = limits_of(ruleset, campaign_id).uses_per_member_max
            found["member_uses"] = accounts.member_uses(member.member_id, campaign_id, limit)
        if need.units:
            found["units"] = accounts.units(campaign_id)
        if need.member_units and member is not None:
            limit = limits_of(ruleset, campaign_id).units_per_member_max
            found["member_units"] = accounts.member_units(member.member_id, campaign_id, limit)
        if need.coupons and member is not None:
            found["coupons"] = accounts.coupons(member.member_id, campaign_id)
        if need.stamps and member is not None:
            price = stamps_of(ruleset, campaign_id)
            found["stamps"] = accounts.stamps(member.member_id, price.card_id)
        return found

    def _points_of(self, member: engine.Member) -> list[Account]:
        """Return the member's points, and what is owed of them where anything may be."""
        found = [accounts.points(member.member_id, self._terms.points_asset)]
        if self._terms.owes:
            found.append(accounts.points_debt(member.member_id, self._terms.points_asset))
        return found

    def _debt_of(self, member: engine.Member | None, balances: Balances) -> int:
        if member is None or not self._terms.owes:
            return 0
        return -balances[accounts.points_debt(member.member_id, self._terms.points_asset)]

    def _with_points(self, member: engine.Member, balances: Balances) -> engine.Member:
        account = accounts.points(member.member_id, self._terms.points_asset)
        return replace(member, points_balance=balances[account])


def _is_for_tills(coupon: coupon_service_pb2.Coupon, ruleset: engine.Ruleset) -> bool:
    """Tell whether a coupon's uses are those that its campaign, which is live, burns."""
    is_own = coupon.asset_code == accounts.coupon_asset(coupon.campaign_id)
    return is_own and engine.answers_to_bearers(ruleset, coupon.campaign_id)


def _dates(context: member_pb2.MemberContext) -> dict[str, date]:
    """Return the member's dates; a birthday, which has no year, is of a leap year."""
    found = {}
    if context.HasField("create_time"):
        found["joined"] = timestamps.read(context.create_time).date()
    if context.HasField("birth_date"):
        found["birth"] = date(4, context.birth_date.month, context.birth_date.day)
    return found


def _last_purchase(context: member_pb2.MemberContext) -> datetime | None:
    if not context.HasField("last_purchase_time"):
        return None
    return timestamps.read(context.last_purchase_time)


def _count_articles(
    need: engine.Need, ruleset: engine.Ruleset, skus: Iterable[str]
) -> dict[str, Account]:
    """Return the accounts that count a campaign's rewarded units, by article."""
    if not need.article_units:
        return {}
    limit = limits_of(ruleset, need.campaign_id).units_per_article_max
    return {sku: accounts.article_units(need.campaign_id, limit, sku) for sku in skus}


def _remaining(
    limited: Mapping[str, Account],
    articles: Mapping[str, Account],
    balances: Balances,
    limits: engine.Limits,
) -> engine.Remaining:
    """Return what is left of a campaign: counters count up, the others hold what is left."""
    left = {name: balances[account] for name, account in limited.items()}
    if "uses" in left:
        left["uses"] = max(limits.uses_max - left["uses"], 0)
    if "member_uses" in left:
        left["member_uses"] = max(limits.uses_per_member_max - left["member_uses"], 0)
    if "units" in left:
        left["units"] = max(limits.units_max - left["units"], 0)
    if "member_units" in left:
        left["member_units"] = max(limits.units_per_member_max - left["member_units"], 0)
    by_article = None
    if limits.units_per_article_max:
        most = limits.units_per_article_max
        by_article = {sku: max(most - balances[account], 0) for sku, account in articles.items()}
    return engine.Remaining(**left, article_units=by_article)


def _with_tags(gathered: Gathered, cart: engine.Cart) -> Mapping[str, engine.Article]:
    """Return the articles with the tags of what is offered to the member."""
    articles, tags = gathered.facts.articles, gathered.membership.tags
    if not tags:
        return articles
    marked = {
        line.sku: replace(article, tags=article.tags | tags[line.sku])
        for line in cart.lines
        if line.sku in tags
        for article in [articles.get(line.sku, engine.UNKNOWN_ARTICLE)]
    }
    return {**articles, **marked}
