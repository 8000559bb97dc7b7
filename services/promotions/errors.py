"""What promotions refuses calls with; each `reason` is a name of the contract's ErrorReason."""

from collections.abc import Mapping
from typing import ClassVar

from services.chassis.errors import Category, Refusal


class PromotionsRefusal(Refusal):
    """Promotions refused."""

    domain = "promotions.tessera"
    #: What is said instead of the docstring when a further field is given, by its name.
    said_with: ClassVar[Mapping[str, str]] = {}

    @property
    def message(self) -> str:
        """The docstring, or what a further field says better, with the fields filled in."""
        for name, template in self.said_with.items():
            if name in self.fields:
                return template.format(**self.fields)
        return super().message


class CampaignNotFound(PromotionsRefusal):
    """No campaign has the id {campaign_id}."""

    category = Category.NOT_FOUND
    reason = "CAMPAIGN_NOT_FOUND"


class CampaignState(PromotionsRefusal):
    """The campaign {campaign_id} is {state}, which does not allow this."""

    category = Category.FAILED_PRECONDITION
    reason = "CAMPAIGN_STATE"


class CampaignInvalid(PromotionsRefusal):
    """The campaign's rules cannot work: {field}: {problem}."""

    category = Category.INVALID_ARGUMENT
    reason = "CAMPAIGN_INVALID"


class VersionConflict(PromotionsRefusal):
    """It was changed meanwhile and is at version {version}."""

    category = Category.ABORTED
    reason = "VERSION_CONFLICT"


class CodeTaken(PromotionsRefusal):
    """The coupon code {code} belongs to the live campaign {campaign_id}."""

    category = Category.ALREADY_EXISTS
    reason = "CODE_TAKEN"


class CouponNotPersonal(PromotionsRefusal):
    """The campaign {campaign_id} has no personal coupon to grant."""

    category = Category.FAILED_PRECONDITION
    reason = "COUPON_NOT_PERSONAL"


class RequestConflict(PromotionsRefusal):
    """The request id was used before with another {field}."""

    category = Category.ALREADY_EXISTS
    reason = "REQUEST_CONFLICT"


class CategoryNotFound(PromotionsRefusal):
    """No category has the id {category_id}."""

    category = Category.FAILED_PRECONDITION
    reason = "CATEGORY_NOT_FOUND"


class CategoryCycle(PromotionsRefusal):
    """The category {category_id} would lie below itself."""

    category = Category.FAILED_PRECONDITION
    reason = "CATEGORY_CYCLE"


class ProductNotFound(PromotionsRefusal):
    """No product has the sku {sku}."""

    category = Category.NOT_FOUND
    reason = "PRODUCT_NOT_FOUND"


class StoreNotFound(PromotionsRefusal):
    """No store has the id {store_id}."""

    category = Category.NOT_FOUND
    reason = "STORE_NOT_FOUND"


class StoreNotAllowed(PromotionsRefusal):
    """The token is not for the store {store_id}."""

    category = Category.PERMISSION_DENIED
    reason = "STORE_NOT_ALLOWED"


class CurrencyMismatch(PromotionsRefusal):
    """Amounts are in {expected_currency_code} here, and not in {currency_code}."""

    category = Category.INVALID_ARGUMENT
    reason = "CURRENCY_MISMATCH"


class LineDuplicate(PromotionsRefusal):
    """Two lines have the id {line_id}."""

    category = Category.INVALID_ARGUMENT
    reason = "LINE_DUPLICATE"


class MemberUnknown(PromotionsRefusal):
    """What the shopper shows leads to no member: {cause}."""

    category = Category.NOT_FOUND
    reason = "MEMBER_UNKNOWN"


class MemberBlocked(PromotionsRefusal):
    """The member may not use the program."""

    category = Category.FAILED_PRECONDITION
    reason = "MEMBER_BLOCKED"


class PointsPaymentTooHigh(PromotionsRefusal):
    """Points may pay {max_minor} of this cart at the most."""

    category = Category.FAILED_PRECONDITION
    reason = "POINTS_PAYMENT_TOO_HIGH"


