"""Questions and answers as datasets on disk: the columns question, answer, algo_name, length and use_hints of the published generator, seed and index."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outrange.core.shards import Progress, export
from outrange.reasoning.clrs.export import Piece, Selection, TraceShard, card, shards
from outrange.reasoning.clrs.load import load_modules
from outrange.reasoning.clrs.samplers import whole
from outrange.reasoning.text.render import render


@dataclass(frozen=True)
class TextShard(TraceShard):
    """A shard of questions and answers."""

    hints: bool = False
    kind = "text"

    def table(self, pieces: list[Piece], first: int) -> dict[str, Any]:
        items = [
            render(trace, self.hints) for piece in pieces for trace in piece.block.traces()[piece.start : piece.stop]
        ]
        written = {"question": [i.question for i in items], "answer": [i.answer for i in items]}
        return written | self.origin(len(items), first) | {"use_hints": [self.hints] * len(items)}


def export_text(
    target: Path,
    selection: Selection,
    *,
    hints: bool = False,
    format: str = "parquet",
    shard_rows: int = 10_000,
    workers: int = 1,
    command: str = "",
    progress: Progress | None = None,
) -> dict:
    """Write questions and answers as a dataset; see ``outrange.core.shards.export`` for what is resumable and stable. Returns the manifest."""
    load_modules(selection.modules)
    plan, tasks = shards(selection, TextShard, format, shard_rows, hints=hints)
    text = "Questions and answers of CLRS-Text (arXiv 2406.04229): algorithms to be executed on the inputs given. A training text is `question + answer`."
    return export(
        target,
        plan,
        tasks,
        lambda manifest: card(manifest, "CLRS-Text", text, command),
        whole("workers", workers, 1, 256),
        progress,
    )
