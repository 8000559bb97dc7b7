"""What only the gateway can refuse with; everything else is worded by the chassis."""

from services.chassis.errors import Category, Refusal


class GatewayRefusal(Refusal):
    """The gateway refused."""

    domain = "gateway.tessera"


class MethodUnknown(GatewayRefusal):
    """No method answers at this path with this verb."""

    category = Category.UNIMPLEMENTED
    reason = "METHOD_UNKNOWN"


class RequestTooLarge(GatewayRefusal):
    """The request is larger than {bytes_max} bytes."""

    category = Category.INVALID_ARGUMENT
    reason = "REQUEST_TOO_LARGE"


class RateExceeded(GatewayRefusal):
    """More calls arrive than are let through; try again later."""

    category = Category.RESOURCE_EXHAUSTED
    reason = "RATE_EXCEEDED"
    retry_delay_ms = 1000
