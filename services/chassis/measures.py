"""Metrics of the calls that a role answers, under the names that gRPC dashboards know."""

import grpc
from prometheus_client import Counter, Gauge, Histogram

HANDLED = Counter(
    "grpc_server_handled",
    "Calls that were answered, by outcome",
    ["grpc_service", "grpc_method", "grpc_code"],
)
SECONDS = Histogram(
    "grpc_server_handling_seconds",
    "Time from the arrival of a call to its answer",
    ["grpc_service", "grpc_method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5),
)
IN_FLIGHT = Gauge("grpc_server_in_flight", "Calls being worked on", ["role"])


class Method:
    """The metrics of one method, with every outcome exported at 0 from the start.

    A series that appears with its first error would be missing from every rate until then.
    """

    __slots__ = ("_by_code", "_observe")

    def __init__(self, service: str, method: str) -> None:
        self._by_code = {
            code: HANDLED.labels(service, method, code.name).inc for code in grpc.StatusCode
        }
        self._observe = SECONDS.labels(service, method).observe

    def add(self, code: grpc.StatusCode, seconds: float) -> None:
        """Count one call."""
        self._by_code[code]()
        self._observe(seconds)
