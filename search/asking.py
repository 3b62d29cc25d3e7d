"""What a study asks next: a proposal, drawn until it gives a network that was not asked before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import Trial

from pennyweight.arch.architecture import Architecture
from pennyweight.search import sampling
from pennyweight.search.decode import decode
from pennyweight.search.genome import Genome
from pennyweight.search.proposals import Proposals
from pennyweight.search.settings import Settings
from pennyweight.train.data import DataInfo

MOST_DRAWS = 8  # of one trial, to find a network that was not asked before


class Asked(NamedTuple):
    """A trial with its genes, and the network that they make."""

    trial: Trial
    genome: Genome
    architecture: Architecture
    proposer: str


@dataclass
class Asking:
    """The questions of a study, one after the other."""

    study: optuna.Study
    settings: Settings
    info: DataInfo
    _networks: set[str] = field(default_factory=set)  # fingerprints
    _leader: Mapping[str, Any] | None = None  # genome of the trial that leads its group

    @cached_property
    def proposals(self) -> Proposals:
        settings, side = self.settings, min(self.info.input_shape[:2])
        return Proposals(
            settings.group,
            settings.budget.max_params,
            side,
            settings.first,
            own=settings.refine is None,
        )

    def in_groups(self, number: int) -> bool:
        """Whether trial `number` is trained in a group."""
        return self.settings.group > 1 and number >= self.proposals.alone

    def leads(self, number: int) -> bool:
        """Whether a group begins with trial `number`."""
        return self.proposals.leader_of(number) == number

    def note(self, number: int, fingerprint: str, genome: Mapping[str, Any]) -> None:
        """Trial `number` was asked: its network is known, and others follow it if it leads."""
        self._networks.add(fingerprint)
        if self.leads(number):
            self._leader = genome

    def ask(self, number: int) -> Asked:
        """Trial `number`, of a network that was not asked before, if a few attempts give one.

        Where a group's structure gives none, the trial gets one of its own.
        """
        settings, info, leads = self.settings, self.info, self.leads(number)
        proposer, fixed = self.proposals.proposal(number, None if leads else self._leader)
        attempt, most = 0, MOST_DRAWS if leads else 2 * MOST_DRAWS
        while True:
            if attempt == MOST_DRAWS:
                fixed = {"share": fixed["share"]}
            if attempt % MOST_DRAWS == 0:
                self.study.sampler = sampling.make_sampler(
                    settings.sampler,
                    settings.seed,
                    number,
                    attempt,
                    space=self._space,
                    before=self.study.sampler,
                    fixed=fixed,
                    first=self.proposals.leader_of(number),
                )
            trial = sampling.ask(self.study, number, fixed)
            genome = sampling.genome_of(trial, self._space)
            architecture = decode(genome, settings.budget, info.input_shape, info.classes)
            attempt += 1
            if architecture.fingerprint not in self._networks or attempt == most:
                sampling.keep(self.study)
                self.note(number, architecture.fingerprint, genome.to_json())
                return Asked(trial, genome, architecture, proposer)

    @cached_property
    def _space(self) -> Mapping[str, BaseDistribution]:
        return sampling.space_of(self.settings.ranges)
