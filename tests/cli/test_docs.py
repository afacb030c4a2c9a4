"""The docs are true: the command-line page is fresh, links lead somewhere, the how-to's code is the worked example's."""

import re
import runpy
from pathlib import Path

import pytest

from outrange import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])


def test_the_command_line_page_is_what_the_commands_say():
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert generate["page"]() == text, "docs/cli.md is stale: run `make docs`"
    for group in cli.GROUPS:  # the page's commands are those of the groups' tables, whatever the generator does
        for name in cli.commands(group):
            assert f"\n## {' '.join(('outrange', group, name)).strip()}\n" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_how_to_prints_the_worked_example_whole():
    page = (ROOT / "docs/howto/own_algorithm.md").read_text(encoding="utf-8")
    example = (ROOT / "examples/connected_components.py").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    assert all(block.strip() in example for block in blocks)
    docstring, code = example[3:].split('"""', 1)  # the page itself is what the example's docstring points to
    assert docstring and [line for line in code.splitlines() if line not in "\n".join(blocks).splitlines()] == []


def test_code_in_the_readme_runs():
    import numpy as np

    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S).group(1)
    A = np.array([[0, 1.0], [1.0, 0]])
    names = {"A": A}
    exec(code, names)
    assert names["item"].question.startswith("bfs:")
    assert names["trace"].hints["pi_h"].shape == (names["trace"].length, 16)
