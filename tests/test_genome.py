"""The genome: fixed names and ranges, and a recipe that is one whatever is drawn."""

import dataclasses
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_decode import GENOMES

from pennyweight.search.genome import SIGNIFICANT, Genome, choices
from pennyweight.search.sampling import DISTRIBUTIONS
from pennyweight.search.settings import SPACE
from pennyweight.train.recipe import Optimiser, Recipe, Schedule

ENDS = st.sampled_from([0.0, 1.0])


@given(GENOMES)
def test_every_genome_has_a_recipe_that_can_be_written_and_read(genome: Genome) -> None:
    recipe = genome.recipe
    assert Recipe.from_json(recipe.to_json()) == recipe


@given(
    st.builds(
        Genome,
        **{
            name: ENDS if options is None else st.sampled_from(options)
            for name, options in choices().items()
        },
    )
)
def test_the_ends_of_every_range_are_recipes_too(genome: Genome) -> None:
    recipe = genome.recipe
    assert 1e-3 <= recipe.peak_learning_rate <= 1
    assert 1e-5 <= recipe.weight_decay <= 0.1
    assert 0 <= recipe.label_smoothing <= 0.1
    assert 0.1 <= recipe.averaging <= 3
    assert max(recipe.rotation, recipe.shear) <= 15


@given(GENOMES)
def test_a_recipes_numbers_are_rounded_so_that_near_ones_are_equal(genome: Genome) -> None:
    for field in dataclasses.fields(Recipe):
        value = getattr(genome.recipe, field.name)
        if isinstance(value, float):
            assert value == float(f"{value:.{SIGNIFICANT}g}")


def test_genes_that_hardly_differ_give_the_same_recipe() -> None:
    genes: dict[str, Any] = Genome().to_json()
    nudged = {
        name: value + 1e-6 if choices()[name] is None and value else value
        for name, value in genes.items()
    }
    assert Genome(**nudged) != Genome()
    assert Genome(**nudged).recipe == Genome().recipe


@given(GENOMES)
def test_a_genome_can_be_written_and_read(genome: Genome) -> None:
    assert Genome(**genome.to_json()) == genome  # type: ignore[arg-type]


def test_the_default_is_the_first_choice_or_lies_in_the_range() -> None:
    for name, options in choices().items():
        default = getattr(Genome(), name)
        assert default == options[0] if options else 0 <= default <= 1


def test_the_sampler_knows_every_gene_by_its_name_and_its_choices() -> None:
    assert list(DISTRIBUTIONS) == [field.name for field in dataclasses.fields(Genome)]
    for name, options in choices().items():
        if options is None:
            assert (DISTRIBUTIONS[name].low, DISTRIBUTIONS[name].high) == (0, 1)  # type: ignore[attr-defined]
        else:
            assert DISTRIBUTIONS[name].choices == options  # type: ignore[attr-defined]


@pytest.mark.parametrize(("gene", "kinds"), [("optimiser", Optimiser), ("schedule", Schedule)])
def test_every_kind_of_optimiser_and_schedule_can_be_drawn(gene: str, kinds: object) -> None:
    # A constant rate is for those who train a network as its maker did: others end higher.
    assert {*(choices()[gene] or ()), "constant"} == {*get_args(kinds), "constant"}


def test_the_names_and_ranges_are_those_of_version_5() -> None:
    """Old studies are gone on with by these: on a change raise `settings.SPACE`, and this text."""
    assert SPACE == 5
    units = [name for name, options in choices().items() if options is None]
    assert units == [
        *("stem_width", "width1", "width2", "width3", "growth", "dropout"),
        *("learning_rate", "weight_decay", "label_smoothing", "averaging"),
        *("rotation", "shear", "scale", "shift"),
    ]
    assert {name: options for name, options in choices().items() if options} == {
        "share": (1.0, 0.5, 0.25, 0.125),
        "stem_kernel": (3, 5),
        "depth1": (1, 0, 2, 3),
        "depth2": (2, 1, 3),
        "depth3": (2, 0, 1, 3),
        "block1": ("conv", "separable", "dilated", "residual"),
        "block2": ("conv", "separable", "dilated", "residual"),
        "block3": ("conv", "separable", "dilated", "residual"),
        "squeeze1": (False, True),
        "squeeze2": (False, True),
        "squeeze3": (False, True),
        "pool1": ("max", "none", "average"),
        "pool2": ("max", "none", "average"),
        "pool3": ("none", "max", "average"),
        "sharing": ("none", "stage", "all"),
        "padding": ("same", "valid", "mixed"),
        "norm": ("before", "after", "none"),
        "activation": ("relu", "prelu"),
        "head": ("average", "max", "flatten", "window"),
        "classifier": ("dense", "conv"),
        "views": (False, True),
        "optimiser": ("adamw", "sgd", "muon"),
        "schedule": ("one_cycle", "cosine", "step"),
        "batch_size": (64, 32, 128),
        "augmented": (True, False),
    }
