"""The first proposals, and which trials spend how much of the budget."""

from collections import Counter
from fractions import Fraction

from pennyweight.arch.zoo import ZOO
from pennyweight.search import proposals
from pennyweight.search.genome import Genome, choices
from pennyweight.search.proposals import HAND_MADE, PLAIN, Proposals
from pennyweight.search.sampling import DISTRIBUTIONS

FIRST = dict(Proposals().first)  # under a small cap


def test_the_first_trials_are_networks_made_by_hand() -> None:
    assert {name for name in ZOO if name.startswith("budget-")} == set(HAND_MADE)
    assert [name for name in FIRST if name in ZOO] == ["budget-4"]
    asked = [Proposals().proposal(number) for number in range(len(FIRST))]
    assert [proposer for proposer, _ in asked] == list(FIRST)
    assert [Genome(**genes) for _, genes in asked] == list(FIRST.values())  # type: ignore[arg-type]
    assert len(set(proposals.FIRST.values())) == len(proposals.FIRST)
    assert FIRST["plain"] == PLAIN == Genome()


def test_every_first_proposal_sets_every_gene_to_something_in_its_range() -> None:
    for genome in proposals.FIRST.values():
        for name, value in genome.to_json().items():
            assert DISTRIBUTIONS[name]._contains(DISTRIBUTIONS[name].to_internal_repr(value)), name


def test_of_later_trials_nothing_is_set_but_the_share() -> None:
    for number in range(len(FIRST), 40):
        assert Proposals().proposal(number) == ("sampler", {"share": Proposals().share_of(number)})


def test_the_first_proposals_spend_the_whole_budget() -> None:
    assert {Proposals().share_of(number) for number in range(len(FIRST))} == {1.0}
    assert {genome.share for genome in proposals.FIRST.values()} == {1.0}


def test_one_later_trial_in_five_spends_a_half_a_quarter_or_an_eighth_in_turn() -> None:
    shares = [Proposals().share_of(number) for number in range(len(FIRST), len(FIRST) + 300)]
    assert Counter(shares) == {1.0: 240, 0.5: 20, 0.25: 20, 0.125: 20}
    for start in range(0, 300, 5):
        assert shares[start : start + 5].count(1.0) == 4
    assert {Fraction(share) for share in shares} == {
        Fraction(share) for share in choices()["share"] or ()
    }


def test_genomes_of_other_studies_come_before_the_hand_made_ones() -> None:
    flat = FIRST["flat"].to_json()
    later = Proposals(4, 500, after={"mnist-500:7": flat})
    asked = [later.proposal(number) for number in range(later.alone)]
    others = [name for name in FIRST if name != "flat"]  # which is not asked twice
    assert [proposer for proposer, _ in asked] == ["mnist-500:7", *others]
    assert asked[0][1] == flat
    assert later.leader_of(later.alone + 5) == later.alone + 4
    assert later.proposal(later.alone)[0] == "sampler"


def test_what_is_only_good_when_small_is_asked_only_where_it_must_be_small() -> None:
    asked = {cap: [name for name, _ in Proposals(max_params=cap).first] for cap in (1_999, 2_000)}
    assert asked[1_999] == ["plain", "slopes", "growing", "shared", "rounds", "flat", "budget-4"]
    assert asked[2_000] == ["plain", "slopes", "budget-4"]
    assert Proposals(max_params=2_000).alone == 3


def test_what_pools_three_times_is_asked_of_pictures_that_are_large_enough_for_it() -> None:
    asked = {
        side: [name for name, _ in Proposals(max_params=2_000, side=side).first]
        for side in (8, 16, 28)
    }
    assert asked[8] == ["plain", "slopes", "budget-4"]
    assert asked[16] == asked[28] == ["mixed", "plain", "still", "slopes", "budget-4"]
