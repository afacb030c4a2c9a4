"""Datasets of text: ``clrs.dataset`` rendered, so that item i depends only on (seed, i)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from outrange.reasoning.clrs.sampling import Dataset
from outrange.reasoning.clrs.sampling import dataset as trace_dataset
from outrange.reasoning.text.render import Item, render


class TextDataset(Sequence[Item]):
    """The items of a dataset of traces as text; ``traces`` is that dataset."""

    def __init__(self, traces: Dataset, hints: bool) -> None:
        self.traces, self.hints = traces, hints

    def __len__(self) -> int:
        return len(self.traces)

    @overload
    def __getitem__(self, item: int) -> Item: ...
    @overload
    def __getitem__(self, item: slice) -> list[Item]: ...
    def __getitem__(self, item: int | slice) -> Item | list[Item]:
        if isinstance(item, slice):
            return [render(trace, self.hints) for trace in self.traces[item]]
        return render(self.traces[item], self.hints)

    def __iter__(self) -> Iterator[Item]:
        # the traces' own iteration draws many of a cell at once; item by item would draw each alone
        return (render(trace, self.hints) for trace in self.traces)

    def __repr__(self) -> str:
        return f"<TextDataset{' with hints' if self.hints else ''} of {self.traces!r}>"


def dataset(
    algorithms: str | Sequence[str],
    lengths: int | Sequence[int] | Mapping[str, Sequence[int]],
    seed: int = 0,
    *,
    hints: bool = False,
    count: int | None = None,
    truncate_decimals: int | None = 3,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> TextDataset:
    """An indexable dataset of questions and answers.

    Args:
        hints: ask for the trace before the output.
        truncate_decimals: three decimals, as in CLRS-Text.

    The other arguments are those of ``clrs.dataset``.
    """
    traces = trace_dataset(algorithms, lengths, seed, count=count, truncate_decimals=truncate_decimals, options=options)
    return TextDataset(traces, hints)
