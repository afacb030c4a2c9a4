"""What was typed stands in every page and card that a command writes, so that a reader can make it again."""

import shlex
from pathlib import Path

import pytest

from outrange.attention.glasses import probe
from tests.cli.helpers import TINY_PROBE, run


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    path = tmp_path_factory.mktemp("explore") / "run"
    assert (
        run(
            "explore",
            "train",
            "--preset",
            "smoke",
            "--agent",
            "r2d2",
            "--steps",
            1200,
            "--log-every",
            400,
            "--out",
            path,
        ).exit_code
        == 0
    )
    return path


def written(file, *arguments):
    """The file that a command writes, once it has run well."""
    exit_code, _, err = run(*arguments)
    assert exit_code == 0, err
    return Path(file).read_text(encoding="utf-8"), shlex.join(["outrange", *map(str, arguments)])


def test_on_the_page_of_a_trace(tmp_path):
    page = tmp_path / "a page.html"
    text, command = written(page, "clrs", "show", "bfs", "--length", 4, "--html", page)
    assert command in text


@pytest.mark.parametrize("group", ["clrs", "text"])
def test_on_the_card_of_a_dataset(group, tmp_path):
    arguments = (group, "export", tmp_path / "x", "--algorithms", "bfs", "--lengths", 4, "--count", 3)
    text, command = written(tmp_path / "x/README.md", *arguments)
    assert command in text


def test_on_the_page_of_a_scan(spelling, tmp_path):
    page = tmp_path / "scan.html"
    text, command = written(page, "attention", "scan", spelling, "--window", 32, "--no-experiments", "--out", page)
    assert command in text


def test_on_the_page_of_a_probe(spelling, tmp_path, monkeypatch):
    monkeypatch.setitem(probe.BUDGETS, "quick", TINY_PROBE)
    page = tmp_path / "probe.html"
    text, command = written(page, "attention", "probe", spelling, "--out", page)
    assert command in text


def test_on_the_page_of_runs_that_explore(explored, tmp_path):
    page = tmp_path / "explore.html"
    text, command = written(page, "explore", "page", explored, "--episodes", 4, "--maps", 1, "--seed", 5, "--out", page)
    assert command in text
