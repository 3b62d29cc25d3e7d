"""The command line: `pennyweight COMMAND …`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from cyclopts import App, CycloptsError

from pennyweight.arch.errors import UsageError
from pennyweight.search import commands

app = App(
    name="pennyweight",
    help="Find the most accurate small convolutional network that a parameter budget allows.",
    help_epilogue="`pennyweight COMMAND --help` tells more; --debug shows where errors come from.",
    help_format="plaintext",
    version=lambda: f"pennyweight {version('pennyweight')}",
    result_action="return_value",
)
for command in (
    commands.search,
    commands.leaderboard,
    commands.export,
    commands.inspect,
    commands.train,
):
    app.command(command)
_data = App(name="data", help="The data sets that are here, and what is in them.")
_data.command(commands.data_list, name="list")
_data.command(commands.data_show, name="show")
app.command(_data)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 failed, 2 bad flags or input, 130 interrupted."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in tokens
    if debug:
        tokens.remove("--debug")
    try:
        app(tokens, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except BrokenPipeError:  # `pennyweight leaderboard … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        _end(130, "Interrupted; the same command goes on from here.", debug)
    except (CycloptsError, UsageError) as error:
        _end(2, str(error), debug)
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        _end(1, f"{named}{error.strerror or error}.", debug)
    except Exception as error:
        _end(1, f"{type(error).__name__}: {error} (--debug shows where)", debug)


def _end(status: int, message: str, debug: bool) -> None:
    """Print `message` on one line and exit, or with `debug` let the error through."""
    if debug:
        raise
    print(f"pennyweight: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
