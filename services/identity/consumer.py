"""What identity learns from promotions: who bought, and what was undone."""

from collections.abc import Sequence

from tessera.event.v1 import event_pb2

from services.chassis import ids, timestamps
from services.identity import storage

STREAM = "events.promotions"
GROUP = "identity"


class PurchaseHandler:
    """Keeps the purchases of members; safe to hear any event again, and in any order."""

    def __init__(self, activity: storage.ActivityStorage) -> None:
        self._activity = activity

    async def handle(self, event: event_pb2.Event) -> None:
        """Count or undo the purchase that an event is about; other events pass by."""
        await self.handle_all([event])

    async def handle_all(self, heard: Sequence[event_pb2.Event]) -> None:
        """Count and undo the purchases that events are about."""
        bought = [
            storage.Purchase(
                receipt_id=ids.parse("rcp", committed.receipt_id),
                member_id=ids.parse("mem", committed.member_id),
                occur_time=timestamps.read(committed.occurred_time),
            )
            for event in heard
            if (committed := event.receipt_committed).member_id
        ]
        if bought:
            await self._activity.count(bought)
        for event in heard:
            match event.WhichOneof("payload"):
                case "receipt_voided":
                    voided = event.receipt_voided
                    await self._undo(voided.receipt_id, voided.member_id)
                case "receipt_returned" if event.receipt_returned.purchase_emptied:
                    returned = event.receipt_returned
                    await self._undo(returned.receipt_id, returned.member_id)

    async def _undo(self, receipt_id: str, member_id: str) -> None:
        if member_id:
            await self._activity.undo(
                receipt_id=ids.parse("rcp", receipt_id), member_id=ids.parse("mem", member_id)
            )
