"""A program is compiled once a process for all its candidates, and once a machine on the disk."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.monitoring
import numpy as np
from training import STILL, candidate, quickly, random_labelled, start, steps_of

from pennyweight.train.compiled import compiled
from pennyweight.train.plan import plan_epoch
from pennyweight.train.program import Program
from pennyweight.train.rung import Task, train_rung
from pennyweight.train.score import score

SHAPE = (3, 3, 1)
TRAINING, CALIBRATION, VALIDATION = (random_labelled(n, SHAPE, 3, seed=n) for n in (21, 20, 9))
compilations: list[str] = []


@jax.monitoring.register_event_duration_secs_listener
def _note(event: str, duration_secs: float, **kwargs: str | int) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        compilations.append(event)


def test_compiled_code_computes_what_the_functions_say() -> None:
    chosen = candidate("b F o0.1 d3+", SHAPE, 3, batch_size=5, peak_learning_rate=0.1)
    program, state, traced = start(chosen, 3, 4)
    run = compiled(program, 21, 20, 9)
    plan = plan_epoch(21, chosen.recipe, 5, 1)
    after, learned = run.train_steps(state, traced, TRAINING, plan)
    wanted, expected_of_it = steps_of(program)(state, traced, TRAINING, plan)
    for one, other in zip(jax.tree.leaves(after), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(learned, expected_of_it, rtol=1e-5)
    found = run.score(after.average, CALIBRATION, VALIDATION)
    expected = quickly(lambda *a: score(program, *a))(after.average, CALIBRATION, VALIDATION)
    np.testing.assert_allclose(found.log_loss, expected.log_loss, rtol=1e-4)
    assert int(found.correct) == int(expected.correct)


def test_candidates_of_one_program_share_what_was_compiled() -> None:
    """The second differs from the first in all that may differ, and compiles nothing."""
    first = candidate("F d3", SHAPE, 3, batch_size=5)
    numbers = {"peak_learning_rate": 0.1, "weight_decay": 0.1, "label_smoothing": 0.1}
    changes = {"averaging": 2, "rotation": 20, "shear": 1, "scale": 0, "shift": 0.2}
    second = candidate("F d3", SHAPE, 3, batch_size=5, seed=1, **numbers, **changes)
    losses = []
    for chosen in (first, second):
        program, state, traced = start(chosen, 2, 4)
        before = len(compilations)
        run = compiled(program, 21, 20, 9)
        plan = plan_epoch(21, chosen.recipe, chosen.seed, 1)
        after, learned = run.train_steps(state, traced, TRAINING, plan)
        run.score(after.average, CALIBRATION, VALIDATION)
        losses.append((float(learned.loss), len(compilations) - before))
    assert losses[0][0] != losses[1][0]
    assert losses[0][1] > 0
    assert losses[1][1] == 0


def test_what_is_compiled_depends_on_the_program_and_the_numbers_of_pictures() -> None:
    plain = candidate("F d3", SHAPE, 3, batch_size=5)
    program = Program.of(plain, 2)
    assert compiled(program, 21, 20, 9) is compiled(Program.of(plain, 2), 21, 20, 9)
    still = Program.of(candidate("F d3", SHAPE, 3, batch_size=5, **STILL), 2)
    assert compiled(still, 21, 20, 9) is not compiled(program, 21, 20, 9)
    assert compiled(program, 21, 20, 8) is not compiled(program, 21, 20, 9)


NOTATION = "m2 F d10+"
PROGRAM = """
import hashlib, sys
import jax.monitoring
from pennyweight.arch.notation import parse
from pennyweight.train.recipe import Candidate, Recipe
from pennyweight.train.rung import Task, train_rung, warm_up

seen = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: seen.append(event.split("/")[-1])
)
warm_up("digits", 0)
candidate = Candidate(architecture=parse(sys.argv[1], (8, 8, 1), 10), recipe=Recipe(), seed=3)
task = {"split_seed": 0, "candidate": candidate, "epochs": 2, "from_epoch": 0, "to_epoch": 2}
outcome = train_rung(Task(source="digits", **task))
digest = hashlib.sha256(outcome.state + outcome.model).hexdigest()
print(seen.count("backend_compile_duration"), digest)
"""


def test_other_processes_train_bit_for_bit_alike_and_the_second_compiles_nothing(
    tmp_path: Path,
) -> None:
    """One compiles for itself, the next reads what the first left on the disk; and this one."""
    environment = os.environ | {"PENNYWEIGHT_CACHE": str(tmp_path)}
    printed = []
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, NOTATION],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
        printed.append(run.stdout.split())
    (compiled_first, first), (compiled_again, second) = printed
    assert (int(compiled_first), int(compiled_again)) == (2, 0)
    chosen = candidate(NOTATION, seed=3)
    task = {"split_seed": 0, "candidate": chosen, "epochs": 2, "from_epoch": 0, "to_epoch": 2}
    here = train_rung(Task(source="digits", **task))
    assert first == second == hashlib.sha256(here.state + here.model).hexdigest()
