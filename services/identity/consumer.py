"""What identity learns from promotions: who bought, and what was undone."""

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
        match event.WhichOneof("payload"):
            case "receipt_committed":
                committed = event.receipt_committed
                if committed.member_id:
                    await self._activity.count(
                        receipt_id=ids.parse("rcp", committed.receipt_id),
                        member_id=ids.parse("mem", committed.member_id),
                        occur_time=timestamps.read(committed.occurred_time),
                    )
            case "receipt_voided":
                await self._undo(event.receipt_voided.receipt_id, event.receipt_voided.member_id)
            case "receipt_returned":
                returned = event.receipt_returned
                if returned.purchase_emptied:
                    await self._undo(returned.receipt_id, returned.member_id)

    async def _undo(self, receipt_id: str, member_id: str) -> None:
        if member_id:
            await self._activity.undo(
                receipt_id=ids.parse("rcp", receipt_id), member_id=ids.parse("mem", member_id)
            )