class PointsPaymentStep(PromotionsRefusal):
    """Points pay at least {min_minor}, in steps of {step_minor}."""

    category = Category.FAILED_PRECONDITION
    reason = "POINTS_PAYMENT_STEP"


class ReceiptWithoutMember(PromotionsRefusal):
    """The shopper of the receipt is unknown."""

    category = Category.FAILED_PRECONDITION
    reason = "RECEIPT_WITHOUT_MEMBER"


class CompensationTooHigh(PromotionsRefusal):
    """At most {max_points} may be given for one receipt at once."""

    category = Category.FAILED_PRECONDITION
    reason = "COMPENSATION_TOO_HIGH"


class EvaluationInconsistent(PromotionsRefusal):
    """The till's evaluation contradicts itself or the purchase: {field} {problem}."""

    category = Category.INVALID_ARGUMENT
    reason = "EVALUATION_INCONSISTENT"


class ReservationNotFound(PromotionsRefusal):
    """No such reservation."""

    category = Category.NOT_FOUND
    reason = "RESERVATION_NOT_FOUND"


class ReservationMismatch(PromotionsRefusal):
    """The reservation is for another {field}."""

    category = Category.FAILED_PRECONDITION
    reason = "RESERVATION_MISMATCH"


class ReservationEnded(PromotionsRefusal):
    """What was reserved has been given back; evaluate the cart again."""

    category = Category.FAILED_PRECONDITION
    reason = "RESERVATION_ENDED"
    said_with: ClassVar = {
        "receipt_id": "What was reserved was sold with the receipt {receipt_id}."
    }


class GiftCardShort(PromotionsRefusal):
    """The gift card {card_id} has {available_minor} of {asset_code}, which is what pays here."""

    category = Category.FAILED_PRECONDITION
    reason = "GIFT_CARD_SHORT"


class GiftCardPaymentTooHigh(PromotionsRefusal):
    """Gift cards may pay {max_minor} of this cart at the most."""

    category = Category.FAILED_PRECONDITION
    reason = "GIFT_CARD_PAYMENT_TOO_HIGH"


class TotalChanged(PromotionsRefusal):
    """The cart comes to {total_minor} and not to {expected_total_minor}; evaluate it again."""

    category = Category.FAILED_PRECONDITION
    reason = "TOTAL_CHANGED"


class BenefitGone(PromotionsRefusal):
    """What {campaign_id} would give was used up meanwhile ({cause}); evaluate the cart again."""

    category = Category.FAILED_PRECONDITION
    reason = "BENEFIT_GONE"


class ReceiptConflict(PromotionsRefusal):
    """The receipt key was used before with another {field}."""

    category = Category.ALREADY_EXISTS
    reason = "RECEIPT_CONFLICT"
    said_with: ClassVar = {"used_by": "The receipt key is that of a {used_by}."}


class ReceiptNotFound(PromotionsRefusal):
    """No such receipt."""

    category = Category.NOT_FOUND
    reason = "RECEIPT_NOT_FOUND"


class ReceiptState(PromotionsRefusal):
    """The receipt is {state}, which does not allow this."""

    category = Category.FAILED_PRECONDITION
    reason = "RECEIPT_STATE"
    said_with: ClassVar = {
        "return_count": "Goods of the receipt have come back; what is left can only be returned."
    }


class LineNotFound(PromotionsRefusal):
    """The receipt has no line {line_id}."""

    category = Category.INVALID_ARGUMENT
    reason = "LINE_NOT_FOUND"


class ReturnExceedsBought(PromotionsRefusal):
    """Of line {line_id} only {remaining_thousandths} thousandths are still out."""

    category = Category.FAILED_PRECONDITION
    reason = "RETURN_EXCEEDS_BOUGHT"


class RulesetNotFound(PromotionsRefusal):
    """No rule set has the version {ruleset_version}."""

    category = Category.NOT_FOUND
    reason = "RULESET_NOT_FOUND"


