"""What ``outrange clrs export`` and ``outrange text export`` share: progress, and the closing lines."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from outrange.cli import app


def run_export(write: Callable[..., dict[str, Any]], target: Path, as_json: bool) -> int:
    """Write a dataset and say what was written; returns the exit code.

    Args:
        write: called with ``command``, for the dataset's card, and ``report_progress``; returns the manifest.
        target: the dataset's directory.
        as_json: print the result as JSON.
    """
    began = time.perf_counter()
    rows_there: int | None = None  # what an earlier, interrupted export has written
    with app.progress("exporting", "rows") as update_bar:

        def report_progress(done: int, total: int) -> None:
            nonlocal rows_there
            if rows_there is None:
                rows_there = done
            update_bar(done, total)

        manifest = write(command=app.command_line(), report_progress=report_progress)
    seconds, rows_there = time.perf_counter() - began, rows_there or 0
    rows = manifest["rows"] - rows_there
    if as_json:
        summary = {"target": str(target), "rows": manifest["rows"], "written": rows, "seconds": seconds}
        app.print_json(summary | {"sha256": manifest["sha256"]})
        return 0
    resumed = f" ({rows_there:,} were there already)" if rows_there else ""
    rate = f", {rows / seconds:,.0f} rows/s" if rows else ""
    files = f"{manifest['rows']:,} rows in {len(manifest['files'])} files"
    print(f"{files}{resumed} · {seconds:.1f} s{rate} · sha256 {manifest['sha256'][:16]}")
    print(f"open: datasets.load_dataset({str(target)!r}) · card: {target / 'README.md'}")
    return 0
