"""The main guard: a worker imports the user's script again, which must not start a search then."""

import multiprocessing
import os
import sys
from types import TracebackType

from pennyweight.arch.errors import UsageError

WORKER_NAME = "pennyweight-worker"  # every worker's process name begins with it
REIMPORTED = 79  # exit status of a worker whose script started a search while it was imported


class MainGuardError(UsageError):
    """A script started worker processes outside `if __name__ == "__main__":`."""


def refuse_nested() -> None:
    """End this process, silently, if it is a worker that is still importing the user's script.

    To be called first by whatever starts a search: in such a worker it would start the search,
    and more workers, over again. The coordinator sees the exit status and raises
    `MainGuardError`.
    """
    process = multiprocessing.current_process()
    # `_inheriting` is what multiprocessing's own check of this mistake reads; nothing public
    # tells it. Somebody else's child is left to that check: its parent does not know our status.
    if getattr(process, "_inheriting", False) and process.name.startswith(WORKER_NAME):
        os._exit(REIMPORTED)  # without a flush: what the script printed is not printed again


def main_guard_error() -> MainGuardError:
    """The error to raise in the coordinator.

    If nothing catches it, the script ends with its one line on stderr and status 2.
    """
    # A script has nothing above it that would print the line. With `SystemExit` as a base class
    # an error carries a message or status 2, not both. The hook is set only once the error
    # exists, and Python calls it only if nobody caught that.
    previous = sys.excepthook

    def end_with_one_line(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, MainGuardError):
            return previous(kind, error, trace)
        print(error, file=sys.stderr)
        raise SystemExit(2)

    sys.excepthook = end_with_one_line
    script = getattr(sys.modules["__main__"], "__file__", None) or "this one"
    return MainGuardError(
        "a script must start a search in its main block, because every worker process imports "
        f"the script again, but {script} starts one outside it; put the call under "
        '`if __name__ == "__main__":`.'
    )


def forget_stdin() -> None:
    """Let `python - < SCRIPT` start workers.

    Its `__main__` claims a file named `<stdin>`, which a worker would fail to import.
    """
    main = sys.modules["__main__"]
    if getattr(main, "__file__", None) == "<stdin>":
        del main.__file__
