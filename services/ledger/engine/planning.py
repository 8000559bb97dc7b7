"""Which facts a decision needs, known before any of them is read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.ledger.engine import accounts
from services.ledger.engine.accounts import Key
from services.ledger.engine.assets import Asset
from services.ledger.engine.batches import (
    Batch,
    Handover,
    Moved,
    Operation,
    Place,
    Target,
    Transfer,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to read.

    `keys` are the accounts with a running balance; `deep` are those whose lots are needed too;
    `lots` are single lots that are needed even when nothing is left of them, with their accounts.
    """

    keys: Mapping[UUID, Key]
    deep: frozenset[UUID]
    lots: Mapping[UUID, UUID]


def asset_codes(batches: Iterable[Batch]) -> set[str]:
    """Return the assets that batches name."""
    return {
        operation.debit.asset_code
        for batch in batches
        for operation in batch.operations
        if isinstance(operation, Transfer | Handover)
    }


def target_codes(targets: Iterable[Target]) -> set[str]:
    """Return the assets of operations that are referred back to."""
    return {target.debit.asset_code for target in targets if isinstance(target, Moved)}


def targets(batches: Iterable[Batch]) -> list[Place]:
    """Return the operations that batches undo or release."""
    return [
        operation.target
        for batch in batches
        for operation in batch.operations
        if not isinstance(operation, Transfer | Handover)
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
    return Plan(planner.keys, frozenset(planner.deep), planner.lots)


class _Planner:
    def __init__(
        self,
        batches: Sequence[Batch],
        assets: Mapping[str, Asset],
        targets: Mapping[Place, Target],
    ) -> None:
        self.keys: dict[UUID, Key] = {}
        self.deep: set[UUID] = set()
        self.lots: dict[UUID, UUID] = {}
        self._assets = assets
        self._targets = targets
        self._batches = batches
        self._by_id: dict[UUID, Batch] | None = None

    def add(self, operation: Operation) -> None:
        """Plan to read what an operation is about."""
        if isinstance(operation, Transfer | Handover):
            self.touch(operation.debit, deep=True)
            self.touch(operation.credit, deep=False)
            return
        moved = self._targets.get(operation.target)
        if isinstance(moved, Moved):
            self.touch(moved.credit, deep=True)
            self.touch(moved.debit, deep=True)
            self._name_lots(operation.target, moved)
        elif moved is None:
            self._touch_neighbour(operation.target)

    def touch(self, key: Key, *, deep: bool) -> None:
        """Plan to read an account, and its lots if `deep`."""
        if key.is_world:
            return
        self.keys[key.id] = key
        asset = self._assets.get(key.asset_code)
        if asset is not None and asset.lots is not None and (deep or asset.lots.slides):
            self.deep.add(key.id)

    def _name_lots(self, target: Place, moved: Moved) -> None:
        for part in moved.taken:
            self.lots[part.lot_id] = part.account_id
        if not moved.credit.is_world:
            made = accounts.lot_id(
                batch_id=target.batch_id,
                operation_index=target.operation_index,
                credited_at=moved.occurred_at,
            )
            self.lots[made] = moved.credit.id

    def _touch_neighbour(self, target: Place) -> None:
        """Touch the accounts of a transfer that is only now being decided, in the same group."""
        if self._by_id is None:
            self._by_id = {batch.id: batch for batch in self._batches}
        batch = self._by_id.get(target.batch_id)
        if batch is None or target.operation_index >= len(batch.operations):
            return
        operation = batch.operations[target.operation_index]
        if isinstance(operation, Transfer):
            self.touch(operation.debit, deep=True)
            self.touch(operation.credit, deep=True)
