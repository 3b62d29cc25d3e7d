"""Which score of an early rung best predicts what a candidate is worth in the end.

    .venv/bin/python benchmarks/scores.py --out benchmarks/records/scores-digits.json

Random candidates of the space are trained to the end, scored on validation pictures after epochs 1,
2, 4, 8 and so on, and at each rung: by accuracy and by log-loss, of the averaged weights and of the
last step's own. What a candidate is worth is its mean accuracy at the end over fresh seeds. Prints,
for each early epoch and score, Spearman's rank correlation with that, and its 95% interval from
resampled candidates (percentile bootstrap). A search prunes by the score that predicts best.
Expect a quarter of an hour on the digits with two cores.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from machine import origin
from scipy.stats import spearmanr

from pennyweight.arch.budget import Budget
from pennyweight.search.decode import decode
from pennyweight.search.executors import LocalExecutor
from pennyweight.search.genome import random_genome
from pennyweight.search.settings import Settings
from pennyweight.train.data import describe
from pennyweight.train.recipe import Candidate
from pennyweight.train.rung import Task, train_rung, warm_up

RESAMPLED = 1_000

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    data: str = "digits",
    max_params: int = 999,
    epochs: int = 15,
    candidates: int = 48,
    seeds: int = 3,
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Train random candidates to the end and compare their early scores with their worth."""
    drawn = _drawn(data, max_params, candidates)
    with LocalExecutor(warm=partial(warm_up, data, 0)) as pool:
        jobs = [(data, candidate, epochs, seeds) for candidate in drawn]
        found = list(pool.map(_trained, *zip(*jobs, strict=True)))
    worth = np.array([each["worth"] for each in found])
    rows = []
    rungs = Settings(data=data, budget=Budget(max_epochs=epochs)).rungs
    for epoch in sorted({*rungs[:-1], *(point["epoch"] for point in found[0]["averaged"])}):
        for weights in ("averaged", "raw"):
            for score, sign in (("accuracy", 1), ("log_loss", -1)):
                values = np.array([sign * _at(each[weights], epoch, score) for each in found])
                rows.append({"epoch": epoch, "weights": weights, "score": score})
                rows[-1] |= _correlation(values, worth)
    print("epoch  weights   score      rank correlation [95%]")
    for row in rows:
        print(
            "{epoch:>5}  {weights:<9} {score:<10} {rho:.3f} [{low:.3f}, {high:.3f}]".format(**row)
        )
    if out:
        record = {
            "benchmark": "scores",
            "data": data,
            "max_params": max_params,
            "epochs": epochs,
            "seeds": seeds,
            "rows": rows,
            "candidates": found,
            **origin(),
        }
        out.write_text(json.dumps(record, indent=1) + "\n")


def _drawn(data: str, max_params: int, count: int) -> list[Candidate]:
    info, draw = describe(data), random.Random(0)
    found = []
    for _ in range(count):
        genome = random_genome(draw)
        budget = Budget(max_params=max_params)
        architecture = decode(genome, budget, info.input_shape, info.classes)
        found.append(Candidate(architecture=architecture, recipe=genome.recipe, seed=0))
    return found


def _trained(data: str, candidate: Candidate, epochs: int, seeds: int) -> dict[str, Any]:
    """The curves of seed 0, of averaged and raw weights, and the worth over the other seeds."""
    curves = _curves(data, candidate, epochs)
    fresh = [replace(candidate, seed=seed) for seed in range(1, seeds + 1)]
    tasks = [_task(data, each, epochs) for each in fresh]
    ends = [train_rung(task).curve[-1].val_accuracy for task in tasks]
    notation = candidate.architecture.notation
    return {"notation": notation, "worth": sum(ends) / seeds, "ends": ends, **curves}


def _task(data: str, candidate: Candidate, epochs: int) -> Task:
    return Task(
        source=data,
        split_seed=0,
        candidate=candidate,
        epochs=epochs,
        from_epoch=0,
        to_epoch=epochs,
    )


def _curves(data: str, candidate: Candidate, epochs: int) -> dict[str, list[dict[str, float]]]:
    """The scored epochs of one training, by averaged weights and by the last step's own."""
    from pennyweight.train.compiled import compiled
    from pennyweight.train.on_device import in_place
    from pennyweight.train.program import Program
    from pennyweight.train.together import plans, start

    tasks, program = [_task(data, candidate, epochs)], Program.of(candidate, epochs)
    rungs = Settings(data=data, budget=Budget(max_epochs=epochs)).rungs
    pictures = in_place(data, 0, False, 1)
    training, calibration, total = (len(each.labels_n) for each in pictures)
    state, traced = start(program, tasks, 1, training)
    run = compiled(program, training, calibration, total)
    curves: dict[str, list[dict[str, float]]] = {"averaged": [], "raw": []}
    for epoch in range(1, epochs + 1):
        plan = plans(tasks, 1, training, epoch)
        state, learned = run.train_steps(state, traced, pictures.training, plan)
        if epoch & (epoch - 1) and epoch not in rungs:
            continue
        for name, weights in (("averaged", state.average), ("raw", state.params)):
            score = run.score(weights, pictures.calibration, pictures.validation)
            log_loss = float(score.log_loss) if np.isfinite(score.log_loss) else 1e9
            accuracy = int(score.correct) / total
            curves[name].append({"epoch": epoch, "accuracy": accuracy, "log_loss": log_loss})
        if not np.isfinite(learned.loss):
            break
    return curves


def _at(points: list[dict[str, float]], epoch: int, score: str) -> float:
    """The score at an epoch; of a training that diverged before, its last one."""
    return [point for point in points if point["epoch"] <= epoch][-1][score]


def _correlation(values: np.ndarray, worth: np.ndarray) -> dict[str, float]:
    random = np.random.default_rng(0)
    picks = random.integers(0, len(worth), (RESAMPLED, len(worth)))
    resampled = [_rank_correlation(values[pick], worth[pick]) for pick in picks]
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return {
        "rho": _rank_correlation(values, worth),
        "low": float(low),
        "high": float(high),
    }


def _rank_correlation(values: np.ndarray, worth: np.ndarray) -> float:
    return float(np.asarray(spearmanr(values, worth))[0])


if __name__ == "__main__":
    app()
