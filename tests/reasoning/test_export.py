"""Exported datasets: what stands in them, that ``datasets`` opens them, and that they are what the samplers give."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest

from outrange.core.errors import BadInput
from outrange.reasoning import clrs, text
from outrange.reasoning.clrs.export import Selection, export_traces, from_row, read
from outrange.reasoning.text.export import export_text


def same(a, b):
    return a.length == b.length and all(
        np.array_equal(getattr(a, s)[k], getattr(b, s)[k])
        for s in ("inputs", "hints", "outputs")
        for k in getattr(a, s)
    )


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def load(path, *config):
    return datasets.load_dataset(str(path), *config, cache_dir=str(path.parent / "cache"))


@pytest.mark.parametrize("name", clrs.ALGORITHMS)
def test_every_algorithm_comes_back_from_parquet_as_it_went_in(tmp_path, name):
    export_traces(tmp_path / "x", Selection(algorithms=(name,), lengths=(5, 7), count=4, seed=9), shard_rows=3)
    files = sorted((tmp_path / "x" / "data" / name).glob("*.parquet"))
    assert len(files) == 4
    back = [t for file in files for t in read(file)]
    data = clrs.dataset(name, [5, 7], seed=9)
    expected = [data[2 * k + cell] for cell in (0, 1) for k in range(4)]
    assert len(back) == 8
    assert all(same(a, b) for a, b in zip(back, expected, strict=True))


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_load_dataset_opens_traces_by_algorithm(tmp_path, format):
    export_traces(tmp_path / "x", Selection(algorithms=("bfs", "lcs_length"), lengths=(6,), count=5), format=format)
    rows = load(tmp_path / "x", "lcs_length")["train"]
    assert len(rows) == 5
    assert same(from_row(rows[3]), clrs.dataset("lcs_length", 6)[3])


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_load_dataset_opens_text_as_one_set_and_by_algorithm(tmp_path, format):
    export_text(
        tmp_path / "x",
        Selection(algorithms=("bfs", "minimum"), lengths=(4, 5), count=3, seed=2, truncate_decimals=3),
        hints=True,
        format=format,
    )
    all_rows = load(tmp_path / "x")["train"]
    assert len(all_rows) == 12
    assert set(all_rows["algo_name"]) == {"bfs", "minimum"}
    rows = load(tmp_path / "x", "minimum")["train"]
    item = text.dataset("minimum", [4, 5], seed=2, hints=True)[2]
    assert (rows[1]["question"], rows[1]["answer"], rows[1]["use_hints"], rows[1]["index"]) == (
        item.question,
        item.answer,
        True,
        1,
    )


def test_presets_hold_the_published_samplers_draws(tmp_path):
    manifest = export_text(tmp_path / "x", Selection(preset="clrs-text-eval", algorithms=("bridges",), count=6))
    assert manifest["rows"] == 4 * 5 * 6
    rows = load(tmp_path / "x")["test"]
    expected = [
        text.render(t).text
        for n in (4, 5, 6, 7)
        for s in (3, 14, 35, 81, 94)
        for t in clrs.sample("bridges", n, 6, s, truncate_decimals=3)
    ]
    assert [q + a for q, a in zip(rows["question"], rows["answer"], strict=True)] == expected


def test_exporting_twice_gives_the_same_bytes_and_the_card_says_how(tmp_path):
    selection = Selection(algorithms=("dijkstra",), lengths=(5,), count=7, options={"dijkstra": {"p": [0.3, 0.7]}})
    first, second = (export_traces(tmp_path / k, selection, command="outrange clrs export …") for k in "ab")
    assert first == second
    assert (tmp_path / "a/data/dijkstra/00000-of-00001.parquet").read_bytes() == (
        tmp_path / "b/data/dijkstra/00000-of-00001.parquet"
    ).read_bytes()
    card = (tmp_path / "a/README.md").read_text()
    assert first["sha256"] in card
    assert "outrange clrs export …" in card
    assert "seed: 0" in card
    assert json.loads((tmp_path / "a/plan.json").read_text())["options"] == {"dijkstra": {"p": [0.3, 0.7]}}


def test_an_export_whose_algorithm_was_edited_is_not_resumed_into_two_versions(tmp_path):
    file = tmp_path / "edited_components.py"
    file.write_text(
        (Path(__file__).parents[2] / "examples/connected_components.py")
        .read_text()
        .replace('register("connected', 'register("edited')
    )
    selection = Selection(algorithms=("edited_components",), lengths=(4,), count=2, load=(str(file),))
    export_traces(tmp_path / "x", selection)
    file.write_text(file.read_text() + "# another version\n")
    with pytest.raises(BadInput, match="holds another export"):
        export_traces(tmp_path / "x", selection)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(), "nothing to export"),
        (Selection(algorithms=("bfs",), lengths=(4,)), "nothing to export"),
        (Selection(algorithms=("bfss",), lengths=(4,), count=1), "did you mean 'bfs'"),
        (Selection(algorithms=("bfs",), lengths=(1,), count=1), "bfs length: 1"),
        (Selection(algorithms=("bfs",), lengths=(4,), count=0), "count: 0"),
        (Selection(algorithms=("bfs",), lengths=(4,), count=1, seed=-1), "seed: -1"),
        (Selection(algorithms=("bfs",), lengths=(4,), count=1, options={"dfs": {}}), "options: 'dfs'"),
        (Selection(algorithms=("bfs",), lengths=(4,), count=1, options={"bfs": {"q": 1}}), "bfs option: 'q'"),
        (Selection(algorithms=("bfs",), lengths=(4,), count=1, load=("nowhere.py",)), "load: 'nowhere.py'"),
        (Selection(preset="clrs-text"), "preset: 'clrs-text'"),
        (Selection(preset="clrs-text-eval", lengths=(4,)), "cannot be combined"),
    ],
)
def test_a_selection_that_cannot_be_is_refused_before_anything_is_written(tmp_path, selection, message):
    with pytest.raises(BadInput) as refused:
        export_traces(tmp_path / "x", selection)
    assert message in str(refused.value)
    assert not (tmp_path / "x").exists()
