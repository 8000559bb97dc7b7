"""What may be done with a gift card in which state."""

from enum import IntEnum

from services.ledger import errors


class State(IntEnum):
    """The life of a card; numbers as in the contract."""

    ISSUED = 1
    ACTIVE = 2
    BLOCKED = 3


def require_active(state: State) -> None:
    """Raise GiftCardState for a card that money may not move on."""
    if state is not State.ACTIVE:
        raise errors.GiftCardState(state=state.name)


def require_activable(state: State) -> None:
    """Raise GiftCardState for a card that is blocked; an active one may be a repetition."""
    if state is State.BLOCKED:
        raise errors.GiftCardState(state=state.name)
