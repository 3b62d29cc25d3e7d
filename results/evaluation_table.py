"""What a network says of labelled pictures, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pennyweight.results.predictions import Predictions

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_PAIRS, _MISTAKES = 5, 8  # that are listed
_WIDEST = 12  # classes up to which the matrix fits a terminal


@dataclass(frozen=True)
class EvaluationTable:
    """The accuracy, a row for each class, the confusion matrix and the worst mistakes."""

    title: str  # which network on which pictures
    predictions: Predictions

    def __rich_console__(self, *_: object) -> Iterator[RenderableType]:
        from rich.text import Text

        found = self.predictions
        low, high = found.interval
        yield Text(self.title, "bold")
        yield Text(
            f"accuracy {found.accuracy:.2%}, 95% interval {low:.2%} to {high:.2%} "
            f"({found.correct:,} of {len(found.labels):,}); log-loss {found.log_loss:.4f}"
        )
        yield self._classes()
        if len(found.class_names) <= _WIDEST:
            yield self._confusion()
        if found.confused:
            pairs = (f"{label} as {wrong} ({n:,})" for label, wrong, n in found.confused[:_PAIRS])
            yield Text(f"most confused: {', '.join(pairs)}")
        if found.mistakes:
            worst = (
                f"picture {index}, {label} as {wrong} ({sure:.1%})"
                for index, label, wrong, sure in found.mistakes[:_MISTAKES]
            )
            yield Text(f"surest mistakes of {len(found.mistakes):,}: {'; '.join(worst)}")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """As a notebook shows it."""
        from rich.table import Table

        parts = Table.grid()
        for part in self.__rich_console__():
            parts.add_row(part)
        return parts._repr_mimebundle_([], [])

    def _classes(self) -> Table:
        table = _table("class", "precision %", "recall %", "F1 %", "pictures")
        for name, precision, recall, f1, pictures in self.predictions.by_class:
            shares = (f"{100 * share:.2f}" for share in (precision, recall, f1))
            _add(table, name, *shares, f"{pictures:,}")
        return table

    def _confusion(self) -> Table:
        names = self.predictions.class_names
        table = _table("label \\ predicted", *names)
        for name, counts in zip(names, self.predictions.confusion.tolist(), strict=True):
            _add(table, name, *(f"{count:,}" if count else "·" for count in counts))
        return table


def _table(first: str, *others: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column(Text(first), no_wrap=True)
    for name in others:
        table.add_column(Text(name), justify="right", no_wrap=True)
    return table


def _add(table: Table, *cells: str) -> None:
    from rich.text import Text  # a class's name may hold brackets, which would be markup

    table.add_row(*map(Text, cells))
