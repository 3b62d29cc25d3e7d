"""Networks with every kind of layer and every option: each form of an export gets them right."""

import numpy as np

from pennyweight.arch.architecture import Architecture
from pennyweight.arch.network import Tree, draw_weights
from pennyweight.arch.notation import parse
from pennyweight.arch.zoo import ZOO

MADE_UP = [
    parse("c6k5s2v+rb c8x2br m3s2 A d12+br d10", (32, 32, 3), 10),
    parse("c4s2x2+ wk5s2+br a2s1 wvx2 c6k1 a2 M d5", (36, 36, 2), 5),
    parse("c6b ((c6br c6b)r w)r (o0.2) m2 o0.5 F d16r d4+o0.1", (9, 7, 4), 4),
    parse("c5k4s2 c5k2 M (d8r d5+)r d3+", (11, 13, 1), 3),
    parse("c3brbrbrbrbrbrbrbrbrbr A", (8, 8, 1), 3),  # more glued together than fits a line
    parse("A", (8, 8, 3), 3),  # no weights at all
    parse("c5bp 2[2[wv c5k1+bl] m2] (2[c5b]u)p A 2[d5p]", (28, 28, 1), 5),
    parse("M p", (8, 8, 3), 3),  # none that is drawn
    parse("{c4br m2 A d10+}", (28, 28, 1), 10),
    parse(
        "c4 ({rwb {c4o0.2}} 2[{c4b}p]b)r {A p}r d5", (9, 7, 2), 5
    ),  # held, shared, and not folded
]
"""Every kind of layer and every option."""

LARGE = {name: entry.architecture for name, entry in ZOO.items() if name[:2] in ("m3", "vg")}
"""Those of the zoo that take a form of export seconds, or the tests of all forms minutes."""

NETWORKS = MADE_UP + [entry.architecture for name, entry in ZOO.items() if name not in LARGE]


def random_weights(architecture: Architecture, seed: int) -> tuple[Tree, Tree]:
    """Weights of which none is at a value that would hide a mistake, such as a scale of 1."""
    random = np.random.default_rng(seed)
    params, statistics = draw_weights(architecture, seed)
    for tree in (params, statistics):
        for arrays in tree.values():
            for name, array in arrays.items():
                if name in ("scale", "var"):
                    arrays[name] = random.uniform(0.5, 2, array.shape).astype(np.float32)
                elif name in ("bias", "mean"):
                    arrays[name] = random.normal(0, 0.3, array.shape).astype(np.float32)
    return params, statistics


def random_images(architecture: Architecture, n: int) -> np.ndarray:
    shape = (n, *architecture.input_shape)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
