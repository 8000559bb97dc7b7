"""What the ledger refuses with; each `reason` is a name of the contract's ErrorReason."""

from services.chassis.errors import Category, Refusal


class LedgerRefusal(Refusal):
    """The ledger refused."""

    domain = "ledger.tessera"


class BatchConflict(LedgerRefusal):
    """The batch id was used before with another {field}."""

    category = Category.ALREADY_EXISTS
    reason = "BATCH_CONFLICT"


class OccurredInFuture(LedgerRefusal):
    """The batch says that it happened more than a minute from now."""

    category = Category.INVALID_ARGUMENT
    reason = "OCCURRED_IN_FUTURE"


class AssetNotFound(LedgerRefusal):
    """No asset has the code {asset_code}."""

    category = Category.NOT_FOUND
    reason = "ASSET_NOT_FOUND"


class AccountsMustDiffer(LedgerRefusal):
    """Both sides of the transfer are the same account."""

    category = Category.INVALID_ARGUMENT
    reason = "ACCOUNTS_MUST_DIFFER"


class DebtAccount(LedgerRefusal):
    """What owners owe is changed by the ledger itself alone."""

    category = Category.INVALID_ARGUMENT
    reason = "DEBT_ACCOUNT"


class LotsNotKept(LedgerRefusal):
    """Lot terms were given, but the receiving account keeps no lots."""

    category = Category.INVALID_ARGUMENT
    reason = "LOTS_NOT_KEPT"


class TransferNotFound(LedgerRefusal):
    """No posted batch has such an operation to undo or release."""

    category = Category.NOT_FOUND
    reason = "TRANSFER_NOT_FOUND"


class HoldNotFound(LedgerRefusal):
    """No posted batch has such an operation to capture or void."""

    category = Category.NOT_FOUND
    reason = "HOLD_NOT_FOUND"


class NotReversible(LedgerRefusal):
    """The operation is not a transfer that can be undone, or has no pending lot to release."""

    category = Category.FAILED_PRECONDITION
    reason = "NOT_REVERSIBLE"


class NotAHold(LedgerRefusal):
    """The operation to capture or void is not a hold."""

    category = Category.FAILED_PRECONDITION
    reason = "NOT_A_HOLD"


class HoldCaptured(LedgerRefusal):
    """The hold was captured to the end before."""

    category = Category.FAILED_PRECONDITION
    reason = "HOLD_CAPTURED"


class HoldVoided(LedgerRefusal):
    """The hold was voided before."""

    category = Category.FAILED_PRECONDITION
    reason = "HOLD_VOIDED"


class HoldExpired(LedgerRefusal):
    """The hold has timed out."""

    category = Category.FAILED_PRECONDITION
    reason = "HOLD_EXPIRED"


class AccountNotFound(LedgerRefusal):
    """The account was not opened, and those of its asset do not open by themselves."""

    category = Category.NOT_FOUND
    reason = "ACCOUNT_NOT_FOUND"


class AccountClosed(LedgerRefusal):
    """The account is closed."""

    category = Category.FAILED_PRECONDITION
    reason = "ACCOUNT_CLOSED"


class AccountFrozen(LedgerRefusal):
    """The account is frozen: nothing may be spent from it."""

    category = Category.FAILED_PRECONDITION
    reason = "ACCOUNT_FROZEN"


class ExceedsReversible(LedgerRefusal):
    """Only {remaining} of the transfer is left to undo."""

    category = Category.FAILED_PRECONDITION
    reason = "EXCEEDS_REVERSIBLE"


class ExceedsHold(LedgerRefusal):
    """The hold has only {remaining} left to capture."""

    category = Category.FAILED_PRECONDITION
    reason = "EXCEEDS_HOLD"


class InsufficientFunds(LedgerRefusal):
    """The giving account has {available}, and {required} is needed."""

    category = Category.FAILED_PRECONDITION
    reason = "INSUFFICIENT_FUNDS"


class CeilingExceeded(LedgerRefusal):
    """The receiving account has room for {room}, and {required} would come."""

    category = Category.FAILED_PRECONDITION
    reason = "CEILING_EXCEEDED"


class BatchNotFound(LedgerRefusal):
    """No such batch."""

    category = Category.NOT_FOUND
    reason = "BATCH_NOT_FOUND"


class AssetConflict(LedgerRefusal):
    """An asset of this code exists with another {field}."""

    category = Category.ALREADY_EXISTS
    reason = "ASSET_CONFLICT"


class TimeZoneUnknown(LedgerRefusal):
    """The IANA time zone database has no {time_zone}."""

    category = Category.INVALID_ARGUMENT
    reason = "TIME_ZONE_UNKNOWN"


class UploadNotFound(LedgerRefusal):
    """No such upload."""

    category = Category.NOT_FOUND
    reason = "UPLOAD_NOT_FOUND"


class UploadConflict(LedgerRefusal):
    """The upload was sent before with another {field}; the row is {row}."""

    category = Category.ALREADY_EXISTS
    reason = "UPLOAD_CONFLICT"


class UploadGap(LedgerRefusal):
    """Rows before these were never sent; the next is {next_row}."""

    category = Category.FAILED_PRECONDITION
    reason = "UPLOAD_GAP"


