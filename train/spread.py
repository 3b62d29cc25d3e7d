"""Candidates side by side: a function over a leading axis of lanes, spread over local devices.

A lane is one candidate's place on that axis. Lanes do not speak to each other, so what a lane
computes depends on nothing but its own arguments and on how many lanes there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Wrapped

_AXIS = "lanes"


def in_lanes(function: Callable[..., Any], lanes: int, shared: Sequence[bool]) -> Wrapped:
    """`function` jitted for `lanes` lanes; of each argument, whether all lanes are given the same.

    One lane has no axis: it is the function itself. The others have it first in every array.
    """
    if lanes == 1:
        return jax.jit(function)
    side_by_side = jax.vmap(function, in_axes=tuple(None if same else 0 for same in shared))
    if (mesh := _mesh(lanes)) is None:
        return jax.jit(side_by_side)
    # `shard_map`, not shardings alone: each device compiles its own lanes, so that XLA's
    # partitioner has nothing to decide and no communication to insert.
    specs = tuple(_spec(shared=same) for same in shared)
    split = jax.shard_map(
        side_by_side, mesh=mesh, in_specs=specs, out_specs=_spec(shared=False), check_vma=False
    )
    return jax.jit(split)


def stacked(trees: Sequence[Any]) -> Any:
    """One tree for all lanes from that of each, its arrays put on their devices; one is kept."""
    if len(trees) == 1:
        return trees[0]
    tree = jax.tree.map(lambda *arrays: np.stack(arrays), *trees)
    return put(tree, len(trees), shared=False)


def lane(tree: Any, place: int, lanes: int) -> Any:
    """The part of one lane of a tree of `lanes` lanes that is on the host."""
    return tree if lanes == 1 else jax.tree.map(lambda array: array[place], tree)


def put(tree: Any, lanes: int, *, shared: bool) -> Any:
    """`tree` where a function in `lanes` lanes takes it from without a copy."""
    mesh = _mesh(lanes)
    if mesh is None:
        return tree if shared or lanes == 1 else jax.device_put(tree)
    return jax.device_put(tree, NamedSharding(mesh, _spec(shared=shared)))


def shapes(tree: Any, lanes: int, *, shared: bool) -> Any:
    """The shapes of `tree`, that of one lane, as a function in `lanes` lanes is lowered for."""
    mesh = _mesh(lanes)
    sharding = None if mesh is None else NamedSharding(mesh, _spec(shared=shared))
    axis = () if shared or lanes == 1 else (lanes,)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((*axis, *leaf.shape), leaf.dtype, sharding=sharding), tree
    )


def is_sharded(lanes: int) -> bool:
    """Whether `lanes` lanes are spread over several devices."""
    return _mesh(lanes) is not None


@lru_cache(maxsize=8)
def _mesh(lanes: int) -> Mesh | None:
    """This process's devices, if there are several and they can share `lanes` lanes evenly."""
    devices = jax.local_devices()
    if lanes == 1 or len(devices) == 1 or lanes % len(devices):
        return None
    return Mesh(np.array(devices), (_AXIS,))


def _spec(*, shared: bool) -> PartitionSpec:
    return PartitionSpec() if shared else PartitionSpec(_AXIS)
