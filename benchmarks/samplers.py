"""Optuna's samplers compared on equal training cost: the best network each finds, over seeds.

    .venv/bin/python benchmarks/samplers.py --out benchmarks/records/samplers-digits.json

Each sampler runs the same searches, one for each seed, in its own setting: TPE sees the trials that
were pruned, NSGA-II and the Gaussian process learn from complete ones alone. All proposals are the
sampler's own: what a search asks first would be the same for all, and win. A search counts up to
the moment at which the shortest of all has spent its epochs, so that all have trained alike. Its
result is the validation accuracy of the best complete trial until then, less what fresh seeds of it
lose: the mean over fresh seeds, on validation pictures. Prints each sampler's mean with its 95%
interval, and its difference from random search (Welch). `gp` needs PyTorch. Expect half an hour.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from machine import origin

from pennyweight.results.intervals import interval_of, welch_interval
from pennyweight.results.study_records import StudyRecords, TrialRecord
from pennyweight.search import proposals, search
from pennyweight.search.executors import LocalExecutor
from pennyweight.search.recording import task_again
from pennyweight.search.settings import Sampler
from pennyweight.train.rung import train_rung

app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    *,
    data: str = "digits",
    max_params: int = 999,
    max_epochs: int = 15,
    trials: int = 60,
    seeds: int = 5,
    fresh: int = 3,
    samplers: tuple[Sampler, ...] = ("random", "tpe", "nsga2"),
    runs: Path = Path("runs"),
    out: Annotated[Path | None, Parameter(help="Where to write the record.")] = None,
) -> None:
    """Search with every sampler from every seed."""
    proposals.FIRST.clear()
    studies: dict[tuple[str, int], StudyRecords] = {}
    for seed in range(seeds):
        for sampler in samplers:  # in turn, so that all meet the same disturbances
            budget: dict[str, Any] = {"max_params": max_params, "max_epochs": max_epochs}
            found = search(
                data, trials=trials, sampler=sampler, seed=seed, runs=runs, progress=False, **budget
            )
            studies[sampler, seed] = found.study
            print(f"{sampler}, seed {seed}: {found.study.wall_s:.0f} s", flush=True)
    epochs = min(sum(trial.epochs for trial in study.trials.values()) for study in studies.values())
    with LocalExecutor() as executor:
        rows = [
            _row(sampler, seed, study, epochs, fresh, executor)
            for (sampler, seed), study in studies.items()
        ]
    by_sampler = {
        name: [row["fresh"] for row in rows if row["sampler"] == name] for name in samplers
    }
    print(f"after {epochs:,} epochs of training each:")
    for name, values in by_sampler.items():
        mean = interval_of(values)
        apart = welch_interval(values, by_sampler[samplers[0]])
        print(
            f"{name:<8}{mean.mean:.2%} [{mean.low:.2%}, {mean.high:.2%}]   against {samplers[0]} "
            f"{100 * apart.mean:+.2f} points [{100 * apart.low:+.2f}, {100 * apart.high:+.2f}]"
        )
    if out:
        record = {
            "benchmark": "samplers",
            "data": data,
            "max_params": max_params,
            "max_epochs": max_epochs,
            "trials": trials,
            "epochs": epochs,
            "rows": rows,
            **origin(),
        }
        out.write_text(json.dumps(record, indent=1) + "\n")


def _row(
    sampler: str,
    seed: int,
    study: StudyRecords,
    epochs: int,
    fresh: int,
    executor: LocalExecutor,
) -> dict[str, Any]:
    """What a search had found when it had spent `epochs`."""
    spent, best = 0, None
    for trial in study.trials.values():
        spent += trial.epochs
        if spent > epochs:
            break
        if trial.state == "complete" and (best is None or _merit(trial) > _merit(best)):
            best = trial
    assert best is not None
    tasks = [task_again(study, best, 1_000 + number) for number in range(fresh)]
    ends = [outcome.curve[-1].val_accuracy for outcome in executor.map(train_rung, tasks)]
    return {
        "sampler": sampler,
        "seed": seed,
        "wall_s": round(study.wall_s, 1),
        "trials": len(study.trials),
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
