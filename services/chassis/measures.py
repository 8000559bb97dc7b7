"""Metrics of the calls that a role answers, under the names that gRPC dashboards know."""

from socketserver import ThreadingMixIn
from threading import Thread
from wsgiref import simple_server

import grpc
from prometheus_client import Counter, Gauge, Histogram, make_wsgi_app

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
