"""The page of benchmarks is what its results say."""

import importlib.util
import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def loaded(name):
    """A script of the folder, as a module."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_from_the_results():
    page = loaded("table").page(json.loads((FOLDER / "results.json").read_text(encoding="utf-8")))
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == page, "stale: run python benchmarks/table.py"


def test_a_summary_of_first_uses_names_the_slowest_and_counts_the_quick():
    summary = loaded("first_use").summary("alone", {"bfs": 1.0, "dfs": 3.0, "sort": 9.5})
    assert summary == "alone: 1.0 to 9.5 s (sort), median 3.0 s, 2 of 3 within 3 s"
