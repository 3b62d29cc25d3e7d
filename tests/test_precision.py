"""What matrix products are computed in: chosen, compiled so, and told where it is unusual."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from command_line import NETWORK, pennyweight
from safetensors.numpy import load
from training import candidate, random_labelled, start

from pennyweight.results.records import read_records
from pennyweight.train.compiled import _options, compiled
from pennyweight.train.plan import plan_epoch
from pennyweight.train.precision import Precision
from pennyweight.train.program import train_steps
from pennyweight.train.recipe import Candidate
from pennyweight.train.rung import Outcome, Task, train_rung
from pennyweight.train.score import score

CHOSEN = candidate("c4br wb (c4b)r c6k1r A d10+", batch_size=128, seed=3)
PICTURES = random_labelled(256, (8, 8, 1), 10)
BOTH: tuple[Precision, Precision] = ("float32", "bfloat16")


def lowered(chosen: Candidate, precision: Precision, function: Callable[..., Any]) -> Any:
    """What XLA is given for two steps of training, or for a score."""
    program, state, traced = start(chosen, 2, 2)
    program = replace(program, precision=precision)
    plan = plan_epoch(256, chosen.recipe, 0, 1)
    given = (
        (state, traced, PICTURES, plan)
        if function is train_steps
        else (state.average, PICTURES, PICTURES)
    )
    return jax.jit(partial(function, program)).lower(*given)


def products(text: str) -> set[tuple[str, ...]]:
    """The types of both factors and the result of each product."""
    types = r"\(tensor<\S*?(\w+)>, tensor<\S*?(\w+)>\) -> tensor<\S*?(\w+)>"
    found = re.findall(r"stablehlo\.dot_general.* : " + types, text)
    assert len(found) == text.count("stablehlo.dot_general") > 0
    assert len(found) + text.count("@pennyweight_conv") > 3
    return {tuple(re.sub(r".*x", "", name) for name in each) for each in found}


@pytest.mark.parametrize("function", [train_steps, score])
def test_every_product_takes_what_was_chosen_and_gives_float32(
    form: str, function: Callable[..., Any]
) -> None:
    short = {"float32": "f32", "bfloat16": "bf16"}
    for precision in BOTH:
        low = lowered(CHOSEN, precision, function)
        assert products(low.as_text()) == {(short[precision], short[precision], "f32")}, form
        assert ("bf16[" in low.compile().as_text()) == (precision == "bfloat16")
        assert {leaf.dtype for leaf in jax.tree.leaves(low.out_info)} <= {
            np.dtype(name) for name in ("float32", "int32", "bool")
        }


@pytest.mark.parametrize(
    "notation",
    ["c16k1br c16k1br A d10+", "c8 (c8br)r m2 F d64r d10", "c8s2k5br w a2 M d32 d10", "F d10"],
)
def test_products_of_all_kinds_run_in_bfloat16(form: str, notation: str) -> None:
    """XLA fails at a product whose operand it turned round, and not before it runs."""
    chosen = candidate(notation, batch_size=128)
    program, state, traced = start(chosen, 2, 2)
    plan, losses = plan_epoch(256, chosen.recipe, 0, 1), {}
    for precision in BOTH:
        exact = replace(program, precision=precision)
        options = _options(exact, 256)
        run = jax.jit(partial(train_steps, exact), compiler_options=options)
        losses[precision] = float(run(state, traced, PICTURES, plan)[1].loss)
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02), form


def test_gradients_keep_the_bits_that_their_factors_have() -> None:
    """They are float32 sums: rounded to bfloat16, most of their bits would be zeros."""
    after = jax.jit(kernel_gradient)(np.random.default_rng(0).normal(size=(64, 128)))
    bits = np.asarray(after, np.float32).view(np.uint32)
    assert ((bits & 0xFFFF) != 0).mean() > 0.9


def kernel_gradient(x: jax.Array) -> jax.Array:
    from pennyweight.arch.products import linear

    kernel = jax.numpy.ones((64, 10))
    with jax.default_matmul_precision("bfloat16"):
        return jax.grad(lambda kernel: (linear(kernel, x.astype("float32")) ** 2).sum())(kernel)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="elsewhere JAX rounds by default")
def test_asking_for_float32_changes_no_bit_on_a_cpu(form: str) -> None:
    program, state, traced = start(CHOSEN, 2, 2)
    plan = plan_epoch(256, CHOSEN.recipe, 0, 1)
    silent = train_steps.__wrapped__  # type: ignore[attr-defined]
    mine, wanted = (
        jax.jit(partial(function, program))(state, traced, PICTURES, plan)
        for function in (train_steps, silent)
    )
    assert jax.tree.all(jax.tree.map(np.array_equal, mine, wanted)), form


def rung(precision: Precision | None, start: int, state: bytes | None) -> Outcome:
    task: dict[str, Any] = {"epochs": 3, "from_epoch": start, "to_epoch": start + 1}
    task |= {} if precision is None else {"precision": precision}
    return train_rung(Task(source="digits", split_seed=0, candidate=CHOSEN, state=state, **task))


def test_a_rung_goes_on_in_its_own_precision_alone() -> None:
    usual, narrow = rung(None, 0, None), rung("bfloat16", 0, None)
    assert narrow.state != usual.state
    assert narrow.curve[0].val_log_loss == pytest.approx(usual.curve[0].val_log_loss, rel=0.02)
    assert rung("float32", 1, usual.state).curve == rung(None, 1, usual.state).curve
    rung("bfloat16", 1, narrow.state)
    for precision, other in zip(BOTH, (narrow, usual), strict=True):
        with pytest.raises(ValueError, match="belongs to another network"):
            rung(precision, 1, other.state)
    # A state from before there was a choice, whose owner names no precision, is gone on from.
    fingerprint = CHOSEN.architecture.fingerprint
    owner = hashlib.sha256(f"{fingerprint} {fingerprint} 3".encode()).digest()
    assert load(usual.state)["owner"].tobytes() == owner


def test_programs_of_both_precisions_are_compiled_side_by_side() -> None:
    program, _, _ = start(candidate("F d10", batch_size=128), 2, 2)
    narrow = replace(program, precision="bfloat16")
    assert compiled(narrow, 256, 256, 256) is not compiled(program, 256, 256, 256)


def test_a_training_tells_its_precision_where_it_is_unusual(tmp_path: Path) -> None:
    flags = ["--max-epochs", "1", "--precision", "bfloat16"]
    ran = pennyweight("train", NETWORK, *flags, "--json", cwd=tmp_path)
    assert ran.status == 0, ran.err
    assert ran.json["precision"] == "bfloat16"
    name = ran.json["study"]
    assert name.endswith("-0-bfloat16")
    (study, *_) = read_records(tmp_path / "runs" / name / "records.jsonl")
    assert study["settings"]["precision"] == "bfloat16"
    shown = pennyweight("leaderboard", name, cwd=tmp_path)
    assert " · epochs ≤ 1 · bfloat16 " in " ".join(shown.out.split())
    assert pennyweight("leaderboard", name, "--json", cwd=tmp_path).json["precision"] == "bfloat16"
    again = pennyweight("train", NETWORK, "--study", name, "--max-epochs", "1", cwd=tmp_path)
    assert again.status == 2
    assert "precision is bfloat16 there and float32 here" in again.err
