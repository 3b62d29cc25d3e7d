"""Layers that keep every shape: BatchNorm (`b`), ReLU (`r`) and dropout (`o0.1`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.arch.layers import Call, Layer, Shape, Weight, fraction, kind

if TYPE_CHECKING:
    import numpy as np

    from pennyweight.arch.maps import Maps
    from pennyweight.arch.network import LayerModule
    from pennyweight.arch.operations import Piece

BATCH_NORM_EPSILON = 1e-5  # Flax's default, so an export needs no argument
LEAK = 0.1


@kind("batch_norm", "b")
@dataclass(frozen=True, kw_only=True)
class BatchNorm(Layer):
    """Batch normalisation with a trained scale and offset (Ioffe and Szegedy, arXiv:1502.03167).

    Called with `batch_statistics` it uses the batch's own mean and variance and leaves them in
    `mean` and `var`; otherwise it uses what is there.
    """

    glued = True
    in_place = True

    def weights(self, shape: Shape) -> dict[str, Weight]:
        channels = (shape[-1],)
        return {
            "scale": Weight(channels, "ones"),
            "bias": Weight(channels, "zeros"),
            "mean": Weight(channels, "zeros", trained=False),
            "var": Weight(channels, "ones", trained=False),
        }

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        import jax.numpy as jnp
        from jax import lax

        from pennyweight.arch.kernels import statistics
        from pennyweight.arch.maps import Maps
        from pennyweight.arch.pending import Affine, Pending

        mean, var = module.mean[...], module.var[...]
        if call.batch_statistics is False:
            x = Maps(x.settled())
        else:
            x = x.measured()
            own = x.statistics or statistics(x.values)
            mean = jnp.where(call.batch_statistics, own.mean, mean)
            var = jnp.where(call.batch_statistics, own.var, var)
            module.mean.set_value(mean)
            module.var.set_value(var)
        scale = module.scale[...] * lax.rsqrt(var + BATCH_NORM_EPSILON)
        return Maps(x.values, pending=Pending(Affine(mean, scale, module.bias[...])))

    def deployed(self, shape: Shape, arrays: Mapping[str, np.ndarray]) -> tuple[Piece, ...]:
        import numpy as np

        from pennyweight.arch.operations import Affine

        double = {name: array.astype(np.float64) for name, array in arrays.items()}
        scale = double["scale"] / np.sqrt(double["var"] + BATCH_NORM_EPSILON)
        offset = double["bias"] - double["mean"] * scale
        return (Affine(scale=scale.astype(np.float32), offset=offset.astype(np.float32)),)

    def source(self, shape: Shape) -> tuple[list[str], str]:
        arguments = [f"{shape[-1]}", "use_running_average=True", "rngs=rngs"]
        return ["nnx.BatchNorm", *arguments], "{self}({x})"


@kind("relu", "r")
@dataclass(frozen=True, kw_only=True)
class Relu(Layer):
    """max(x, 0)."""

    glued = True
    in_place = True

    def normal(self, shape: Shape, previous: Layer | None) -> Layer | None:
        """A ReLU straight after a ReLU does nothing."""
        return None if isinstance(previous, Relu) else self

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        return x.activated(leak=0.0)

    def deployed(self, shape: Shape, arrays: Mapping[str, np.ndarray]) -> tuple[Piece, ...]:
        from pennyweight.arch.operations import Activate

        return (Activate(),)

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return [], "nnx.relu({x})"


@dataclass(frozen=True, kw_only=True)
class _Activation(Layer):
    """A function of every value by itself, other than `Relu`."""

    glued = True
    in_place = True


@kind("leaky_relu", "l")
@dataclass(frozen=True, kw_only=True)
class LeakyRelu(_Activation):
    """x, or a tenth of it below 0 (Maas et al., 2013)."""

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        return x.activated(leak=LEAK)

    def deployed(self, shape: Shape, arrays: Mapping[str, np.ndarray]) -> tuple[Piece, ...]:
        from pennyweight.arch.operations import Activate

        return (Activate(slope=LEAK),)

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return [], f"nnx.leaky_relu({{x}}, {LEAK})"


@kind("prelu", "p")
@dataclass(frozen=True, kw_only=True)
class PRelu(_Activation):
    """x, or below 0 its product with a learned slope, one a layer (He et al., arXiv:1502.01852)."""

    def weights(self, shape: Shape) -> dict[str, Weight]:
        return {"negative_slope": Weight((), "quarter")}

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        return x.activated(slope=module.negative_slope[...])

    def deployed(self, shape: Shape, arrays: Mapping[str, np.ndarray]) -> tuple[Piece, ...]:
        from pennyweight.arch.operations import Activate

        return (Activate(slope=arrays["negative_slope"]),)

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return ["nnx.PReLU"], "{self}({x})"


@kind("silu", "u")
@dataclass(frozen=True, kw_only=True)
class Silu(_Activation):
    """x times its sigmoid (Elfwing et al., arXiv:1702.03118)."""

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        import jax

        from pennyweight.arch.maps import Maps

        return Maps(jax.nn.silu(x.settled()))

    def deployed(self, shape: Shape, arrays: Mapping[str, np.ndarray]) -> tuple[Piece, ...]:
        from pennyweight.arch.operations import Activate

        return (Activate(function="silu"),)

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return [], "nnx.silu({x})"


@kind("dropout", "o")
@dataclass(frozen=True, kw_only=True)
class Dropout(Layer):
    """In training, a share `rate` of the values becomes 0 and the rest grows by 1 / (1 - rate)."""

    rate: float = fraction()

    glued = True
    in_place = True

    def normal(self, shape: Shape, previous: Layer | None) -> Layer | None:
        """Dropping nothing does nothing."""
        return None if self.rate == 0 else self

    def apply(self, module: LayerModule, x: Maps, call: Call) -> Maps:
        import jax

        from pennyweight.arch.kernels import dropout
        from pennyweight.arch.maps import Maps

        if call.dropout_key is None:
            return x
        key = jax.random.fold_in(call.dropout_key, module.index)  # each layer draws for itself
        return Maps(dropout(x.settled(), key, 1 - self.rate))

    def deployed(self, shape: Shape, arrays: Mapping[str, np.ndarray]) -> tuple[Piece, ...]:
        return ()

    def source(self, shape: Shape) -> tuple[list[str], str]:
        return [], "{x}"  # an export predicts: nothing is dropped
