"""What runs in a worker process: settle down, then answer one call at a time. No JAX here."""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import pickle
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait

from pennyweight.arch.native_library import work_with
from pennyweight.search.device import Device
from pennyweight.train.cores import compute_in_one_thread

READY = b"ready"  # the first message: the script is imported, calls are welcome

# All workers wait for what the coordinator asks, so it comes first where cores are few: by this a
# trial's asking and telling took a third as long beside two workers on two cores.
_NICENESS = 5


def serve(
    pipe: Connection, device: Device | None, threads: ctypes.c_int | None, cores: Sequence[int]
) -> None:
    """Answer calls until the coordinator closes its end of the pipe.

    `device` is what JAX uses here; where it is None, what the user's environment says, or the CPU.
    Kernels in C use `threads`, which the coordinator changes, on `cores`; one, where it is None.
    """
    if threads is not None:
        work_with(threads, cores)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _settle(device)
    with contextlib.suppress(EOFError, OSError):
        pipe.send_bytes(READY)
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes()))


def _end_with_parent() -> None:
    """End this process when its parent is gone, however, and whatever the main thread is doing.

    XLA releases the GIL: in 184 s of one compilation this thread waited 0.33 s for it at most.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _settle(device: Device | None) -> None:
    """Make this process single-threaded on a CPU, and quiet: only errors reach the terminal."""
    choose_device(device)
    if hasattr(os, "nice"):  # not on Windows
        os.nice(_NICENESS)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    # stdout is the coordinator's: with --json it is one document.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def choose_device(device: Device | None) -> None:
    """Let JAX start on `device` in this process, on a CPU with a single thread."""
    if device is None or not device.accelerates:
        compute_in_one_thread()
    # One process per core is for the CPU: each would claim most of a GPU's memory.
    platforms = device.platforms if device else os.environ.get("JAX_PLATFORMS", "cpu")
    os.environ["JAX_PLATFORMS"] = platforms
    if "jax" in sys.modules:  # the script imported it, and then it read the variable
        sys.modules["jax"].config.update("jax_platforms", platforms)
    # 1 is what importing JAX sets. At 2, XLA still reports slow compilations, as errors; a real
    # one is raised as well, and a crash is printed at any level.
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def _answer(request: bytes) -> bytes:
    """Run the pickled call; its (result, None) or (None, error), pickled."""
    try:
        fn, args, kwargs = pickle.loads(request)
        return pickle.dumps((fn(*args, **kwargs), None))
    except BaseException as error:
        where = "".join(traceback.format_exception(error))
        try:
            error.add_note(f"In worker process {os.getpid()}:\n{where}")
            answer = pickle.dumps((None, error))
            pickle.loads(answer)  # fails here for an error that cannot be made from its `args`
        except Exception:
            answer = pickle.dumps((None, RuntimeError(where)))
        return answer
