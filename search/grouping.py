"""How many trials of a study share a structure, and so what is compiled."""

from __future__ import annotations

from pennyweight.arch.budget import Budget
from pennyweight.arch.cost import cost
from pennyweight.search.decode import decode
from pennyweight.search.device import CPU, Device
from pennyweight.search.genome import Genome
from pennyweight.search.settings import Settings
from pennyweight.train.source import DataInfo

LARGEST = 8  # more would leave a search too few structures
SIDE_BY_SIDE = 32  # on an accelerator, which one tiny network at a time would leave idle
FEWEST_GROUPS = 4  # there, as long as they are not smaller than the largest on a CPU
COMPILE_S = 2.0  # of one structure, one core of a 2023 server: tens of per cent either way
MACS_PER_S = 1.2e10  # of training, there, in C; a picture costs three times its forward pass


def training_s(macs: float, pictures: int, epochs: float) -> float:
    """Roughly how long one core trains a network of so many multiply-accumulates."""
    return 3 * macs * pictures * epochs / MACS_PER_S


def usual_group(budget: Budget, info: DataInfo, trials: int, device: Device = CPU) -> int:
    """The size of groups where none is asked for: a power of two, 1 where training takes longest.

    On an accelerator a group trains side by side, and its size follows from the number of `trials`.
    On a CPU its trials train one after the other and share what is compiled. On 8x8 digits a
    structure takes thirty times as long to compile as to train to the first rung; on MNIST a
    fifteenth as long. It follows from the work alone, not from a clock, so that the same search
    asks the same trials on every machine.
    """
    size = 1
    if device.accelerates:
        while 2 * size <= min(SIDE_BY_SIDE, max(LARGEST, trials // FEWEST_GROUPS)):
            size *= 2
        return size
    plain = decode(Genome(), budget, info.input_shape, info.classes)
    first_rung = Settings(data=info.name, budget=budget).first_rung
    rung_s = training_s(cost(plain).macs, info.train_examples, first_rung)
    while 2 * size <= min(LARGEST, COMPILE_S / rung_s):
        size *= 2
    return size
