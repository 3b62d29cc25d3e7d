"""KerasTuner, for candidates.py: a grid search in one process, under PyTorch or JAX."""

from __future__ import annotations

import math
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from candidates_common import (
    EPOCHS,
    RECIPE,
    SHAPE,
    VALIDATION_BATCH,
    Curve,
    Pictures,
    Plan,
    affine,
    cores,
    deviation_of,
    theta,
)

from pennyweight.arch.architecture import Architecture, Placed
from pennyweight.arch.cost import cost
from pennyweight.arch.pointwise import BATCH_NORM_EPSILON


def run(plan: Plan, folder: Path) -> list[Curve]:
    """A grid search over the candidates."""
    keras, tuning = import_module("keras"), import_module("keras_tuner")
    pictures, architectures = Pictures.of(plan), plan.architectures
    if plan.backend == "torch":
        import_module("torch").set_num_threads(len(cores()))
    curves: dict[int, Curve] = {}

    class Candidates(tuning.HyperModel):
        def build(self, hp: Any) -> Any:
            number = hp.Choice("candidate", list(range(len(architectures))))
            keras.utils.set_random_seed(number)
            return _model(keras, architectures[number], pictures)

        def fit(self, hp: Any, model: Any, *data: Any, **options: Any) -> Any:
            history = super().fit(hp, model, *data, **options)
            curves[hp.get("candidate")] = list(map(float, history.history["val_accuracy"]))
            return history

    tuner = tuning.GridSearch(
        Candidates(), tuning.Objective("val_accuracy", "max"), directory=folder
    )
    whole = pictures.steps * RECIPE.batch_size
    tuner.search(
        pictures.x_nhwc[:whole],
        pictures.y_n[:whole],
        epochs=EPOCHS,
        batch_size=RECIPE.batch_size,
        validation_data=(pictures.validation_x_nhwc, pictures.validation_y_n),
        validation_batch_size=VALIDATION_BATCH,
        verbose=0,
    )
    return [curves[number] for number in range(len(architectures))]


def _model(keras: Any, architecture: Architecture, pictures: Pictures) -> Any:
    first: dict[str, Any] = {}  # by name; rounds of a repeated block share it, statistics as well

    def joined(sequence: Iterable[Placed], x: Any) -> Any:
        for placed in sequence:
            if placed.layer.kind == "residual":
                x = keras.layers.Add()([x, joined(placed.children, x)])
            elif placed.children:
                x = joined(placed.children, x)
            else:
                name = placed.shares or placed.name
                if name not in first:
                    first[name] = _layer(keras, placed)
                x = first[name](x)
        return x

    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, joined(architecture.placed, _warp(keras, pictures)(inputs)))
    trained = sum(math.prod(each.shape) for each in model.trainable_variables)
    assert trained == cost(architecture).params
    steps = EPOCHS * pictures.steps
    rise, peak = int(0.3 * steps), RECIPE.peak_learning_rate
    schedule = keras.optimizers.schedules.CosineDecay(
        peak / 25, steps - rise, warmup_target=peak, warmup_steps=rise
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=RECIPE.weight_decay, epsilon=1e-8)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "alpha"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def _layer(keras: Any, placed: Placed) -> Any:
    layer: Any = placed.layer
    channels, layers = placed.input_shape[-1], keras.layers
    match layer.kind:
        case "conv" | "depthwise":
            deep = layer.kind == "depthwise"
            fan_in = layer.kernel**2 * (1 if deep else channels)
            start = keras.initializers.RandomNormal(0, deviation_of(fan_in))
            options = {
                "padding": "valid" if layer.valid else "same",
                "dilation_rate": layer.dilation,
                "use_bias": layer.bias,
                "depthwise_initializer" if deep else "kernel_initializer": start,
            }
            if deep:
                return layers.DepthwiseConv2D(layer.kernel, **options)
            return layers.Conv2D(layer.width, layer.kernel, **options)
        case "batch_norm":
            return layers.BatchNormalization(momentum=0.9, epsilon=BATCH_NORM_EPSILON)
        case "relu":
            return layers.ReLU()
        case "prelu":
            quarter = keras.initializers.Constant(0.25)
            return layers.PReLU(quarter, shared_axes=[1, 2, 3])
        case "dropout":
            return layers.Dropout(layer.rate)
        case "max_pool":
            return layers.MaxPooling2D(*layer.window)
        case "average_pool":
            return layers.AveragePooling2D(*layer.window)
        case "global_average":
            return layers.GlobalAveragePooling2D()
        case "global_max":
            return layers.GlobalMaxPooling2D()
        case "flatten":
            return layers.Flatten()
        case "dense":
            start = keras.initializers.RandomNormal(0, deviation_of(channels))
            return layers.Dense(layer.width, use_bias=layer.bias, kernel_initializer=start)
        case kind:
            raise NotImplementedError(kind)


def _warp(keras: Any, pictures: Pictures) -> Any:
    """A layer that reads pictures through random maps in training, then subtracts black.

    Under PyTorch by its own sampling: Keras' `affine_transform` goes picture by picture there.
    """
    ops = keras.ops
    height, width, _ = SHAPE

    class Warp(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.seed = keras.random.SeedGenerator()

        def call(self, images: Any, training: bool = False) -> Any:
            if training:
                draws = keras.random.uniform((5, images.shape[0]), -1, 1, seed=self.seed)
                images = warped(images, draws)
            return images - pictures.black

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    def warped(images: Any, draws: Any) -> Any:
        if keras.backend.backend() == "torch":
            torch = import_module("torch")
            nn = torch.nn.functional
            x = images.permute(0, 3, 1, 2)
            grid = nn.affine_grid(theta(torch, draws), list(x.shape), align_corners=False)
            return nn.grid_sample(x, grid, align_corners=False).permute(0, 2, 3, 1)
        a, b, c, d, down, right = affine(ops, draws)
        y, x = (height - 1) / 2, (width - 1) / 2
        columns = d, c, right * width + x - d * x - c * y
        rows = b, a, down * height + y - b * x - a * y
        zero = ops.zeros_like(a)
        return ops.image.affine_transform(images, ops.stack([*columns, *rows, zero, zero], -1))

    return Warp()
