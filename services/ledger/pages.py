"""Where the ledger's lists go on."""

from services.chassis.pages import Pages, moment, number, small_number, text
from services.ledger import errors

__all__ = ["moment", "number", "position", "small_number", "text", "token"]

_LISTS = Pages(errors.PageTokenInvalid)
token = _LISTS.token
position = _LISTS.position
