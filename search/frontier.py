"""The frontier: a search and a confirmation for each of several caps, the smallest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pennyweight.arch.budget import Budget
from pennyweight.arch.errors import UsageError
from pennyweight.results.frontier import FrontierPoint, frontier_point
from pennyweight.results.places import Place
from pennyweight.results.studies import find_study
from pennyweight.search.confirm import Confirmation
from pennyweight.search.device import Asked
from pennyweight.search.engine import EXECUTOR
from pennyweight.search.launch import Plan
from pennyweight.search.settings import Sampler, Settings
from pennyweight.train.precision import PRECISION, Precision


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """Searches under each of `caps`; each begins with the best of those before it.

    Their studies are those that `search` makes of the same flags. One that exists already is gone
    on with as it began.
    """

    data: str
    caps: tuple[int, ...]
    max_epochs: int
    trials: int
    top: int
    race: int
    seeds: int
    runs: Place
    sampler: Sampler = "tpe"
    seed: int = 0
    precision: Precision = PRECISION

    def __post_init__(self) -> None:
        if len(set(self.caps)) < len(self.caps) or not self.caps:
            raise UsageError(
                f"--max-params must be different caps, such as 500,1k,2k, but got {self.caps}."
            )
        for cap in self.caps:  # refused before the first is searched
            _ = self._plan(cap, [], "auto", EXECUTOR).known

    def run(
        self,
        *,
        workers: int | None,
        device: Asked,
        executor: str = EXECUTOR,
        progress: bool = True,
    ) -> Iterator[FrontierPoint]:
        """Do what is still to be done; the point of each cap as soon as it is there."""
        before: list[str] = []
        for cap in sorted(self.caps):
            plan = self._plan(cap, before, device, executor)
            plan.run(workers=workers, timeout_s=None, progress=progress)
            confirmation = Confirmation(
                runs=self.runs, model=plan.name, top=self.top, race=self.race, seeds=self.seeds
            )
            found = confirmation.run(
                workers=workers, device=device, executor=executor, progress=progress
            )
            before.append(plan.name)
            yield frontier_point(*found)

    def _plan(self, cap: int, before: list[str], device: Asked, executor: str) -> Plan:
        settings = Settings(
            data=self.data,
            budget=Budget(max_params=cap, max_epochs=self.max_epochs),
            sampler=self.sampler,
            seed=self.seed,
            precision=self.precision,
        )
        if find_study(self.runs, settings.name) is None:
            settings = replace(settings, after=tuple(before))
        return Plan.of(
            settings,
            group=None,
            trials=self.trials,
            study=None,
            runs=self.runs,
            device=device,
            executor=executor,
        )
