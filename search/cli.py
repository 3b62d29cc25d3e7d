"""The command line: `pennyweight COMMAND …`."""

from __future__ import annotations

import codecs
import os
import select
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from io import TextIOWrapper
from typing import NoReturn

from cyclopts import App, CycloptsError
from cyclopts.exceptions import CoercionError, MissingArgumentError, UnusedCliTokensError

from pennyweight.arch.errors import RunError, UsageError, shown, without_passwords
from pennyweight.search import (
    commands_baselines,
    commands_database,
    commands_look,
    commands_search,
    commands_serve,
    commands_use,
)

app = App(
    name="pennyweight",
    help="Find the most accurate small convolutional network that a parameter budget allows.",
    help_epilogue="`pennyweight COMMAND --help` tells more; --debug shows where errors come from.",
    help_format="plaintext",
    version=lambda: f"pennyweight {version('pennyweight')}",
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # it would end without a word
)
for command in (
    commands_search.search,
    commands_look.leaderboard,
    commands_look.report,
    commands_serve.dashboard,
    commands_search.confirm,
    commands_search.frontier,
    commands_baselines.baselines,
    commands_use.export,
    commands_use.evaluate,
    commands_use.predict,
    commands_serve.draw,
    commands_database.fetch,
    commands_look.inspect,
    commands_search.train,
):
    app.command(command)
_data = App(name="data", help="The data sets that are here, and what is in them.")
_data.command(commands_look.data_list, name="list")
_data.command(commands_look.data_show, name="show")
app.command(_data)

_LONGEST = 1_000  # characters of an error message

# Where a terminal knows ASCII alone, these stand for what tables and titles are made of.
_PLAIN = {"≤": "<=", "·": "-", "◆": "*", "…": "~", "—": "-"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit.

    Status 0 is done, 1 failed, 2 bad flags or input, 130 interrupted, 143 terminated.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in tokens
    # What Slurm, Kubernetes and `docker stop` send before they kill.
    signal.signal(signal.SIGTERM, _terminated)
    try:
        _prepare_stdout()
        _run([token for token in tokens if token != "--debug"])
    except BrokenPipeError as error:
        if _reader_is_gone():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        _fail(error, debug)
    except (KeyboardInterrupt, Exception) as error:
        _fail(error, debug)


class _Terminated(KeyboardInterrupt):
    """Ends a command as Ctrl-C does."""


def _terminated(*_: object) -> NoReturn:
    raise _Terminated


def _run(tokens: list[str]) -> None:
    try:
        app(tokens, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        raise UsageError(_reworded(error)) from error
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # rich calls it a failure
            sys.exit(0)
        raise


def _reworded(error: CycloptsError) -> str:
    """The error in our own words, where cyclopts' are its own jargon."""
    name = " ".join(error.command_chain or ())
    remedy = f"`pennyweight {name} --help` tells more."
    match error:
        case UnusedCliTokensError(unused_tokens=[token, *_]):
            return f"{name} takes no {shown(token)}: {remedy}"
        case MissingArgumentError(keyword=None, argument=argument) if argument:
            return f"{name} needs {argument.name}: {remedy}"
        case MissingArgumentError(keyword=flag):
            return f"{flag} needs a value: {remedy}"
        case CoercionError(msg=str(reason), token=token) if token and token.keyword:
            return f"{token.keyword} {reason}"
    return str(error)


def _fail(error: BaseException, debug: bool) -> NoReturn:
    """Print one line, with `debug` after where the error comes from, and exit."""
    match error:
        case _Terminated():
            status, message = 143, "Terminated; the same command goes on from here."
        case KeyboardInterrupt():
            status, message = 130, "Interrupted; the same command goes on from here."
        case UsageError():
            status, message = 2, str(error)
        case RunError():
            status, message = 1, str(error)
        case OSError():
            named = f"{error.filename}: " if error.filename else ""
            status, message = 1, f"{named}{error.strerror or error}."
        case _:
            hint = "" if debug else " (--debug shows where)"
            status, message = 1, f"{type(error).__name__}: {error}{hint}"
    if debug:
        print(without_passwords("".join(traceback.format_exception(error))), file=sys.stderr)
    # A UsageError escapes what could move the cursor.
    line = str(UsageError(without_passwords(" ".join(message.split()))))
    if len(line) > _LONGEST:  # what was quoted; the remedy stands at the end
        line = f"{line[: _LONGEST // 2]}...{line[-_LONGEST // 2 :]}"
    print(f"pennyweight: {line}", file=sys.stderr)
    sys.exit(status)


def _prepare_stdout() -> None:
    """Let whatever is printed reach stdout: closed, or in an encoding that lacks it."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        codecs.register_error("pennyweight", _plain)
        sys.stdout.reconfigure(errors="pennyweight")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """A codec error handler, which writes a character in ASCII, or as a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in lacking), error.end


def _reader_is_gone() -> bool:
    """Whether it is stdout that nobody reads any more, as in `pennyweight leaderboard … | head`."""
    events = select.poll()
    events.register(sys.stdout, 0)  # an error is told without being asked for
    return bool(events.poll(0))


if __name__ == "__main__":
    main()
