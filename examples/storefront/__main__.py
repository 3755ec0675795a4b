"""The command line: `python -m examples.storefront`."""

import argparse
import asyncio
import sys


def main() -> int:
    """
    Start everything, play the story, and say what visitors saw.

    Returns:
        0 if every promise was kept, 1 if not, 2 if it could not be played, 130 if interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m examples.storefront",
        description="Play visitors of a storefront through an outage of its services.",
    )
    parser.add_argument("--pace", type=float, default=1.0, help="share of the story's 21 seconds")
    parser.add_argument("--stay", action="store_true", help="go on until Ctrl-C, to look around")
    arguments = parser.parse_args()
    try:
        # Here and not above: what is missing is told below.
        import fastapi  # noqa: F401
        import httpx2  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401

        from examples.storefront.stage import UnplayableError
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        print(f"The example needs {package}, which `make storefront` installs.", file=sys.stderr)
        return 2
    try:
        return asyncio.run(perform(arguments.pace, stay=arguments.stay))
    except UnplayableError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; nothing is left running.", file=sys.stderr)
        return 130


async def perform(pace: float, *, stay: bool) -> int:
    """Play the story on a stage, and return the exit status."""
    from examples.storefront.play import Scene, play
    from examples.storefront.report import heading, lines, verdict
    from examples.storefront.stage import stage

    def say(scene: Scene) -> None:
        print(*lines(scene), sep="\n", flush=True)

    async with stage() as made:
        at = made.storefront.url
        print(f"{at}/products/pen   {at}/circuits/   {at}/metrics/   {at}/live", flush=True)
        print(heading(), flush=True)
        promises = verdict(await play(made, pace, say))
        for promise, kept in promises.items():
            print(f"{'kept  ' if kept else 'BROKEN'} {promise}", flush=True)
        if stay:
            print("Ctrl-C ends it.", flush=True)
            await asyncio.Event().wait()
    return 0 if all(promises.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
