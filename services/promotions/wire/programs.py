"""Programs, from the wire to the engine, and where members stand in them, to the wire."""

from datetime import date, datetime
from typing import Literal

from google.type import date_pb2
from tessera.event.v1 import event_pb2, promotions_events_pb2
from tessera.promotions.v1 import checkout_pb2, program_pb2, subscription_pb2
from tessera.type.v1 import text_pb2

from services.chassis import timestamps
from services.promotions import engine, errors
from services.promotions.engine import programs
from services.promotions.wire import events, rules


def parse_title(sent: program_pb2.ProgramRules) -> engine.Text:
    """Return what people call a program."""
    return rules.parse_text(sent.title)


def find_problems(sent: program_pb2.ProgramRules, *, today: date) -> list[engine.Problem]:
    """Return what forbids these rules to be written on a day; raises ProgramInvalid for no date."""
    kind, found = sent.WhichOneof("kind"), []
    if kind == "tiers":
        found = programs.find_tier_problems(parse_tiers(sent.tiers))
    elif kind == "challenge":
        found = programs.find_challenge_problems(parse_challenge(sent.challenge))
    elif kind == "draw":
        found = programs.find_draw_problems(parse_draw(sent.draw), today=today)
    return [engine.Problem(f"{kind}.{one.field}", one.problem) for one in found]


def parse_measure(measure: program_pb2.Measure) -> programs.Measure:
    """Return what is counted."""
    return programs.Measure(
        kind=programs.MeasureKind(measure.kind),
        filter=rules.parse_filter(measure.filter),
        receipt_min_minor=measure.receipt_min_minor,
    )


def parse_tiers(sent: program_pb2.TierRules) -> programs.TierRules:
    """Return levels as the engine knows them."""
    return programs.TierRules(
        measure=parse_measure(sent.measure),
        window=_window(sent),
        tiers=tuple(
            programs.Tier(
                tier_id=tier.tier_id,
                title=rules.parse_text(tier.title),
                from_amount=tier.from_amount,
                privileges=tuple(tier.privileges),
            )
            for tier in sent.tiers
        ),
        downgrade=programs.Downgrade(
            policy=programs.DowngradePolicy(
                sent.downgrade.policy or programs.DowngradePolicy.TO_EARNED
            ),
            grace_days=sent.downgrade.grace_days,
        ),
    )


def _window(sent: program_pb2.TierRules) -> programs.Calendar | programs.Rolling:
    if sent.WhichOneof("window") == "rolling":
        return programs.Rolling(sent.rolling.days)
    return programs.Calendar(
        programs.PeriodUnit(sent.calendar.unit), past_only=sent.calendar.past_only
    )


def parse_plan(sent: program_pb2.PlanRules) -> programs.PlanRules:
    """Return a plan as the engine knows it."""
    return programs.PlanRules(
        plan_id=sent.plan_id,
        fee_minor=sent.fee_minor,
        period_months=sent.period_months,
        trial_days=sent.trial_days,
        grace_days=sent.grace_days,
        privileges=tuple(sent.privileges),
    )


def parse_reward(sent: program_pb2.ProgramReward) -> programs.Reward:
    """Return what a program gives."""
    return programs.Reward(
        points=sent.points.points,
        expire_days=sent.points.expire_days,
        campaign_id=sent.coupon.campaign_id,
        uses=sent.coupon.uses,
    )


def parse_challenge(
    sent: program_pb2.ChallengeRules, *, made: date | None = None
) -> programs.ChallengeRules:
    """Return a challenge as the engine knows it; it counts from the day on which it was `made`.

    Raises ProgramInvalid for dates that are none.
    """
    first = _date(sent, "first_date")
    return programs.ChallengeRules(
        measure=parse_measure(sent.measure),
        goal=sent.goal,
        reward=parse_reward(sent.reward),
        first=max(filter(None, (first, made)), default=None),
        last=_date(sent, "last_date"),
        weeks=sent.weeks,
        take_back=not sent.keep_reward,
    )