class OccurredInFuture(PromotionsRefusal):
    """What has happened lies {ahead_s} seconds in the future."""

    category = Category.INVALID_ARGUMENT
    reason = "OCCURRED_IN_FUTURE"


class ReturnBeforePurchase(PromotionsRefusal):
    """The goods were bought at {purchase_time}, after the time of the return."""

    category = Category.INVALID_ARGUMENT
    reason = "RETURN_BEFORE_PURCHASE"


class DependencyUnavailable(PromotionsRefusal):
    """A service that is needed for this does not answer: {service}."""

    category = Category.UNAVAILABLE
    reason = "DEPENDENCY_UNAVAILABLE"
    said_with: ClassVar[Mapping[str, str]] = {
        "missing_scope": "The client of promotions needs the scope {missing_scope} for {service}.",
    }

    def left_open(self) -> "DependencyUnavailable":
        """Return the same of a call that may have had its effect, or have it yet."""
        return DependencyUnavailable(**{**self.fields, "outcome": "unknown"})


class TimeZoneUnknown(PromotionsRefusal):
    """There is no time zone {time_zone}."""

    category = Category.INVALID_ARGUMENT
    reason = "TIME_ZONE_UNKNOWN"


class PageTokenInvalid(PromotionsRefusal):
    """The page token was not made by this list."""

    category = Category.INVALID_ARGUMENT
    reason = "PAGE_TOKEN_INVALID"


class AmountOutOfRange(PromotionsRefusal):
    """An amount of the cart cannot be counted: {problem}."""

    category = Category.INVALID_ARGUMENT
    reason = "AMOUNT_OUT_OF_RANGE"


class GiftNotFound(PromotionsRefusal):
    """Of the gift {sku} from {campaign_id} only {remaining_units} units are still out."""

    category = Category.FAILED_PRECONDITION
    reason = "GIFT_NOT_FOUND"


class CampaignKeyTaken(PromotionsRefusal):
    """The name {key} belongs to the campaign {campaign_id}."""

    category = Category.ALREADY_EXISTS
    reason = "CAMPAIGN_KEY_TAKEN"


class CampaignVersionsFull(PromotionsRefusal):
    """The campaign {campaign_id} has {versions_max} versions, and no campaign has more."""

    category = Category.FAILED_PRECONDITION
    reason = "CAMPAIGN_VERSIONS_FULL"


class ReviewRequired(PromotionsRefusal):
    """The campaign {campaign_id} is {state} and needs a second person's approval first."""

    category = Category.FAILED_PRECONDITION
    reason = "REVIEW_REQUIRED"


class ApproverIsAuthor(PromotionsRefusal):
    """Who wrote or handed in the campaign {campaign_id} cannot approve it."""

    category = Category.PERMISSION_DENIED
    reason = "APPROVER_IS_AUTHOR"


class CampaignNotTemplate(PromotionsRefusal):
    """The campaign {campaign_id} has no parameters to set."""

    category = Category.FAILED_PRECONDITION
    reason = "CAMPAIGN_NOT_TEMPLATE"


class CampaignNotLocal(PromotionsRefusal):
    """The campaign {campaign_id} was not made of a template."""

    category = Category.FAILED_PRECONDITION
    reason = "CAMPAIGN_NOT_LOCAL"


class StoreOutsideTemplate(PromotionsRefusal):
    """The template does not work in the store {store_id}."""

    category = Category.FAILED_PRECONDITION
    reason = "STORE_OUTSIDE_TEMPLATE"


class ParameterUnknown(PromotionsRefusal):
    """The template has no parameter {parameter}, or it was set twice."""

    category = Category.INVALID_ARGUMENT
    reason = "PARAMETER_UNKNOWN"


class ParameterOutOfBounds(PromotionsRefusal):
    """The parameter {parameter} cannot be {value}: its {bound} is {limit}."""

    category = Category.FAILED_PRECONDITION
    reason = "PARAMETER_OUT_OF_BOUNDS"


class ProgramNotFound(PromotionsRefusal):
    """No program has the id {program_id}."""

    category = Category.NOT_FOUND
    reason = "PROGRAM_NOT_FOUND"


