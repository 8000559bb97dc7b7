"""A server in a process of its own, for the tests that end it."""

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

import uvloop

from services.chassis import config, server, telemetry


def _parts() -> Any:
    """Load the test contract's tools from the conftest beside this file."""
    path = Path(__file__).parent / "conftest.py"
    specification = importlib.util.spec_from_file_location("parts", path)
    assert specification is not None
    assert specification.loader is not None
    parts = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(parts)
    return parts


async def main(image: Path) -> None:
    parts = _parts()
    parts.load_contract(image)
    contract = parts.find_contract()

    class Servicer:
        async def Echo(self, request, context):
            await asyncio.sleep(request.count / 10)
            return contract.Response(text=request.text)

        Greet = Report = Echo

        async def Count(self, request, context):
            yield contract.Response()

        async def Sum(self, requests, context):
            return contract.Response()

        async def Tally(self, requests, context):
            yield contract.Response()

    settings = config.ServerSettings(port=0, metrics_port=0, drain_s=5)
    made = server.Server("drain", settings, verifier=None)
    made.add(Servicer(), contract.service)

    async def announce():
        sys.stdout.write(f"{made.port} {made.metrics_port}\n")
        sys.stdout.flush()

    made.background("announce", announce)
    await made.serve()
    sys.stdout.write("closed\n")


if __name__ == "__main__":
    endpoint = sys.argv[2] if len(sys.argv) > 2 else ""
    telemetry.setup("drain", config.TelemetrySettings(otlp_endpoint=endpoint, sampling_ratio=1))
    uvloop.run(main(Path(sys.argv[1])))
