"""What was found: records, the leaderboard made of them, and the models they lead to.

`load_study` reads a study's records; `rows` ranks its trials, `arrange` picks and sorts rows, and
`as_table`, `as_json`, `as_csv` and `as_markdown` show them. `find_model` and `export_model` turn a
trial into a bundle. `load_model` loads one to classify pictures; `pennyweight.results.examine` has
it say what is on labelled ones, and `EvaluationTable`, `confusion_figure` and `pictures_figure`
show that; `curves_figure` and `sizes_figure` draw a study. Only exporting and classifying import
JAX. Names load when they are first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pennyweight.results.evaluation_table import EvaluationTable
    from pennyweight.results.figures import confusion_figure, pictures_figure, random_places
    from pennyweight.results.leaderboard import Row, arrange, rows
    from pennyweight.results.loaded import LoadedModel, load_model
    from pennyweight.results.models import Model, export_model, find_model
    from pennyweight.results.predictions import Predictions
    from pennyweight.results.studies import load_study, study_names
    from pennyweight.results.study_figures import curves_figure, sizes_figure
    from pennyweight.results.study_records import Rung, StudyRecords, TrialRecord
    from pennyweight.results.tables import as_csv, as_json, as_markdown
    from pennyweight.results.terminal import as_table

__all__ = [
    "EvaluationTable",
    "LoadedModel",
    "Model",
    "Predictions",
    "Row",
    "Rung",
    "StudyRecords",
    "TrialRecord",
    "arrange",
    "as_csv",
    "as_json",
    "as_markdown",
    "as_table",
    "confusion_figure",
    "curves_figure",
    "export_model",
    "find_model",
    "load_model",
    "load_study",
    "pictures_figure",
    "random_places",
    "rows",
    "sizes_figure",
    "study_names",
]

_HOMES = {
    "evaluation_table": ("EvaluationTable",),
    "figures": ("confusion_figure", "pictures_figure", "random_places"),
    "leaderboard": ("Row", "arrange", "rows"),
    "loaded": ("LoadedModel", "load_model"),
    "models": ("Model", "export_model", "find_model"),
    "predictions": ("Predictions",),
    "studies": ("load_study", "study_names"),
    "study_figures": ("curves_figure", "sizes_figure"),
    "study_records": ("Rung", "StudyRecords", "TrialRecord"),
    "tables": ("as_csv", "as_json", "as_markdown"),
    "terminal": ("as_table",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value  # the next look-up finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
