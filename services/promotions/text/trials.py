"""Trials beside campaigns: a cart, and whether it gets what it must, with the engine of tills."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from tessera.promotions.v1 import campaign_pb2

from services.chassis import errors as chassis_errors
from services.promotions import engine
from services.promotions.text import forms, references, scalars
from services.promotions.text.problems import Unreadable
from services.promotions.text.words import Unit, unit_of
from services.promotions.wire import rules as wire_rules
from services.promotions.wire import templates


def run(
    trial: forms.Trial,
    campaigns: Mapping[str, campaign_pb2.CampaignRules],
    *,
    currency: str,
    articles: Mapping[str, forms.Article],
    terms: forms.Terms | None,
) -> list[str]:
    """Return how what the cart gets differs from what it must get; empty when it does not.

    Raises Unreadable when the trial itself makes no sense.
    """
    reader = _Reader(trial, currency, {**articles, **trial.articles}, terms)
    chosen = campaigns
    if trial.campaigns is not None:
        _require_known(trial.campaigns, campaigns)
        chosen = {key: campaigns[key] for key in trial.campaigns}
    expected = trial.expect
    for part in (
        expected.discounts,
        expected.points,
        expected.coupons,
        expected.chances,
        expected.why_not,
        expected.near,
    ):
        _require_known(part or (), campaigns)
    ruleset = engine.compile(
        [
            engine.Campaign(key, 1, wire_rules.parse_rules(reader.instantiate(key, rules)))
            for key, rules in chosen.items()
        ],
        version=1,
    )
    sale = _Sale(ruleset, reader.cart(), reader.facts(chosen), _aware(trial.now))
    decision = engine.evaluate(
        ruleset, sale.cart, sale.facts, now=sale.now, explain=engine.Explain.FULL
    )
    return [
        *_differences(expected, decision, currency),
        *_reason_differences(expected, decision, currency),
        *_extra_differences(expected, decision, campaigns),
        *_return_differences(trial.returns, sale, decision, currency),
    ]


class _Sale(NamedTuple):
    """A purchase as returns look at it."""

    ruleset: engine.Ruleset
    cart: engine.Cart
    facts: engine.Facts
    now: datetime


def _require_known(named: Iterable[str], known: Iterable[str]) -> None:
    for name in named:
        scalars.read_word(name, known)


def _aware(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Reader:
    """Makes of a trial what the engine takes."""

    def __init__(
        self,
        trial: forms.Trial,
        currency: str,
        articles: Mapping[str, forms.Article],
        terms: forms.Terms | None,
    ) -> None:
        self._trial = trial
        self._currency = currency
        self._articles = articles
        self._terms = terms

    def _money(self, text: str | None) -> int:
        return 0 if text is None else scalars.read_number(text, Unit.MONEY, self._currency)

    def cart(self) -> engine.Cart:
        trial = self._trial
        return engine.Cart(
            store_id=trial.store,
            channel=engine.Channel[trial.channel.upper()],
            currency_code=self._currency,
            lines=tuple(
                self._line(str(place), text) for place, text in enumerate(trial.cart, start=1)
            ),
            coupon_codes=tuple(trial.coupons),
            points_payment_minor=self._money(trial.pay_with_points),
            attributes=trial.till_says,
            gift_choices={key: tuple(skus) for key, skus in trial.chooses.items()},
            planned_payments=tuple(_payment(text) for text in trial.pays_with),
        )

    def _line(self, line_id: str, text: str) -> engine.CartLine:
        found = forms.LINE.fullmatch(text)
        assert found is not None
        return engine.CartLine(
            line_id,
            found["sku"],
            scalars.read_number(found["quantity"], Unit.QUANTITY, self._currency),
            self._money(found["price"]),
            kind=engine.LineKind[(found["kind"] or "goods").upper()],
            regular_unit_price_minor=self._money(found["was"]),
        )

    def facts(self, campaigns: Mapping[str, campaign_pb2.CampaignRules]) -> engine.Facts:
        trial = self._trial
        _require_known(trial.left, campaigns)
        _require_known(trial.chooses, campaigns)
        return engine.Facts(
            store=engine.Store(trial.region, trial.format),
            articles={sku: self._article(one) for sku, one in self._articles.items()},
            member=None if trial.member is None else _member(trial.member),
            remaining={
                key: self._remaining(trial.left.get(key, forms.Left()), rules.limits)
                for key, rules in campaigns.items()
            },
            terms=self._points(),
            identity_answered=not trial.identity_is_away,
        )

    def _article(self, article: forms.Article) -> engine.Article:
        return engine.Article(
            category_ids=frozenset(article.categories),
            brand=article.brand,
            tags=frozenset(article.tags),
            floor_price_minor=self._money(article.never_below),
            weighed=article.by_weight,
            earning_excluded=article.earns_nothing,
            points_payment_excluded=article.not_for_points,
        )

    def _remaining(self, left: forms.Left, limits: campaign_pb2.Limits) -> engine.Remaining:
        """Return what is left: what the trial says, else as much as the campaign begins with."""
        fresh = dict.fromkeys(_skus(self._trial.cart), limits.units_per_article_max)
        return engine.Remaining(
            uses=_first(left.uses, limits.uses_max),
            member_uses=_first(left.per_member, limits.uses_per_member_max),
            budget_minor=_first(
                None if left.budget is None else self._money(left.budget), limits.budget_minor
            ),
            coupons=left.coupons,
            units=_first(left.units, limits.units_max),
            article_units=fresh | left.units_per_article,
            member_units=_first(left.units_per_member, limits.units_per_member_max),
        )

    def _points(self) -> engine.PointsTerms:
        if self._terms is None:
            return engine.PointsTerms()
        decimals = self._terms.decimals
        return engine.PointsTerms(
            point_value_minor=self._money(self._terms.worth),
            point_units=10**decimals,
            points_scale=decimals,
        )

    def instantiate(
        self, key: str, rules: campaign_pb2.CampaignRules
    ) -> campaign_pb2.CampaignRules:
        """Return a campaign as it is, a template as the trial's store would have it."""
        given = self._trial.arguments.get(key, {})
        if not rules.parameters and not given:
            return rules
        arguments = [self._argument(rules, name, value) for name, value in given.items()]
        try:
            return templates.instantiate(rules, store_ids=[self._trial.store], arguments=arguments)
        except chassis_errors.Refusal as refusal:
            raise Unreadable(f"{key}: {refusal.message}") from None

    def _argument(
        self, rules: campaign_pb2.CampaignRules, name: str, value: Any
    ) -> campaign_pb2.Argument:
        made = campaign_pb2.Argument(name=name)
        if isinstance(value, list):
            made.choice.values.extend(value)
            return made
        parameter = next((one for one in rules.parameters if one.name == name), None)
        spot = None if parameter is None else templates.locate(rules, parameter.field)
        unit = Unit.COUNT if spot is None else unit_of(spot.field, spot.holder, rules)
        made.number = scalars.read_number(str(value), unit, self._currency)
        return made


