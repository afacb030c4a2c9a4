"""Questions and answers as datasets on disk.

A row has the published generator's columns question, answer, algo_name, length and use_hints, and besides seed and
index.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outrange.core.checks import whole
from outrange.core.shards import Progress, export
from outrange.reasoning.clrs.card import card
from outrange.reasoning.clrs.export import Piece, Selection, TraceShard, shards
from outrange.reasoning.clrs.load import load_modules
from outrange.reasoning.text.render import render


@dataclass(frozen=True)
class TextShard(TraceShard):
    """A shard of questions and answers."""

    hints: bool = False
    kind = "text"

    def table(self, pieces: list[Piece], first: int) -> dict[str, Any]:
        """The columns of some rows; ``first`` is the first row's index."""
        traces = [trace for piece in pieces for trace in piece.block.traces()[piece.start : piece.stop]]
        items = [render(trace, self.hints) for trace in traces]
        texts = {"question": [item.question for item in items], "answer": [item.answer for item in items]}
        return texts | self.origin(len(items), first) | {"use_hints": [self.hints] * len(items)}


def export_text(
    target: Path,
    selection: Selection,
    *,
    hints: bool = False,
    format: str = "parquet",
    shard_rows: int = 10_000,
    workers: int = 1,
    command: str = "",
    report_progress: Progress | None = None,
) -> dict:
    """Write questions and answers as a dataset.

    Args:
        hints: ask for the trace before the output.

    The other arguments, and the manifest that it returns, are those of ``clrs.export.export_traces``.
    """
    load_modules(selection.load)
    plan, tasks = shards(selection, TextShard, format, shard_rows, hints=hints)
    description = (
        "Questions and answers of CLRS-Text (arXiv 2406.04229): algorithms to be executed on the inputs given. "
        "A training text is `question + answer`."
    )

    def make_card(manifest: dict) -> str:
        return card(manifest, "CLRS-Text", description, command)

    return export(target, plan, tasks, make_card, whole("workers", workers, 1, 256), report_progress)
