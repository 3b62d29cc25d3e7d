"""Convolution and batch normalisation as array functions, fast inside a compiled loop.

Activations are batch-last, `chwn`: channels, height, width, batch. On a CPU, XLA runs convolutions, and
above all their gradients, 5 to 15 times slower than matrix products, so a convolution here is a product
with copies of its input; with few channels that product wants long contiguous rows: batch last. Kernel
arrays are `hwio` as in Flax: height, width, input channels, output channels. Gradients are reverse mode
only; they keep the input and gather the copies again, which is cheaper than keeping those.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from pennyweight.arch.pooling import Padding, Sweep, total


def conv(
    x_chwn: jax.Array,
    kernel_hwio: jax.Array,
    *,
    stride: int,
    padding: Padding,
    dilation: int,
    depthwise: bool,
) -> jax.Array:
    """What `lax.conv_general_dilated` computes, as (o, h, w, n); a depthwise kernel has i = 1, o = c.

    Raises ValueError where the channels disagree or a VALID window does not fit.
    """
    kh, kw, *channels = kernel_hwio.shape
    c = x_chwn.shape[0]
    if channels != ([1, c] if depthwise else [c, channels[-1]]):
        raise ValueError(
            f"the kernel for {c} channels must end in the shape {f'(1, {c})' if depthwise else f'({c}, o)'}, "
            f"but got {kernel_hwio.shape}."
        )
    sweep = partial(Sweep.over, x_chwn, stride=stride, padding=padding, dilation=dilation)
    kind = _depthwise if depthwise else _dense
    return kind(sweep(1, taps=kh), sweep(2, taps=kw), x_chwn, kernel_hwio)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _dense(rows: Sweep, columns: Sweep, x: jax.Array, kernel: jax.Array) -> jax.Array:
    if _gathers_every_tap(rows, kernel):
        return _product(kernel.reshape(-1, kernel.shape[3]), _patches(rows, columns, x), (0,), (0,))
    # Gather the taps along the height only; those along the width become a sum of shifted outputs.
    y = _product(_row_matrix(kernel), jnp.concatenate(rows.takes(x)), (1,), (0,))
    y = y.reshape(columns.taps, -1, *y.shape[1:])
    return total(columns.take(y[tap], tap) for tap in range(columns.taps))


def _dense_forward(
    rows: Sweep, columns: Sweep, x: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _dense(rows, columns, x, kernel), (x, kernel)


def _dense_backward(
    rows: Sweep, columns: Sweep, kept: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    kh, kw, c, o = kernel.shape
    g_taps = jnp.concatenate(columns.transpose().takes(g)[::-1])
    if _gathers_every_tap(rows, kernel):
        dkernel = _product(_flat(_patches(rows, columns, x)), _flat(g), (1,), (1,))
        dkernel = dkernel.reshape(kernel.shape)
    else:
        dkernel = _product(_flat(g_taps), _flat(jnp.concatenate(rows.takes(x))), (1,), (1,))
        dkernel = dkernel.reshape(kw, o, kh, c).transpose(2, 0, 3, 1)
    dx = _product(_row_matrix(kernel), g_taps, (0,), (0,))
    dx = dx.reshape(kh, c, *dx.shape[1:])
    back = rows.transpose()
    return total(back.take(dx[kh - 1 - tap], tap) for tap in range(kh)), dkernel


_dense.defvjp(_dense_forward, _dense_backward)


def _gathers_every_tap(rows: Sweep, kernel: jax.Array) -> bool:
    """Whether one product over all taps moves less memory than gathering along the height only.

    The latter also computes the columns that a stride would skip.
    """
    kh, kw, c, o = kernel.shape
    return rows.stride > 1 or kh * kw * c + o < kh * c + kw * o


def _row_matrix(kernel: jax.Array) -> jax.Array:
    """The kernel as (kw * o, kh * c)."""
    kh, kw, c, o = kernel.shape
    return kernel.transpose(1, 3, 0, 2).reshape(kw * o, kh * c)


def _patches(rows: Sweep, columns: Sweep, x: jax.Array) -> jax.Array:
    """What all taps read, as (kh * kw * c, h, w, n), the order of a kernel."""
    return jnp.concatenate(rows.takes(jnp.concatenate(columns.takes(x))))


def _windows(rows: Sweep, columns: Sweep, x: jax.Array) -> list[jax.Array]:
    """What each of the kh * kw taps reads.

    All slices of one padded copy: each is used by itself, and padding each costs four times as much.
    """
    return [tap for row in rows.slices(columns.pad(rows.pad(x))) for tap in columns.slices(row)]


def _flat(x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], -1)


def _product(
    a: jax.Array, b: jax.Array, axes_a: tuple[int, ...], axes_b: tuple[int, ...]
) -> jax.Array:
    return lax.dot_general(a, b, ((axes_a, axes_b), ((), ())))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _depthwise(rows: Sweep, columns: Sweep, x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _weigh(_windows(rows, columns, x), kernel)


def _depthwise_forward(
    rows: Sweep, columns: Sweep, x: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _depthwise(rows, columns, x, kernel), (x, kernel)


def _depthwise_backward(
    rows: Sweep, columns: Sweep, kept: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    dx = _weigh(_windows(rows.transpose(), columns.transpose(), g)[::-1], kernel)
    dkernel = jnp.stack([(window * g).sum((1, 2, 3)) for window in _windows(rows, columns, x)])
    return dx, dkernel.reshape(kernel.shape)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def _weigh(windows: list[jax.Array], kernel: jax.Array) -> jax.Array:
    """The sum of the taps, each channel of each times its weight."""
    weights = kernel.reshape(len(windows), -1)
    return total(window * _each(weight) for window, weight in zip(windows, weights, strict=True))


def batch_norm_train(
    x_chwn: jax.Array, scale_c: jax.Array, bias_c: jax.Array, eps: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalises x by its own statistics; returns these too, the mean and the biased variance.

    Ioffe and Szegedy, Batch Normalization, 2015. The gradient goes through the statistics.
    """
    return _normalise(eps, x_chwn, scale_c, bias_c)