def parse_referral(sent: program_pb2.ReferralRules) -> programs.ReferralRules:
    """Return referrals as the engine knows them."""
    return programs.ReferralRules(
        measure=parse_measure(sent.measure),
        referrer=parse_reward(sent.referrer_reward),
        newcomer=parse_reward(sent.newcomer_reward),
        claim_days=sent.claim_days,
        hold_days=sent.hold_days,
        referrals_max=sent.referrals_max,
    )


def parse_offers(sent: program_pb2.OfferRules) -> programs.OfferRules:
    """Return personal offers as the engine knows them."""
    return programs.OfferRules(sent.offer_id, rules.parse_filter(sent.filter))


def parse_draw(sent: program_pb2.DrawRules) -> programs.DrawRules:
    """Return a prize draw as the engine knows it; raises ProgramInvalid for dates that are none."""
    first, last = _date(sent, "first_date"), _date(sent, "last_date")
    assert first is not None
    assert last is not None
    return programs.DrawRules(
        measure=parse_measure(sent.measure),
        per_ticket=sent.per_ticket,
        first=first,
        last=last,
        prizes=tuple(
            programs.Prize(
                prize.count,
                parse_reward(prize.reward) if prize.HasField("reward") else None,
                rules.parse_text(prize.title),
            )
            for prize in sent.prizes
        ),
        hold_days=sent.hold_days,
    )


def parse_terms(
    sent: program_pb2.ProgramRules, *, made: date | None = None
) -> programs.ProgramTerms:
    """Return what a program of any kind promises; see `parse_challenge` for `made`."""
    match sent.WhichOneof("kind"):
        case "tiers":
            return parse_tiers(sent.tiers)
        case "plan":
            return parse_plan(sent.plan)
        case "challenge":
            return parse_challenge(sent.challenge, made=made)
        case "referral":
            return parse_referral(sent.referral)
        case "offers":
            return parse_offers(sent.offers)
        case _:
            return parse_draw(sent.draw)


def _date(
    sent: program_pb2.ChallengeRules | program_pb2.DrawRules,
    name: Literal["first_date", "last_date"],
) -> date | None:
    if not sent.HasField(name):
        return None
    kind = "draw" if isinstance(sent, program_pb2.DrawRules) else "challenge"
    return read_date(getattr(sent, name), field=f"rules.{kind}.{name}")


def read_date(day: date_pb2.Date, *, field: str) -> date:
    """Return a day; raises ProgramInvalid for one that is none."""
    try:
        return date(day.year, day.month, day.day)
    except ValueError:
        raise errors.ProgramInvalid(field=field, problem="is no day of the calendar") from None


def show_challenge(
    program_id: str,
    title: engine.Text,
    rules: programs.ChallengeRules,
    reach: programs.Reach,
    *,
    rewarded: bool,
) -> program_pb2.ChallengeStanding:
    """Return how far a member is."""
    reward = rules.reward
    shown = program_pb2.ProgramReward()
    if reward.points:
        shown.points.points, shown.points.expire_days = reward.points, reward.expire_days
    else:
        shown.coupon.campaign_id, shown.coupon.uses = reward.campaign_id, reward.uses
    return program_pb2.ChallengeStanding(
        program_id=program_id,
        title=show_text(title),
        amount=reach.amount,
        goal=reach.goal,
        reached=reach.reached,
        rewarded=rewarded,
        reward=shown,
        last_date=show_date(rules.last),
    )


def show_text(text: engine.Text) -> text_pb2.LocalizedText:
    """Return words in every language."""
    return text_pb2.LocalizedText(en=text.en, ru=text.ru)


def show_date(day: date | None) -> date_pb2.Date | None:
    """Return a day; None for None, which leaves a field absent."""
    return None if day is None else date_pb2.Date(year=day.year, month=day.month, day=day.day)


