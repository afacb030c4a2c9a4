"""Texts equal the published generator's, byte for byte, with and without the trace. Every line found in the folder is run."""

import gzip
import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

from outrange.reasoning import clrs, text

FILE = Path(os.environ.get("OUTRANGE_ORACLE", Path(__file__).parent / "data")) / "clrs" / "text.jsonl.gz"


def lines():
    """The reference's rows, by algorithm."""
    grouped = defaultdict(list)
    if FILE.exists():
        with gzip.open(FILE, "rt") as file:
            for line in file:
                row = json.loads(line)
                grouped[row["algo"]].append(row)
    return grouped


LINES = lines()


def test_there_are_reference_texts():
    assert sum(map(len, LINES.values())), f"no reference texts in {FILE}"


@pytest.mark.parametrize("name", sorted(LINES))
def test_texts_equal_the_reference(name):
    for row in LINES[name]:
        trace = clrs.sample(name, length=row["n"], count=1, seed=row["seed"], truncate_decimals=row["decimals"])[0]
        item = text.render(trace, hints=row["use_hints"])
        case = (row["n"], row["seed"], row["decimals"], row["use_hints"])
        assert item.question == row["question"], case
        assert item.answer == row["answer"], case


@pytest.mark.parametrize("name", sorted(LINES))
def test_reference_answers_score_one(name):
    for row in LINES[name]:
        item = text.Item(row["question"], row["answer"])
        assert text.score(item, row["answer"]) == text.Score(1.0, 1.0, 1.0, 1.0)