class ProgramInvalid(PromotionsRefusal):
    """The program's rules cannot work: {field}: {problem}."""

    category = Category.INVALID_ARGUMENT
    reason = "PROGRAM_INVALID"


class TierTaken(PromotionsRefusal):
    """The live program {program_id} has a level {tier_id}, too."""

    category = Category.ALREADY_EXISTS
    reason = "TIER_TAKEN"


class PlanTaken(PromotionsRefusal):
    """The live program {program_id} has a plan {plan_id}, too."""

    category = Category.ALREADY_EXISTS
    reason = "PLAN_TAKEN"


class ProgramVersionsFull(PromotionsRefusal):
    """The program {program_id} has {versions_max} versions, and no program has more."""

    category = Category.FAILED_PRECONDITION
    reason = "PROGRAM_VERSIONS_FULL"


class ProgramKeyTaken(PromotionsRefusal):
    """The name {key} belongs to the program {program_id}."""

    category = Category.ALREADY_EXISTS
    reason = "PROGRAM_KEY_TAKEN"


class ProgramEnded(PromotionsRefusal):
    """The program {program_id} has ended."""

    category = Category.FAILED_PRECONDITION
    reason = "PROGRAM_ENDED"


class SubscriptionNotFound(PromotionsRefusal):
    """No subscription has the id {subscription_id}."""

    category = Category.NOT_FOUND
    reason = "SUBSCRIPTION_NOT_FOUND"


class SubscriptionExists(PromotionsRefusal):
    """The member has the subscription {subscription_id} to the plan already."""

    category = Category.ALREADY_EXISTS
    reason = "SUBSCRIPTION_EXISTS"


class SubscriptionEnded(PromotionsRefusal):
    """The subscription {subscription_id} has ended."""

    category = Category.FAILED_PRECONDITION
    reason = "SUBSCRIPTION_ENDED"


class PaymentPeriod(PromotionsRefusal):
    """The next period to be paid for is {period}."""

    category = Category.FAILED_PRECONDITION
    reason = "PAYMENT_PERIOD"


class PaymentAmount(PromotionsRefusal):
    """The fee is {fee_minor}."""

    category = Category.INVALID_ARGUMENT
    reason = "PAYMENT_AMOUNT"


class ReferralCodeUnknown(PromotionsRefusal):
    """No member has this code."""

    category = Category.NOT_FOUND
    reason = "REFERRAL_CODE_UNKNOWN"


class ReferralSelf(PromotionsRefusal):
    """Nobody brings themselves, nor those who have brought them."""

    category = Category.FAILED_PRECONDITION
    reason = "REFERRAL_SELF"


class ReferralNotNew(PromotionsRefusal):
    """The member has bought before."""

    category = Category.FAILED_PRECONDITION
    reason = "REFERRAL_NOT_NEW"


class ReferralClaimed(PromotionsRefusal):
    """The newcomer came by another code."""

    category = Category.FAILED_PRECONDITION
    reason = "REFERRAL_CLAIMED"


class ReferralLimit(PromotionsRefusal):
    """The member has brought {referrals_max}, and no more are rewarded."""

    category = Category.FAILED_PRECONDITION
    reason = "REFERRAL_LIMIT"


class OfferTaken(PromotionsRefusal):
    """The live program {program_id} has an offer {offer_id}, too."""

    category = Category.ALREADY_EXISTS
    reason = "OFFER_TAKEN"


class OfferWindow(PromotionsRefusal):
    """The offer would end before it begins."""

    category = Category.INVALID_ARGUMENT
    reason = "OFFER_WINDOW"


class DrawTooEarly(PromotionsRefusal):
    """The draw is ready on {ready_date}."""

    category = Category.FAILED_PRECONDITION
    reason = "DRAW_TOO_EARLY"


#: What the ledger's refusal of a purchase becomes; its key is free again then.
REFUSED_BY_LEDGER = (BenefitGone, PointsPaymentTooHigh, ReservationEnded, GiftCardShort)
