"""The first proposals, and which trials spend how much of the budget."""

from collections import Counter
from fractions import Fraction

from pennyweight.arch.zoo import ZOO
from pennyweight.search.genome import Genome, choices
from pennyweight.search.proposals import FIRST, HAND_MADE, PLAIN, Proposals
from pennyweight.search.sampling import DISTRIBUTIONS


def test_the_first_trials_are_networks_made_by_hand() -> None:
    assert {name for name in ZOO if name.startswith("budget-")} == set(HAND_MADE)
    assert [name for name in FIRST if name in ZOO] == ["budget-4"]
    asked = [Proposals().proposal(number) for number in range(len(FIRST))]
    assert [proposer for proposer, _ in asked] == list(FIRST)
    assert [Genome(**genes) for _, genes in asked] == list(FIRST.values())  # type: ignore[arg-type]
    assert len(set(FIRST.values())) == len(FIRST)
    assert FIRST["plain"] == PLAIN == Genome()


def test_every_first_proposal_sets_every_gene_to_something_in_its_range() -> None:
    for genome in FIRST.values():
        for name, value in genome.to_json().items():
            assert DISTRIBUTIONS[name]._contains(DISTRIBUTIONS[name].to_internal_repr(value)), name


def test_of_later_trials_nothing_is_set_but_the_share() -> None:
    for number in range(len(FIRST), 40):
        assert Proposals().proposal(number) == ("sampler", {"share": Proposals().share_of(number)})


def test_the_first_proposals_spend_the_whole_budget() -> None:
    assert {Proposals().share_of(number) for number in range(len(FIRST))} == {1.0}
    assert {genome.share for genome in FIRST.values()} == {1.0}


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
    proposals = Proposals(4, 500, {"mnist-500:7": flat})
    asked = [proposals.proposal(number) for number in range(proposals.alone)]
    others = [name for name in FIRST if name != "flat"]  # which is not asked twice
    assert [proposer for proposer, _ in asked] == ["mnist-500:7", *others]
    assert asked[0][1] == flat
    assert proposals.leader_of(proposals.alone + 5) == proposals.alone + 4
    assert proposals.proposal(proposals.alone)[0] == "sampler"


def test_what_is_only_good_when_small_is_asked_only_where_it_must_be_small() -> None:
    asked = {cap: [name for name, _ in Proposals(max_params=cap).first] for cap in (3_999, 4_000)}
    assert asked[3_999] == list(FIRST)
    assert asked[4_000] == ["plain", "slopes", "budget-4"]
    assert Proposals(max_params=4_000).alone == 3
