"""What tests may count on: a cache folder of their own, strict JAX, data sets or a reason to skip.

Everything goes through environment variables, so that the processes a test starts behave the same.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from started import end_all

# A broadcast between ranks is a mistake here until it is written out. The like for dtypes cannot be
# had for whole programs: optax's bias corrections and schedules mix floats with integer counts.
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
# The golden numbers are a CPU's. JAX_PLATFORMS=cuda runs what does not search on a GPU.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# A shell's background job is deaf to Ctrl-C, and so would be what it starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What a worker's XLA is told when it starts, this process's must be told before any test starts it.
import pennyweight.train.compiled  # noqa: F401, I001
from convolutions import FORMS, taking

# A first example may compile; how long that takes says nothing about the property.
hypothesis.settings.register_profile("patient", hypothesis.settings(), deadline=None)
# A fuzz run: `pytest tests/test_fuzz.py --hypothesis-profile=long --timeout=0`.
hypothesis.settings.register_profile("long", deadline=None, max_examples=3_000)
hypothesis.settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    """Gives the session a cache folder of its own, which pytest-xdist's workers inherit.

    Decoded data sets and compiled programs are in it, so nothing stale is read and nothing is left.
    """
    if not hasattr(config, "workerinput"):
        cache = Path(tempfile.mkdtemp(prefix="pennyweight-tests-"))
        os.environ["PENNYWEIGHT_CACHE"] = str(cache)
        config.add_cleanup(lambda: shutil.rmtree(cache, ignore_errors=True))


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Ends what a test that failed has left: the next would be slow, or find the study locked."""
    yield
    end_all()


@pytest.fixture
def strict_dtypes() -> Iterator[None]:
    """Makes an implicit change of dtype an error, for tests of our own array code."""
    import jax

    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture
def float64() -> Iterator[None]:
    """Numbers are of 64 bits."""
    import jax

    with jax.enable_x64(True):
        yield


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Iterator[str]:
    """Takes each form in which convolutions are computed."""
    with taking(request.param):
        yield request.param


@pytest.fixture(scope="session")
def mnist() -> str:
    """The name of a prepared data set; the test is skipped where it is not prepared."""
    return prepared("mnist")


@pytest.fixture(scope="session")
def fashion_mnist() -> str:
    """As `mnist`."""
    return prepared("fashion_mnist")


def prepared(name: str) -> str:
    folder = os.environ.get("TFDS_DATA_DIR")
    if not folder:
        pytest.skip(f"TFDS_DATA_DIR names no folder in which {name} is prepared")
    if not (Path(folder) / name).is_dir():
        pytest.skip(f"{name} is not prepared in TFDS_DATA_DIR ({folder})")
    return name
