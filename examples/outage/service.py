"""
The service that breaks: it tells how many of an item are in stock, in a process of its own.

Each line on its standard input names the way it behaves from then on.
It ends with its input, so it never outlives the process that started it, however that one ended.
Refusing connections needs no word: whoever started it kills it.
"""

import argparse
import asyncio
import os
import socket
import sys
import threading

import attrs
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LISTENING = "listening"
"""The first line it prints once connections are accepted; any other says why it cannot start."""

GOLDEN = 0.618034
"""Its multiples are spread evenly between whole numbers, so neighbours differ and runs do not."""


@attrs.frozen
class Behaviour:
    """How the service answers: after how many seconds, between two bounds, and with what status."""

    fastest: float
    slowest: float
    status: int = 200

    def delay(self, item: int) -> float:
        """Return the seconds that this item takes: its own place between the bounds."""
        return self.fastest + (self.slowest - self.fastest) * (item * GOLDEN % 1)


BEHAVIOURS = {
    "healthy": Behaviour(0.005, 0.025),
    # The caller gives up after 0.25 s: about a quarter of the calls take longer.
    "slow": Behaviour(0.05, 0.32),
    "failing": Behaviour(0.005, 0.03, status=503),
}


class Service:
    """The web application and the way it behaves at present."""

    def __init__(self) -> None:
        # Until it is told anything; so it cannot recover before the story says so.
        self.behaviour = BEHAVIOURS["failing"]
        self.app = Starlette(routes=[Route("/stock/{item:int}", self.stock)])

    async def stock(self, request: Request) -> Response:
        """Answer one request, or fail to, as the present behaviour has it."""
        item = request.path_params["item"]
        behaviour = self.behaviour
        await asyncio.sleep(behaviour.delay(item))
        if behaviour.status != 200:
            return Response(status_code=behaviour.status)
        return JSONResponse({"item": item, "count": item * 7 % 100})


def main() -> None:
    """Serve until the standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        print(f"port {port} cannot be used: {os.strerror(error.errno or 0)}", flush=True)
        return
    service = Service()
    server = uvicorn.Server(uvicorn.Config(service.app, log_level="critical", lifespan="off"))
    # A daemon, because the end of the input is the end of the process, whatever is being served.
    threading.Thread(target=server.run, args=([listener],), daemon=True).start()
    print(LISTENING, flush=True)
    for line in sys.stdin:
        service.behaviour = BEHAVIOURS[line.strip()]


if __name__ == "__main__":
    main()
