"""The command line: `python -m examples.budget`."""

import sys


def main() -> int:
    """
    Play each scene and show it; what keeps it from being played is one line, never a traceback.

    Returns:
        0 if it was played, 2 if it could not be, 130 if interrupted.
    """
    try:
        # Here and not above: what is missing is told below.
        from rich.console import Console

        from examples.budget.play import play
        from examples.budget.scenes import SCENES
        from examples.budget.tables import tables

        console = Console()
        for scene in SCENES:
            console.print(tables(play(scene)))
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        print(f"The example needs {package}, which `make budget` installs.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; nothing is left running.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
