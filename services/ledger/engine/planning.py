"""Which facts a decision needs, known before any of them is read."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.ledger.engine import accounts
from services.ledger.engine.accounts import Key, Place
from services.ledger.engine.assets import Asset
from services.ledger.engine.batches import (
    NAMING,
    Batch,
    Capture,
    Held,
    Hold,
    Moved,
    Operation,
    Release,
    Reversal,
    Shortfall,
    Target,
    Transfer,
    Void,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to read.

    `keys` are the accounts with a running balance; `deep` are those whose lots are needed too; of
    those in `brief`, of which so much is spent, the first few may do: see LotsUnread. `lots` are
    single lots that are needed even when nothing is left of them, with their accounts.
    Of the `claimed` among them it matters how much has expired.
    `holds` are needed even when they have ended, along with all reserves and lots of the accounts
    in `holding`.
    """

    keys: Mapping[UUID, Key]
    deep: frozenset[UUID]
    brief: Mapping[UUID, int]
    lots: Mapping[UUID, UUID]
    claimed: frozenset[UUID]
    holding: frozenset[UUID]
    holds: frozenset[Place]


def asset_codes(batches: Iterable[Batch]) -> set[str]:
    """Return the assets that batches name."""
    return {
        operation.debit.asset_code
        for batch in batches
        for operation in batch.operations
        if isinstance(operation, NAMING)
    }


def target_codes(targets: Iterable[Target]) -> set[str]:
    """Return the assets of operations that are referred back to."""
    return {target.debit.asset_code for target in targets if isinstance(target, Moved | Held)}


def targets(batches: Iterable[Batch]) -> list[Place]:
    """Return the operations that batches undo, release, capture or void."""
    return [
        operation.target
        for batch in batches
        for operation in batch.operations
        if not isinstance(operation, NAMING)
    ]


def plan(
    batches: Sequence[Batch],
    *,
    assets: Mapping[str, Asset],
    targets: Mapping[Place, Target],
    due: Iterable[Key] = (),
) -> Plan:
    """Return what deciding these batches needs, given the operations they refer back to.

    The accounts in `due` are to be swept.
    """
    planner = _Planner(batches, assets, targets)
    for key in due:
        planner.touch(key, deep=True)
    for batch in batches:
        for operation in batch.operations:
            planner.add(operation)
    return Plan(
        planner.keys,
        frozenset(planner.deep),
        {one: planner.spent[one] for one in planner.deep - planner.whole},
        planner.lots,
        frozenset(planner.claimed),
        frozenset(planner.holding),
        frozenset(planner.holds),
    )


class _Planner:
    def __init__(
        self,
        batches: Sequence[Batch],
        assets: Mapping[str, Asset],
        targets: Mapping[Place, Target],
    ) -> None:
        self.keys: dict[UUID, Key] = {}
        self.deep: set[UUID] = set()
        self.whole: set[UUID] = set()
        self.spent: defaultdict[UUID, int] = defaultdict(int)
        self.lots: dict[UUID, UUID] = {}
        self.claimed: set[UUID] = set()
        self.holding: set[UUID] = set()
        self.holds: set[Place] = set()
        self._assets = assets
        self._targets = targets
        self._batches = batches
        self._by_id: dict[UUID, Batch] | None = None

    def add(self, operation: Operation) -> None:
        """Plan to read what an operation is about."""
        if isinstance(operation, NAMING):
            is_brief = isinstance(operation, Transfer | Hold)
            self.touch(operation.debit, deep=True, brief=is_brief)
            self.touch(operation.credit, deep=False, brief=is_brief)
            if isinstance(operation, Transfer | Hold):
                self.spent[operation.debit.id] += operation.amount
            return
        target = self._targets.get(operation.target)
        if isinstance(target, Moved):
            self.touch(target.credit, deep=True)
            self.touch(target.debit, deep=True)
            made = self._name_lots(operation.target, target)
            if _may_owe(operation, target.credit):
                self.touch(accounts.debt_key(target.credit), deep=False)
                self.claimed.add(made)
        elif isinstance(target, Held) and isinstance(operation, Capture | Void):
            self._touch_hold(operation.target, target)
        elif target is None:
            self._touch_neighbour(operation)

    def touch(self, key: Key, *, deep: bool, brief: bool = False) -> None:
        """Plan to read an account, and its lots if `deep`: all of them unless `brief`."""
        if key.is_world:
            return
        self.keys[key.id] = key
        asset = self._assets.get(key.asset_code)
        if asset is not None and asset.lots is not None and (deep or asset.lots.slides):
            self.deep.add(key.id)
            if not brief or asset.lots.slides:
                self.whole.add(key.id)

    def _touch_hold(self, place: Place, held: Held) -> None:
        self.holds.add(place)
        for key in (held.debit, held.credit):
            self.touch(key, deep=True)
            if not key.is_world:
                self.holding.add(key.id)

    def _name_lots(self, target: Place, moved: Moved) -> UUID:
        """Plan to read what a transfer took and made; returns the lot that it made, if any."""
        for part in moved.taken:
            self.lots[part.lot_id] = part.account_id
        made = accounts.lot_id(
            batch_id=target.batch_id,
            operation_index=target.operation_index,
            credited_at=moved.occurred_at,
        )
        if not moved.credit.is_world:
            self.lots[made] = moved.credit.id
        return made

    def _touch_neighbour(self, referring: Reversal | Release | Capture | Void) -> None:
        """Touch the accounts of a transfer that is only now being decided, in the same group."""
        target = referring.target
        if self._by_id is None:
            self._by_id = {batch.id: batch for batch in self._batches}
        batch = self._by_id.get(target.batch_id)
        if batch is None or target.operation_index >= len(batch.operations):
            return
        operation = batch.operations[target.operation_index]
        if isinstance(operation, Transfer | Hold):
            self.touch(operation.debit, deep=True)
            self.touch(operation.credit, deep=True)
            if _may_owe(referring, operation.credit):
                self.touch(accounts.debt_key(operation.credit), deep=False)


def _may_owe(operation: Operation, giver: Key) -> bool:
    """Tell whether undoing may leave a debt on the account that is to give back."""
    return (
        isinstance(operation, Reversal)
        and operation.shortfall is Shortfall.DEBT
        and not giver.is_world
    )
