"""Metrics of the calls that a role answers, under the names that gRPC dashboards know.

Calls are counted in plain lists that a collector reads at each scrape: only one event loop writes
them, so the locks of ordinary counters would be paid for nothing on every call.
"""

import bisect
from collections.abc import Iterator
from itertools import accumulate
from socketserver import ThreadingMixIn
from threading import Thread
from wsgiref import simple_server

import grpc
from prometheus_client import REGISTRY, Gauge, make_wsgi_app
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

IN_FLIGHT = Gauge("grpc_server_in_flight", "Calls being worked on", ["role"])

#: Upper bounds in seconds; those that service levels speak of are among them.
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5)

_CODES = sorted((code.value[0], code.name) for code in grpc.StatusCode)
_BUCKETS = (*map(str, BOUNDS_S), "+Inf")


class Method:
    """The counts of one method, with every outcome exported at 0 from the start.

    A series that appears with its first error would be missing from every rate until then.
    """

    __slots__ = ("by_bucket", "by_code", "seconds")

    def __init__(self) -> None:
        self.by_code = [0] * len(_CODES)
        self.by_bucket = [0] * len(_BUCKETS)
        self.seconds = 0.0

    def add(self, code: int, seconds: float) -> None:
        """Count one call by its status code and its duration."""
        self.by_code[code] += 1
        self.by_bucket[bisect.bisect_left(BOUNDS_S, seconds)] += 1
        self.seconds += seconds


class _Methods(Collector):
    """All methods that this process serves."""

    def __init__(self) -> None:
        self._methods: dict[tuple[str, str], Method] = {}

    def get(self, service: str, method: str) -> Method:
        return self._methods.setdefault((service, method), Method())

    def collect(self) -> Iterator[Metric]:
        handled = CounterMetricFamily(
            "grpc_server_handled",
            "Calls that were answered, by outcome",
            labels=["grpc_service", "grpc_method", "grpc_code"],
        )
        seconds = HistogramMetricFamily(
            "grpc_server_handling_seconds",
            "Time from the arrival of a call to its answer",
            labels=["grpc_service", "grpc_method"],
        )
        for labels, counts in list(self._methods.items()):
            for code, name in _CODES:
                handled.add_metric([*labels, name], counts.by_code[code])
            buckets = list(zip(_BUCKETS, accumulate(counts.by_bucket), strict=True))
            seconds.add_metric(list(labels), buckets, counts.seconds)
        yield handled
        yield seconds


_methods = _Methods()
REGISTRY.register(_methods)


def method(service: str, name: str) -> Method:
    """Return the counts of a method, new ones at first."""
    return _methods.get(service, name)


class Exporter:
    """Serves the metrics of the process over HTTP, in a thread: a scrape does not wait for calls.

    Raises OSError when the port is taken.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = simple_server.make_server(
            host, port, make_wsgi_app(), _HttpServer, _QuietHandler
        )
        self.port = self._server.server_port
        Thread(target=self._serve, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Stop serving; waits a tenth of a second at most."""
        self._server.shutdown()
        self._server.server_close()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.1)


class _HttpServer(ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True


class _QuietHandler(simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Say nothing: a scrape is no news."""
