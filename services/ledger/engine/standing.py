"""What an account lets happen: opened, frozen and closed by people, who say why."""

from enum import IntEnum

from services.ledger import errors
from services.ledger.engine.accounts import Account, AccountState


class Action(IntEnum):
    """What people do to an account; numbers as in the contract."""

    OPEN = 1
    FREEZE = 2
    UNFREEZE = 3
    CLOSE = 4
    REOPEN = 5


def changed(account: Account, action: Action) -> Account:
    """Return the account after an action; the same one when it is so already.

    Raises AccountClosed for a closed one that is to be frozen or unfrozen, and AccountNotEmpty for
    one that is to be closed with something on it, or with a debt. Holds are no obstacle: they can
    still be voided, and they time out.
    """
    state = account.state
    if action in {Action.FREEZE, Action.UNFREEZE} and state is AccountState.CLOSED:
        raise errors.AccountClosed
    if action is Action.CLOSE and state is not AccountState.CLOSED:
        if account.balance or account.debt:
            raise errors.AccountNotEmpty(balance=account.balance, debt=account.debt)
        return _in_state(account, AccountState.CLOSED)
    if action is Action.FREEZE and state is AccountState.OPEN:
        return _in_state(account, AccountState.FROZEN)
    lifts = {Action.UNFREEZE: AccountState.FROZEN, Action.REOPEN: AccountState.CLOSED}
    if lifts.get(action) is state:
        return _in_state(account, AccountState.OPEN)
    return account


def differs(account: Account, *, floor: int, ceiling: int | None) -> str | None:
    """Return the first limit in which an open account differs from the one wanted."""
    if account.floor != floor:
        return "floor"
    return "ceiling" if account.ceiling != ceiling else None


def _in_state(account: Account, state: AccountState) -> Account:
    return account._replace(state=state, version=account.version + 1)