def show_tier(
    program_id: str,
    tiers: programs.TierRules,
    standing: programs.Standing,
    progress: programs.Progress,
    *,
    version: int,
) -> program_pb2.TierStanding:
    """Return where a member stands."""
    tier, following = tiers.tiers[standing.level], progress.next_level
    return program_pb2.TierStanding(
        program_id=program_id,
        tier_id=tier.tier_id,
        title=show_text(tier.title),
        privileges=tier.privileges,
        amount=progress.amount,
        next_tier_id="" if following is None else tiers.tiers[following].tier_id,
        missing_amount=progress.missing,
        review_date=show_date(standing.review_day),
        kept=standing.level > 0 and standing.kept == standing.level,
        version=version,
    )


def show_message(
    tiers: programs.TierRules,
    *,
    before: programs.Standing,
    after: programs.Standing,
    progress: programs.Progress,
    currency_code: str,
    points_scale: int,
) -> checkout_pb2.Message | None:
    """Return what a receipt says of the levels, the purchase counted; None when there is nothing.

    `before` and `after` are without and with the purchase; `progress` is with it.
    """
    if after.level > before.level:
        title = tiers.tiers[after.level].title
        text = engine.Text(
            f"You reach “{title.pick('en')}”", f"Вы достигли уровня «{title.pick('ru')}»"
        )
    elif progress.next_level is not None:
        title = tiers.tiers[progress.next_level].title
        text = engine.tell_missing(
            progress.missing,
            title,
            kind=tiers.measure.kind.name,
            currency_code=currency_code,
            points_scale=points_scale,
        )
    else:
        return None
    return checkout_pb2.Message(
        audience=checkout_pb2.MESSAGE_AUDIENCE_RECEIPT, text=show_text(text)
    )


def tell_changed(
    tiers: programs.TierRules,
    *,
    member_id: str,
    program_id: str,
    from_level: int,
    to_level: int,
    receipt_id: str,
    now: datetime,
) -> event_pb2.Event:
    """Return the event of a step from level to level."""
    return event_pb2.Event(
        source=events.SOURCE,
        subject_id=member_id,
        occurred_time=timestamps.show(now),
        tier_changed=promotions_events_pb2.TierChanged(
            member_id=member_id,
            program_id=program_id,
            from_tier_id=tiers.tiers[from_level].tier_id,
            to_tier_id=tiers.tiers[to_level].tier_id,
            receipt_id=receipt_id,
        ),
    )


def tell_subscription(
    subscription: subscription_pb2.Subscription, *, now: datetime
) -> event_pb2.Event:
    """Return the event of a subscription that changed."""
    told = promotions_events_pb2.SubscriptionChanged(
        subscription_id=subscription.subscription_id,
        member_id=subscription.member_id,
        program_id=subscription.program_id,
        plan_id=subscription.plan_id,
        state=subscription_pb2.SubscriptionState.Name(subscription.state).removeprefix(
            "SUBSCRIPTION_STATE_"
        ),
    )
    for name in ("covered_until", "end_time"):
        if subscription.HasField(name):
            getattr(told, name).CopyFrom(getattr(subscription, name))
    return event_pb2.Event(
        source=events.SOURCE,
        subject_id=subscription.member_id,
        occurred_time=timestamps.show(now),
        subscription_changed=told,
    )


def tell_goal(
    *, member_id: str, program_id: str, reached: bool, receipt_id: str, now: datetime
) -> event_pb2.Event:
    """Return the event of a goal that was reached or lost."""
    return event_pb2.Event(
        source=events.SOURCE,
        subject_id=member_id,
        occurred_time=timestamps.show(now),
        goal_changed=promotions_events_pb2.GoalChanged(
            member_id=member_id, program_id=program_id, reached=reached, receipt_id=receipt_id
        ),
    )


def tell_referral(
    *, program_id: str, referrer_id: str, newcomer_id: str, now: datetime
) -> event_pb2.Event:
    """Return the event of a referral that is rewarded."""
    return event_pb2.Event(
        source=events.SOURCE,
        subject_id=newcomer_id,
        occurred_time=timestamps.show(now),
        referral_rewarded=promotions_events_pb2.ReferralRewarded(
            program_id=program_id, referrer_id=referrer_id, newcomer_id=newcomer_id
        ),
    )
