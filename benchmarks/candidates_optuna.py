"""Optuna with PyTorch, for candidates.py: processes that share a study. Eager, channels last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from multiprocessing import get_context
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
    cores,
    deviation_of,
    one_cycle,
    theta,
)

from pennyweight.arch.architecture import Architecture, Placed
from pennyweight.arch.cost import cost
from pennyweight.arch.pointwise import BATCH_NORM_EPSILON


def run(plan: Plan, folder: Path) -> list[Curve]:
    """Processes that take enqueued candidates from one study, as Optuna's manual has it."""
    study = _study(folder)
    for number in range(len(plan.notations)):
        study.enqueue_trial({"candidate": number})
    places = [cores()[index :: plan.processes] for index in range(plan.processes)]
    with ProcessPoolExecutor(plan.processes, mp_context=get_context("spawn")) as pool:
        for _ in pool.map(partial(_optimise, plan, folder), places):
            pass
    trials = {trial.params["candidate"]: trial for trial in study.trials}
    return [list(trials[n].intermediate_values.values()) for n in range(len(plan.notations))]


def _optimise(plan: Plan, folder: Path, place: list[int]) -> None:
    """Train what no other process has taken, on the cores of `place`."""
    os.sched_setaffinity(0, place)
    from optuna.study import MaxTrialsCallback
    from optuna.trial import Trial, TrialState

    torch = import_module("torch")
    torch.set_num_threads(len(place))
    pictures = Pictures.of(plan)
    count = len(plan.notations)

    def objective(trial: Trial) -> float:
        number = trial.suggest_categorical("candidate", range(count))
        accuracy = 0.0
        for epoch, accuracy in enumerate(_trained(plan.architectures[number], pictures, number), 1):
            trial.report(accuracy, epoch)
        return accuracy

    # Running ones count, so that nobody begins one more than were enqueued.
    states = (TrialState.COMPLETE, TrialState.RUNNING)
    _study(folder).optimize(objective, callbacks=[MaxTrialsCallback(count, states=states)])


def _study(folder: Path) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / "journal"))),
        study_name="candidates",
        direction="maximize",
        load_if_exists=True,
    )


def _trained(architecture: Architecture, pictures: Pictures, seed: int) -> Iterator[float]:
    """Validation accuracies, epoch by epoch, in PyTorch: eager, channels last."""
    torch = import_module("torch")
    nn = torch.nn.functional
    torch.manual_seed(seed)
    x, valid_x = (
        torch.from_numpy(images).permute(0, 3, 1, 2)
        for images in (pictures.x_nhwc, pictures.validation_x_nhwc)
    )
    y, valid_y = map(torch.from_numpy, (pictures.y_n, pictures.validation_y_n))
    model = _model(architecture)
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    optimiser = torch.optim.AdamW(
        [{"params": kernels}, {"params": others, "weight_decay": 0}],
        weight_decay=RECIPE.weight_decay,
        fused=True,  # faster than the default here
    )
    rates = one_cycle(EPOCHS * pictures.steps).reshape(EPOCHS, -1)
    size = RECIPE.batch_size
    for epoch in range(EPOCHS):
        order = torch.randperm(len(y))
        maps = theta(torch, torch.rand(5, len(y)) * 2 - 1)
        model.train()
        for step, rate in enumerate(rates[epoch]):
            chosen = order[step * size : (step + 1) * size]
            grid = nn.affine_grid(maps[chosen], [size, 1, *SHAPE[:2]], align_corners=False)
            batch = nn.grid_sample(x[chosen], grid, align_corners=False) - pictures.black
            for group in optimiser.param_groups:
                group["lr"] = float(rate)
            optimiser.zero_grad()
            batch = batch.contiguous(memory_format=torch.channels_last)
            nn.cross_entropy(model(batch), y[chosen]).backward()
            optimiser.step()
        model.eval()
        right = 0
        with torch.inference_mode():
            for start in range(0, len(valid_y), VALIDATION_BATCH):
                part = slice(start, start + VALIDATION_BATCH)
                logits = model(valid_x[part] - pictures.black)
                right += int((logits.argmax(1) == valid_y[part]).sum())
        yield right / len(valid_y)


def _model(architecture: Architecture) -> Any:
    torch = import_module("torch")
    nn = torch.nn

    class Residual(nn.Sequential):
        def forward(self, x: Any) -> Any:
            return x + super().forward(x)

    first: dict[str, Any] = {}  # by name, whose weights later rounds of a repeated block share

    def layers(placed: Placed) -> list[Any]:
        made = _layers(placed)
        if placed.shares is None:
            first[placed.name] = made[0]
            return made
        shared = first[placed.shares]
        if placed.layer.kind != "batch_norm":
            return [shared]
        made[0].weight, made[0].bias = shared.weight, shared.bias  # statistics are a round's own
        return made

    def _layers(placed: Placed) -> list[Any]:
        layer: Any = placed.layer
        channels = placed.input_shape[-1]
        match layer.kind:
            case "conv" | "depthwise":
                options = {
                    "padding": 0 if layer.valid else layer.kernel // 2 * layer.dilation,
                    "dilation": layer.dilation,
                    "bias": layer.bias,
                    "groups": 1 if layer.kind == "conv" else channels,
                }
                outputs = layer.width if layer.kind == "conv" else channels
                return [nn.Conv2d(channels, outputs, layer.kernel, **options)]
            case "batch_norm":
                return [nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON)]
            case "relu":
                return [nn.ReLU()]
            case "prelu":
                return [nn.PReLU()]
            case "dropout":
                return [nn.Dropout(layer.rate)]
            case "max_pool":
                return [nn.MaxPool2d(*layer.window)]
            case "average_pool":
                return [nn.AvgPool2d(*layer.window)]
            case "global_average":
                return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
            case "global_max":
                return [nn.AdaptiveMaxPool2d(1), nn.Flatten()]
            case "flatten":
                return [nn.Flatten()]
            case "dense":
                return [nn.Linear(channels, layer.width, bias=layer.bias)]
            case "residual" | "repeat":
                block = Residual if layer.kind == "residual" else nn.Sequential
                return [block(*(new for child in placed.children for new in layers(child)))]
            case kind:
                raise NotImplementedError(kind)

    model = nn.Sequential(*(new for placed in architecture.placed for new in layers(placed)))
    assert sum(each.numel() for each in model.parameters()) == cost(architecture).params
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0, deviation_of(module.weight[0].numel()))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model.to(memory_format=torch.channels_last)