def _first(left: int | None, limit: int) -> int:
    return limit if left is None else left


def _skus(cart: Iterable[str]) -> list[str]:
    return [line.split(" ", 2)[1] for line in cart]


def _payment(text: str) -> engine.PlannedPayment:
    kind, _, prefix = text.partition(" ")
    return engine.PlannedPayment(engine.PaymentType[kind.upper()], prefix)


def _member(shopper: forms.Shopper) -> engine.Member:
    return engine.Member(
        member_id="mem_1",
        segment_ids=frozenset(shopper.segments),
        purchases_before=shopper.purchases_before,
        points_balance=shopper.points,
        tier_ids=frozenset(shopper.tiers),
        plan_ids=frozenset(shopper.plans),
        stamps=shopper.stamps,
        attributes=shopper.says,
        dates={name: date.fromisoformat(day) for name, day in shopper.dates.items()},
        last_purchase_time=None if shopper.bought is None else _aware(shopper.bought),
    )


def _differences(
    expected: forms.Expectation, decision: engine.Decision, currency: str
) -> Iterable[str]:
    """Return differences in money and points."""

    def money(minor: int) -> str:
        return scalars.write_number(minor, Unit.MONEY, currency)

    applied = [one for one in decision.outcomes if one.reason is engine.OutcomeReason.APPLIED]
    why = {one.campaign_id: one for one in decision.outcomes}
    for what, wanted, minor in (
        ("pay", expected.pay, decision.total_minor),
        ("what points pay", expected.points_pay, decision.points_payment_minor),
    ):
        if wanted is not None and _same(wanted, currency) != money(minor):
            yield f"{what} is {money(minor)}, not {_same(wanted, currency)}"
    lines = {line.line_id: money(line.total_minor) for line in decision.lines}
    for line_id, text in (expected.lines or {}).items():
        wanted = _same(text, currency)
        if lines.get(line_id) != wanted:
            yield f"line {line_id} comes to {lines.get(line_id, 'nothing')}, not {wanted}"
    discounts = {
        one.campaign_id: money(one.discount_minor) for one in applied if one.discount_minor
    }
    promised = expected.discounts and {
        key: _same(text, currency) for key, text in expected.discounts.items()
    }
    yield from _compare("discount", promised, discounts, why)
    points = {one.campaign_id: one.points for one in applied if one.points}
    yield from _compare("points", expected.points, points, why)


def _same(text: str, currency: str) -> str:
    """Return an amount as it is shown, `5 USD` as `5.00 USD`; raises Unreadable."""
    return scalars.write_number(
        scalars.read_number(text, Unit.MONEY, currency), Unit.MONEY, currency
    )


