"""The command line: `python -m examples.outage --help`."""

import sys


def main() -> int:
    """
    Play the outage; what keeps it from being played is one line, never a traceback.

    Returns:
        0 if the story held, 1 if it did not, 2 if it could not be played, 130 if interrupted.
    """
    try:
        # Here and not above: what is missing is told below, and importing takes long enough
        # to be interrupted.
        from examples.outage.arguments import asked
        from examples.outage.stage import perform
        from examples.outage.story import UnplayableError

        try:
            return 0 if perform(asked()) else 1
        except* UnplayableError as errors:
            trouble = f"The outage cannot be played: {errors.exceptions[0]}."
            code = 2
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        trouble = f"The demo needs {package}, which `make demo` installs."
        code = 2
    except KeyboardInterrupt:
        trouble = "Interrupted; nothing is left running."
        code = 130
    print(trouble, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
