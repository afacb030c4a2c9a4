"""The command line as a user meets it: help, results, JSON, exit codes, one-sentence errors, light imports."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from outrange.cli import GROUPS

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "outrange", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **({"timeout": 120} | more),
    )


def test_help_names_every_command_and_loads_nothing_heavy():
    done = run("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in GROUPS)
    code = "import sys, outrange, outrange.cli; outrange.cli.main(['--help']); print([m for m in ('numpy', 'numba', 'torch', 'transformers', 'tyro', 'pyarrow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.endswith(
        "[]\n"
    )


@pytest.mark.parametrize(
    "command",
    [
        ("demo",),
        ("papers",),
        ("reproduce",),
        ("clrs",),
        ("clrs", "show"),
        ("clrs", "export"),
        ("clrs", "bench"),
        ("text",),
        ("text", "score"),
    ],
)
def test_every_command_has_help_without_loading_the_compiler(command):
    code = (
        "import sys, outrange.cli\n"
        "try:\n    outrange.cli.main([*sys.argv[1:], '--help'])\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "print([name for name in ('numba', 'torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    assert "usage: outrange" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_importing_the_traces_loads_neither_torch_nor_arrow():
    code = "import sys; from outrange.reasoning import clrs, text; print([m for m in ('torch', 'transformers', 'pyarrow', 'datasets', 'rich', 'tyro') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clsr"], "error: command: 'clsr' is not a command; did you mean 'clrs'?"),
        (["clrs", "show", "bfss"], "did you mean 'bfs'?"),
        (["clrs", "show", "strongly_connected_components", "--length", "3"], "length must be at least k"),
        (["clrs", "show", "bfs", "--option", "p"], "option: 'p' cannot be read"),
        (["clrs", "show", "bfs", "--option", "p=2"], "bfs p: 2"),
        (["clrs", "show", "bfs", "--load", "/nowhere.py"], "load: '/nowhere.py' is not a file"),
        (["clrs", "show", "bfs", "--html", "/proc/nowhere/x.html"], "html: "),
        (["clrs", "export", "/proc/nowhere", "--algorithms", "bfs", "--lengths", "4", "--count", "1"], "target: "),
        (["text", "export", "x", "--preset", "clrs-text-trian"], "did you mean 'clrs-text-train'?"),
        (["text", "score", "/nowhere.jsonl"], "file: '/nowhere.jsonl' cannot be read"),
        (["reproduce", "clrs-txt"], "did you mean 'clrs-text'?"),
        (["reproduce", "clrs-text/thirty"], "'thirty' is not a claim of this paper"),
        (["reproduce", "clrs-text", "--seeds", "0"], "seeds: 0"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_two(arguments, message, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if "compiling" not in line]
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert message in said[0]
    assert not list(tmp_path.iterdir())


def test_a_question_in_the_terminal_is_the_published_one():
    done = run("text", "show", "bfs", "--seed", 0)
    assert done.stdout == "bfs:\ns: 3, A: [[1 0 1 1], [0 1 0 1], [1 0 1 0], [1 1 0 0]]\npi:\n[3 3 0 3]\n\n"


def test_results_come_as_json_when_asked(tmp_path):
    shown = json.loads(run("clrs", "show", "minimum", "--length", 4, "--json").stdout)
    assert shown["length"] == len(shown["hints"]["i"]) == 4
    assert len(json.loads(run("clrs", "list", "--json").stdout)) == 30
    assert json.loads(run("papers", "--json").stdout)[0]["name"] == "clrs-text"
    assert json.loads(run("text", "show", "bfs", "--json").stdout)[0]["answer"] == "[3 3 0 3]\n\n"
    exported = json.loads(
        run("text", "export", tmp_path / "x", "--algorithms", "bfs", "--lengths", "4", "--count", "5", "--json").stdout
    )
    assert exported["rows"] == exported["written"] == 5
    benched = json.loads(run("clrs", "bench", "minimum", "--lengths", "8", "--json").stdout)
    assert {row["kind"] for row in benched} == {"trace", "text", "text-with-trace"}
    assert all(row["ours"] > 0 and row["ratio"] is None for row in benched)


def test_an_export_says_what_it_wrote_and_how_to_open_it_and_resumes(tmp_path):
    arguments = (
        "clrs",
        "export",
        tmp_path / "x",
        "--algorithms",
        "bfs",
        "--lengths",
        "4",
        "--count",
        "12",
        "--shard-rows",
        "5",
    )
    first = run(*arguments)
    assert first.returncode == 0
    assert "12 rows in 3 files" in first.stdout
    assert "datasets.load_dataset(" in first.stdout
    assert "outrange clrs export" in (tmp_path / "x/README.md").read_text()
    again = run(*arguments)
    assert "(12 were there already)" in again.stdout
    other = run(*arguments[:-1], "6")
    assert other.returncode == 2
    assert "holds another export (shard_rows 5, now 6)" in other.stderr


def test_completions_are_scored_from_a_file_and_from_standard_input(tmp_path):
    row = json.dumps({"question": "minimum:\nkey: [0.2 0.1]\nmin:\n", "answer": "1\n\n", "completion": "1"})
    (tmp_path / "c.jsonl").write_text(row + "\n")
    from_file = json.loads(run("text", "score", tmp_path / "c.jsonl", "--json").stdout)
    assert from_file["minimum"]["exact"] == 1.0
    assert json.loads(run("text", "score", "-", "--json", input=row).stdout) == from_file


def test_the_worked_example_is_an_algorithm_like_any_other(tmp_path):
    example = ROOT / "examples" / "connected_components.py"
    checked = run("clrs", "check", "connected_components", "--load", example)
    assert checked.returncode == 0, checked.stderr
    assert "keeps its contract" in checked.stdout
    assert "label" in run("clrs", "show", "connected_components", "--load", example).stdout
    exported = run(
        "text",
        "export",
        tmp_path / "x",
        "--algorithms",
        "connected_components",
        "bfs",
        "--lengths",
        "4",
        "--count",
        "6",
        "--workers",
        "2",
        "--load",
        example,
    )
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "x/data/connected_components").is_dir()


def test_a_broken_contract_fails_with_exit_code_one(tmp_path):
    text = (ROOT / "examples" / "connected_components.py").read_text().replace("changed[i] = 1", "changed[i] = 5")
    (tmp_path / "broken_components.py").write_text(text)
    done = run("clrs", "check", "connected_components", "--load", tmp_path / "broken_components.py")
    assert done.returncode == 1, done.stderr
    assert "broken promise 'the spec is obeyed" in done.stdout


def test_the_demo_ends_with_samples_a_rate_and_a_page(tmp_path):
    done = run("demo", "--out", tmp_path, timeout=280)
    assert done.returncode == 0, done.stderr
    assert "trace | pi:" in done.stdout
    assert "traces a second" in done.stdout
    assert (tmp_path / "bfs.html").stat().st_size > 5_000


def test_a_claim_runs_and_prints_our_number_beside_theirs(tmp_path):
    command = ("reproduce", "clrs-text/chance-level", "--seeds", 2, "--out", tmp_path / "kept.jsonl")
    done = run(*command, env=os.environ | {"COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    for word in (
        "published",
        "Gemini",
        "ours",
        "±",
        "outrange reproduce clrs-text/chance-level --scale laptop --seeds 2",
    ):
        assert word in done.stdout
    command = ("reproduce", "clrs-text/length-generalisation", "--json", "--out", tmp_path / "kept.jsonl")
    result = json.loads(run(*command).stdout)[0]
    assert result["verdict"] == "not run"
    assert result["why"]