class PageTokenInvalid(LedgerRefusal):
    """The page token was not made by this list."""

    category = Category.INVALID_ARGUMENT
    reason = "PAGE_TOKEN_INVALID"


class LimitConflict(LedgerRefusal):
    """The account holds {balance}, which such limits do not allow for it."""

    category = Category.FAILED_PRECONDITION
    reason = "LIMIT_CONFLICT"


class CodesNotConfigured(LedgerRefusal):
    """This ledger has no code key, or another one than its codes were issued under."""

    category = Category.FAILED_PRECONDITION
    reason = "CODES_NOT_CONFIGURED"


class TooManyAttempts(LedgerRefusal):
    """Too many unknown codes were presented; the next may come in {retry_after_s} s."""

    category = Category.RESOURCE_EXHAUSTED
    reason = "TOO_MANY_ATTEMPTS"


class CodeMalformed(LedgerRefusal):
    """No code is written like this: a character was left out, added, exchanged or mistaken."""

    category = Category.INVALID_ARGUMENT
    reason = "CODE_MALFORMED"


class CodeNotFound(LedgerRefusal):
    """No such code."""

    category = Category.NOT_FOUND
    reason = "CODE_NOT_FOUND"


class GiftCardNotFound(LedgerRefusal):
    """No such gift card."""

    category = Category.NOT_FOUND
    reason = "GIFT_CARD_NOT_FOUND"


class GiftCardState(LedgerRefusal):
    """The gift card is {state}, which does not allow it."""

    category = Category.FAILED_PRECONDITION
    reason = "GIFT_CARD_STATE"


class GiftCardAccount(LedgerRefusal):
    """The account stands as its gift card {card_id} does: block or unblock the card instead."""

    category = Category.FAILED_PRECONDITION
    reason = "GIFT_CARD_ACCOUNT"


class RequestConflict(LedgerRefusal):
    """The request id was used before with another {field}."""

    category = Category.ALREADY_EXISTS
    reason = "REQUEST_CONFLICT"


class SeriesNotFound(LedgerRefusal):
    """No such series of coupons."""

    category = Category.NOT_FOUND
    reason = "SERIES_NOT_FOUND"


class CouponNotFound(LedgerRefusal):
    """No such coupon."""

    category = Category.NOT_FOUND
    reason = "COUPON_NOT_FOUND"


class CouponRevoked(LedgerRefusal):
    """The coupon or its series was revoked."""

    category = Category.FAILED_PRECONDITION
    reason = "COUPON_REVOKED"


class CodeTaken(LedgerRefusal):
    """Another series has this code."""

    category = Category.ALREADY_EXISTS
    reason = "CODE_TAKEN"


class TimeNotPast(LedgerRefusal):
    """The instant, or the end of the period, lies in the future."""

    category = Category.INVALID_ARGUMENT
    reason = "TIME_NOT_PAST"


class TimeNotFuture(LedgerRefusal):
    """The instant does not lie in the future."""

    category = Category.INVALID_ARGUMENT
    reason = "TIME_NOT_FUTURE"


class AdjustmentNotFound(LedgerRefusal):
    """No such adjustment."""

    category = Category.NOT_FOUND
    reason = "ADJUSTMENT_NOT_FOUND"


class AdjustmentConflict(LedgerRefusal):
    """The adjustment's id was used before with another {field}."""

    category = Category.ALREADY_EXISTS
    reason = "ADJUSTMENT_CONFLICT"


class AdjustmentDecided(LedgerRefusal):
    """The adjustment no longer waits for a decision: it is {state}."""

    category = Category.FAILED_PRECONDITION
    reason = "ADJUSTMENT_DECIDED"


class SameOperator(LedgerRefusal):
    """Who proposed an adjustment cannot approve it."""

    category = Category.PERMISSION_DENIED
    reason = "SAME_OPERATOR"


class RateNotFound(LedgerRefusal):
    """Nobody has set what {issuer_id} owes {acceptor_id}."""

    category = Category.FAILED_PRECONDITION
    reason = "RATE_NOT_FOUND"


class RateConflict(LedgerRefusal):
    """There is a rate with another {field}."""

    category = Category.ALREADY_EXISTS
    reason = "RATE_CONFLICT"


class PeriodClosed(LedgerRefusal):
    """Everything until {until_time} is closed."""

    category = Category.FAILED_PRECONDITION
    reason = "PERIOD_CLOSED"


class PeriodNotFound(LedgerRefusal):
    """No such closed period."""

    category = Category.NOT_FOUND
    reason = "PERIOD_NOT_FOUND"


class AccountNotEmpty(LedgerRefusal):
    """The account holds {balance} and owes {debt}, and cannot be closed."""

    category = Category.FAILED_PRECONDITION
    reason = "ACCOUNT_NOT_EMPTY"


class AccountConflict(LedgerRefusal):
    """The account was opened before with another {field}."""

    category = Category.ALREADY_EXISTS
    reason = "ACCOUNT_CONFLICT"


class AmountTooLarge(LedgerRefusal):
    """What was asked for comes to more than can be told."""

    category = Category.FAILED_PRECONDITION
    reason = "AMOUNT_TOO_LARGE"
