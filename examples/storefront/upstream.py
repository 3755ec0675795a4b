"""
One of the three services, in a process of its own: it answers, hangs or fails as it is told.

Each line on its standard input names the way it behaves from then on. It ends with its input, so it
never outlives the process that started it. Refusing connections needs no word: whoever started it
kills it.
"""

import argparse
import asyncio
import sys
import threading

import uvicorn
from fastapi import FastAPI, HTTPException

from resilience.asgi import Middleware

ANSWERS = {
    "prices": lambda sku: {"price": 5 + len(sku) / 2},
    "stock": lambda sku: {"count": len(sku) % 4},
    "recommendations": lambda _: {"skus": ["paper", "cap"]},
}


class Service:
    """The web application and the way it behaves at present: `well`, `hanging` or `failing`."""

    def __init__(self, name: str) -> None:
        self.behaviour = "well"
        api = FastAPI()

        @api.get("/{sku}")
        async def answer(sku: str) -> dict[str, object]:
            if self.behaviour == "failing":
                raise HTTPException(500)
            # Hanging ends with what is left of the visitor's time: nobody waits for it then.
            await asyncio.sleep(30 if self.behaviour == "hanging" else 0.005)
            return ANSWERS[name](sku)

        self.app = Middleware(api)


def main() -> None:
    """Serve until the standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=ANSWERS)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    service = Service(given.name)
    config = uvicorn.Config(
        service.app, port=given.port, log_level="critical", access_log=False, lifespan="off"
    )
    # A daemon, because the end of the input is the end of the process, whatever is being served.
    threading.Thread(target=uvicorn.Server(config).run, daemon=True).start()
    for line in sys.stdin:
        service.behaviour = line.strip()


if __name__ == "__main__":
    main()
