"""ReservationService: what shoppers are about to use."""

from typing import Any

import grpc
from tessera.promotions.v1 import (
    checkout_pb2,
    reservation_service_pb2,
    reservation_service_pb2_grpc,
)

from services.chassis import timestamps
from services.promotions.checkout import permissions
from services.promotions.checkout.purchases import Purchases
from services.promotions.checkout.reserving import Reserving

Context = grpc.aio.ServicerContext[Any, Any]


class ReservationServicer(reservation_service_pb2_grpc.ReservationServiceServicer):
    """Holds and gives back."""

    def __init__(self, purchases: Purchases, reserving: Reserving) -> None:
        self._purchases = purchases
        self._reserving = reserving

    async def Reserve(
        self, request: reservation_service_pb2.ReserveRequest, context: Context
    ) -> reservation_service_pb2.ReserveResponse:
        """Decide a cart and hold what it takes."""
        permissions.require_store(request.cart.store_id)
        made = await self._purchases.reserve(request)
        return reservation_service_pb2.ReserveResponse(
            reservation_id=made.reservation_id,
            evaluation=checkout_pb2.Evaluation.FromString(made.evaluation),
            expire_time=timestamps.show(made.expire_time),
        )

    async def CancelReservation(
        self, request: reservation_service_pb2.CancelReservationRequest, context: Context
    ) -> reservation_service_pb2.CancelReservationResponse:
        """Give back at once what is held."""
        await self._reserving.cancel(request.reservation_id)
        return reservation_service_pb2.CancelReservationResponse()