def _reason_differences(
    expected: forms.Expectation, decision: engine.Decision, currency: str
) -> Iterable[str]:
    """Return differences in why campaigns do not apply, and in what is missing to them."""
    why = {one.campaign_id: one for one in decision.outcomes}
    for key, reason in (expected.why_not or {}).items():
        found = _tell(why.get(key))
        if found.partition(" ")[0] != reason:
            yield f"{key} is {found}, not {reason}"
    for key, wanted in (expected.near or {}).items():
        money = None if wanted.money is None else _same(wanted.money, currency)
        promised = forms.Near(money=money, units=wanted.units)
        near = _near(why[key].near_miss if key in why else None, currency)
        if near != promised:
            yield f"to {key} is missing {_show(near)}, not {_show(promised)}"


def _near(missing: engine.NearMiss | None, currency: str) -> forms.Near:
    if missing is None:
        return forms.Near()
    amount, quantity = missing.amount_minor, missing.quantity_thousandths
    return forms.Near(
        money=scalars.write_number(amount, Unit.MONEY, currency) if amount else None,
        units=quantity / 1_000 if quantity else None,
    )


def _extra_differences(
    expected: forms.Expectation, decision: engine.Decision, keys: Iterable[str]
) -> Iterable[str]:
    """Return differences in what is neither money nor points."""
    names = {references.placeholder(key): key for key in keys}
    gifts, coupons, stamps = Counter[str](), Counter[str](), Counter[str]()
    for gift in decision.gifts:
        gifts[gift.sku] += gift.units
    for grant in decision.coupon_grants:
        coupons[names.get(grant.coupon_campaign_id, grant.coupon_campaign_id)] += grant.uses
    for move in decision.stamp_moves:
        stamps[move.card] += move.earned
    yield from _compare("gift", expected.gifts, gifts, {})
    yield from _compare("coupons", expected.coupons, coupons, {})
    chances = {one.campaign_id: one.number for one in decision.instant_chances}
    yield from _compare("chances", expected.chances, chances, {})
    yield from _compare("stamps", expected.stamps, +stamps, {})


def _return_differences(
    returns: Iterable[forms.Return], sale: _Sale, decision: engine.Decision, currency: str
) -> Iterable[str]:
    """Return differences in what returns give and take, each after those before it."""
    so_far = engine.ReturnedSoFar()
    for number, one in enumerate(returns, start=1):
        back = {
            line: scalars.read_number(quantity, Unit.QUANTITY, currency)
            for line, quantity in one.back.items()
        }
        try:
            done = engine.price_return(
                *(sale.ruleset, sale.cart, sale.facts, decision),
                now=sale.now,
                returned=back,
                before=so_far,
            )
        except (engine.LineUnknown, engine.ReturnExceeds) as error:
            raise Unreadable(f"return {number}: {error}") from None
        so_far = done.so_far
        for difference in _differences_of(one, done, currency):
            yield f"return {number}: {difference}"


def _differences_of(
    wanted: forms.Return, done: engine.ReturnDecision, currency: str
) -> Iterable[str]:
    for what, text, minor in (
        ("refund", wanted.refund, done.refund_minor),
        ("held back", wanted.held_back, done.gifts_deducted_minor),
    ):
        shown = scalars.write_number(minor, Unit.MONEY, currency)
        if text is not None and _same(text, currency) != shown:
            yield f"{what} is {shown}, not {_same(text, currency)}"
    for what, count, points in (
        ("taken", wanted.points_taken, done.points_clawed_back),
        ("given", wanted.points_given, done.points_restored),
    ):
        if count is not None and count != points:
            yield f"points {what} are {points}, not {count}"


def _show(near: forms.Near) -> str:
    return ", ".join(f"{name} {value}" for name, value in near if value is not None) or "nothing"


def _compare(
    what: str,
    expected: Mapping[str, Any] | None,
    found: Mapping[str, Any],
    why: Mapping[str, engine.Outcome],
) -> Iterable[str]:
    if expected is None:
        return
    for key, wanted in expected.items():
        if key not in found:
            reason = f" ({_tell(why.get(key))})" if why else ""
            yield f"{what} of {key} is missing{reason}, not {wanted}"
        elif found[key] != wanted:
            yield f"{what} of {key} is {found[key]}, not {wanted}"
    for key in found.keys() - expected.keys():
        yield f"{what} of {key} is {found[key]}, and not expected at all"


def _tell(outcome: engine.Outcome | None) -> str:
    """Return a reason in lower case, and its details."""
    if outcome is None:
        return "not_live"
    details = ", ".join(f"{name} {value}" for name, value in outcome.details)
    reason = outcome.reason.name.lower()
    return f"{reason} ({details})" if details else reason
