"""Pages with a network inside, for tests."""

import functools
from pathlib import Path

from bundles import facts
from networks import random_weights

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.cost import cost
from pennyweight.arch.deployed import Deployed
from pennyweight.arch.folding import deploy
from pennyweight.results.drawing import Choice, Offer
from pennyweight.results.loaded import LoadedModel, load_model
from pennyweight.results.page_file import page_file

MNIST = Path(__file__).parents[1] / "results" / "pretrained" / "mnist-8k"


@functools.cache
def mnist_model() -> LoadedModel:
    """A network that learned MNIST."""
    return load_model(Path("runs"), str(MNIST))


@functools.cache
def mnist_page() -> bytes:
    """Its page."""
    model, (offer,) = mnist_model(), Choice(Path("runs"), str(MNIST)).offers
    network = model.classifier
    deployed = deploy(
        network.architecture, network.params, network.statistics, network.mean, network.std
    )
    return page_file(
        deployed, offer, data=model.data, class_names=model.class_names, look=model.look
    )


def deployed_of(network: Architecture) -> Deployed:
    """With random weights."""
    about = facts(network)
    return deploy(network, *random_weights(network, 0), about.mean, about.std)


def page_of(network: Architecture, *, name: str = "") -> bytes:
    """Its page; whatever strangers have named is called `name`."""
    offer = Offer(
        name=name,
        notation=network.notation,
        params=cost(network).params,
        accuracy=None,
        measured_on=None,
    )
    return page_file(
        deployed_of(network),
        offer,
        data=name,
        class_names=[f"{name}{number}" for number in range(network.classes)],
        look=None,
    )
