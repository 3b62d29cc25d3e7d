"""Optuna's samplers compared on equal training cost: the best network each finds, over seeds.

    .venv/bin/python benchmarks/samplers.py --out benchmarks/records/samplers-digits.json

Each sampler runs the same searches, one for each seed, until all have trained as many epochs. Each
is in its own setting: TPE learns from trials that were pruned, and random search from none, so they
prune. NSGA-II and the Gaussian process learn from complete trials alone, and get four times fewer,
but all complete. All proposals are the sampler's own: what a search asks first would be the same
for all, and win. The result of a search is the validation accuracy of its best complete trial, less
what fresh seeds of it lose: the mean over fresh seeds, on validation pictures. Prints each
sampler's mean with its 95% interval, and its difference from random search over the paired seeds.

What was searched is in --out as soon as it is measured: the same command goes on from there, and
one with more --seeds adds to it. `gp` needs PyTorch. Expect an hour.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

from cyclopts import App, Parameter
from growing import keep, known_rows

from pennyweight.results.intervals import interval_of
from pennyweight.results.study_records import StudyRecords, TrialRecord
from pennyweight.search import proposals, sampling, search
from pennyweight.search.executors import LocalExecutor
from pennyweight.search.recording import task_again
from pennyweight.search.settings import Sampler
from pennyweight.train.rung import train_rung

PRUNED = ("random", "tpe")

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    data: str = "digits",
    max_params: int = 999,
    max_epochs: int = 15,
    cost: Annotated[int, Parameter(help="Epochs that each search trains in all.")] = 900,
    seeds: int = 5,
    fresh: int = 3,
    samplers: tuple[Sampler, ...] = ("random", "tpe", "nsga2", "gp"),
    runs: Path = Path("runs"),
    out: Annotated[Path, Parameter(help="The record, which is gone on with.")],
) -> None:
    """Search with every sampler from every seed."""
    proposals.FIRST.clear()
    budget = {"max_params": max_params, "max_epochs": max_epochs}
    settings: dict[str, Any] = {"benchmark": "samplers", "data": data, **budget, "cost": cost}
    rows = known_rows(out, settings)
    done = {(row["sampler"], row["seed"]) for row in rows}
    for seed in range(seeds):
        for sampler in samplers:  # in turn, so that all meet the same disturbances
            if (sampler, seed) in done:
                continue
            study = _searched(data, budget, sampler, seed, cost, runs)
            rows.append(_row(sampler, seed, study, cost, fresh))
            keep(out, settings, rows)
            print("{sampler}, seed {seed}: {fresh:.2%} {notation}".format(**rows[-1]), flush=True)
    _tell(rows, samplers)


def _searched(
    data: str, budget: dict[str, Any], sampler: Sampler, seed: int, cost: int, runs: Path
) -> StudyRecords:
    """A search that has trained `cost` epochs."""
    pruned = sampler in PRUNED
    trials = cost // (budget["max_epochs"] // 3 if pruned else budget["max_epochs"])
    never = patch.object(sampling.WithinShare, "prune", lambda *_: False)
    with nullcontext() if pruned else never:
        while True:
            asked = {"trials": trials, "sampler": sampler, "seed": seed}
            study = search(data, runs=runs, progress=False, **asked, **budget).study
            spent = _spent(study)
            if spent >= cost:
                return study
            trials += math.ceil((cost - spent) / spent * trials)


def _spent(study: StudyRecords) -> int:
    return sum(trial.epochs for trial in study.trials.values())


def _tell(rows: list[dict[str, Any]], samplers: tuple[Sampler, ...]) -> None:
    by_sampler = {
        name: [row["fresh"] for row in rows if row["sampler"] == name] for name in samplers
    }
    for name, values in by_sampler.items():
        mean = interval_of(values)
        pairs = zip(values, by_sampler[samplers[0]], strict=True)
        apart = interval_of([100 * (ours - theirs) for ours, theirs in pairs])
        print(
            f"{name:<8}{mean.mean:.2%} [{mean.low:.2%}, {mean.high:.2%}]   against {samplers[0]} "
            f"{apart.mean:+.2f} points [{apart.low:+.2f}, {apart.high:+.2f}]"
        )


def _row(sampler: str, seed: int, study: StudyRecords, cost: int, fresh: int) -> dict[str, Any]:
    """What a search had found when it had trained for `cost` epochs."""
    spent, best = 0, None
    for trial in study.trials.values():
        spent += trial.epochs
        if spent > cost:
            break
        if trial.state == "complete" and (best is None or _merit(trial) > _merit(best)):
            best = trial
    assert best is not None
    tasks = [task_again(study, best, 1_000 + number) for number in range(fresh)]
    with LocalExecutor() as executor:
        ends = [outcome.curve[-1].val_accuracy for outcome in executor.map(train_rung, tasks)]
    return {
        "sampler": sampler,
        "seed": seed,
        "wall_s": round(study.wall_s, 1),
        "trials": len(study.trials),
        "complete": study.counts["complete"],
        "best": best.trial,
        "notation": best.notation,
        "val_accuracy": best.val_accuracy,
        "fresh": sum(ends) / fresh,
        "ends": ends,
    }


def _merit(trial: TrialRecord) -> float:
    return trial.val_accuracy or 0.0


if __name__ == "__main__":
    app()