def batch_norm(
    x_chwn: jax.Array,
    scale_c: jax.Array,
    bias_c: jax.Array,
    mean_c: jax.Array,
    var_c: jax.Array,
    eps: float,
) -> jax.Array:
    """Normalises x by given statistics."""
    return (x_chwn - _each(mean_c)) * _each(lax.rsqrt(var_c + eps) * scale_c) + _each(bias_c)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _normalise(
    eps: float, x: jax.Array, scale: jax.Array, bias: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    mean = x.mean((1, 2, 3))
    # The mean of squares less the squared mean would cancel where the mean is large, and is no faster.
    var = jnp.square(x - _each(mean)).mean((1, 2, 3))
    return batch_norm(x, scale, bias, mean, var, eps), mean, var


def _normalise_forward(eps, x, scale, bias):
    y, mean, var = _normalise(eps, x, scale, bias)
    return (y, mean, var), (x, scale, mean, var)


def _normalise_backward(eps, kept, gradients):
    x, scale, mean, var = kept
    g, g_mean, g_var = gradients
    count = x[0].size
    centred, deviation = x - _each(mean), lax.rsqrt(var + eps)
    dbias = g.sum((1, 2, 3))
    dscale = (g * centred).sum((1, 2, 3)) * deviation
    # With x^ = centred * deviation: dx = scale * deviation * (g - dbias / count - x^ * dscale / count).
    slope = scale * deviation
    of_centred = (2 * g_var - slope * deviation * dscale) / count
    offset = (g_mean - slope * dbias) / count
    return g * _each(slope) + centred * _each(of_centred) + _each(offset), dscale, dbias


_normalise.defvjp(_normalise_forward, _normalise_backward)


def _each(values_c: jax.Array) -> jax.Array:
    """One value a channel, against (c, h, w, n)."""
    return values_c[:, None, None, None]
