"""What identity refuses calls with; each `reason` is a name of the contract's ErrorReason."""

from services.chassis.errors import Category, Refusal


class IdentityRefusal(Refusal):
    """Identity refused."""

    domain = "identity.tessera"


class MemberNotFound(IdentityRefusal):
    """No such member."""

    category = Category.NOT_FOUND
    reason = "MEMBER_NOT_FOUND"


class PhoneTaken(IdentityRefusal):
    """Another member has this phone."""

    category = Category.ALREADY_EXISTS
    reason = "PHONE_TAKEN"


class EmailTaken(IdentityRefusal):
    """Another member has this e-mail address."""

    category = Category.ALREADY_EXISTS
    reason = "EMAIL_TAKEN"


class CardTaken(IdentityRefusal):
    """The card number was given out before."""

    category = Category.ALREADY_EXISTS
    reason = "CARD_TAKEN"


class PhoneInvalid(IdentityRefusal):
    """The phone number cannot exist."""

    category = Category.INVALID_ARGUMENT
    reason = "PHONE_INVALID"


class EmailInvalid(IdentityRefusal):
    """The e-mail address is not written as one."""

    category = Category.INVALID_ARGUMENT
    reason = "EMAIL_INVALID"


class CardNotFound(IdentityRefusal):
    """No card has this number."""

    category = Category.NOT_FOUND
    reason = "CARD_NOT_FOUND"


class CardBlocked(IdentityRefusal):
    """The card is blocked."""

    category = Category.FAILED_PRECONDITION
    reason = "CARD_BLOCKED"


class TimeZoneUnknown(IdentityRefusal):
    """The IANA database has no time zone of this name."""

    category = Category.INVALID_ARGUMENT
    reason = "TIME_ZONE_UNKNOWN"


class BirthDateInvalid(IdentityRefusal):
    """The date of birth does not exist or has not come yet."""

    category = Category.INVALID_ARGUMENT
    reason = "BIRTH_DATE_INVALID"


class RequestConflict(IdentityRefusal):
    """The request_id was used before with another {field}."""

    category = Category.ALREADY_EXISTS
    reason = "REQUEST_CONFLICT"


class ClientExists(IdentityRefusal):
    """The client {client_id} exists already."""

    category = Category.ALREADY_EXISTS
    reason = "CLIENT_EXISTS"


class ClientNotFound(IdentityRefusal):
    """There is no client {client_id}."""

    category = Category.NOT_FOUND
    reason = "CLIENT_NOT_FOUND"


class ClientRevoked(IdentityRefusal):
    """The client {client_id} is revoked."""

    category = Category.FAILED_PRECONDITION
    reason = "CLIENT_REVOKED"


class ScopeUnknown(IdentityRefusal):
    """No method asks for the scope {scope}."""

    category = Category.INVALID_ARGUMENT
    reason = "SCOPE_UNKNOWN"


class PageTokenInvalid(IdentityRefusal):
    """The page token comes from elsewhere."""

    category = Category.INVALID_ARGUMENT
    reason = "PAGE_TOKEN_INVALID"


class StoreNotAllowed(IdentityRefusal):
    """The token is not for the store {store_id}."""

    category = Category.PERMISSION_DENIED
    reason = "STORE_NOT_ALLOWED"
