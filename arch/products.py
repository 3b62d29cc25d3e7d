"""The matrix products that networks are made of, and the only ones.

They are in float32, or of values rounded to bfloat16 under `default_matmul_precision("bfloat16")`.
"""

import jax
import jax.numpy as jnp
from jax import lax

from pennyweight.arch.sweep import Sweep


def gathers_every_tap(sweep: Sweep, kernel: jax.Array) -> bool:
    """Whether gathering all taps moves less memory than the row form, as with one input channel.

    The row form also computes the columns that a stride skips.
    """
    kh, kw, c, o = kernel.shape
    return sweep.stride > 1 or kh * kw * c + o < kh * c + kw * o


def row_matrix(kernel: jax.Array) -> jax.Array:
    """The kernel as (kw * o, kh * c)."""
    kh, kw, c, o = kernel.shape
    return kernel.transpose(1, 3, 0, 2).reshape(kw * o, kh * c)


def product(a: jax.Array, b: jax.Array, axis_a: int, axis_b: int) -> jax.Array:
    """The sum of products over an axis of each."""
    asked = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    multiply = _rounded_product if asked == "bfloat16" else lax.dot_general
    return multiply(a, b, (((axis_a,), (axis_b,)), ((), ())))


def _rounded_product(a: jax.Array, b: jax.Array, axes: lax.DotDimensionNumbers) -> jax.Array:
    """The same of values rounded to bfloat16, summed in the type of `a`.

    Rounded here, since on a CPU XLA ignores what precision or algorithm a product asks for.
    """
    ((axis_a,), (axis_b,)), _ = axes
    a16, b16 = jnp.moveaxis(a, axis_a, -1).astype(jnp.bfloat16), b.astype(jnp.bfloat16)
    axes = (((a.ndim - 1,), (axis_b,)), ((), ()))
    if jax.default_backend() != "cpu":
        return lax.dot_general(a16, b16, axes, preferred_element_type=a.dtype)
    # XLA 0.10 for CPUs has no product of bfloat16 columns, and fails where it made one of a
    # product of rows and the transposes around it: it may not see these.
    a16, b16 = lax.optimization_barrier((a16, b16))
    y = lax.dot_general(a16, b16, axes, preferred_element_type=a.dtype)
    return lax.optimization_barrier(y)


def product_over_pixels(a: jax.Array, b: jax.Array) -> jax.Array:
    """The same over all axes but the first."""
    # Flattened, since XLA would first transpose both to contract several axes.
    return product(a.reshape(len(a), -1), b.reshape(len(b), -1), 1, 1)


@jax.custom_vjp
def linear(kernel_io: jax.Array, x_in: jax.Array) -> jax.Array:
    """What a dense kernel makes of columns of inputs, (outputs, pictures).

    Its own gradient: JAX's would round the kernel's to bfloat16, and not what it is made of.
    """
    return product(kernel_io, x_in, 0, 0)


def _linear_forward(kernel: jax.Array, x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return linear(kernel, x), (kernel, x)


def _linear_backward(kept: tuple[jax.Array, ...], g: jax.Array) -> tuple[jax.Array, jax.Array]:
    kernel, x = kept
    return product(x, g, 1, 1), product(kernel, g, 1, 0)


linear.defvjp(_linear_forward, _linear_backward)
