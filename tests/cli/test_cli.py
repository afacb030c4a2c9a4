"""The command line as a user meets it: help, results, JSON, exit codes, one-sentence errors, light imports."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from outrange import cli
from outrange.attention.glasses import probe
from outrange.cli import GROUPS, demo
from tests.cli.helpers import TINY_PROBE, run

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numba", "torch", "transformers")


def python(code, *arguments):
    """What a fresh process prints."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_help_names_every_command_and_loads_nothing_heavy():
    names = ("numpy", *HEAVY, "tyro", "pyarrow")
    code = f"import sys, outrange.cli; outrange.cli.main(['--help']); print([m for m in {names} if m in sys.modules])"
    out = python(code)
    assert all(name in out for name in GROUPS)
    assert out.endswith("[]\n")


COMMANDS = [(group, name) if name else (group,) for group in GROUPS for name in cli.commands(group)]


def test_every_command_has_help_and_asking_for_all_of_it_loads_neither_compiler_nor_torch():
    code = f"""
import sys
from outrange.cli import main
for command in {[(), *COMMANDS, *((group,) for group in GROUPS)]!r}:
    try:
        code = main([*command, "--help"])
    except SystemExit as stop:
        code = stop.code
    assert not code, command
    heavy = [name for name in {HEAVY} if name in sys.modules]
    assert not heavy, (command, heavy)
"""
    out = python(code)
    for command in COMMANDS:
        assert f"usage: outrange {' '.join(command)} " in out, command


def test_reading_a_configuration_loads_neither_compiler_nor_torch(tmp_path):
    code = f"""
import sys
from pathlib import Path
from outrange import exploration, lm
from outrange.core.config import from_json, to_json
from outrange.reasoning import nar
for config in (nar.preset("paper", ("all",)), lm.preset("smoke", ("x",)), exploration.preset("minigrid", "rnd")):
    assert from_json(type(config), to_json(config)) == config
print([name for name in {HEAVY} if name in sys.modules])
"""
    assert python(code) == "[]\n"


def test_the_module_and_the_console_script_end_with_the_exit_code_and_print_the_sentence(tmp_path):
    script = Path(sys.executable).with_name("outrange")
    for entry in ([sys.executable, "-m", "outrange"], [str(script)]):
        if not Path(entry[0]).exists():
            continue
        ended = subprocess.run([*entry, "clsr"], capture_output=True, text=True, check=False, timeout=60)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr == "error: command: 'clsr' is not a command; did you mean 'clrs'?\n"
        ended = subprocess.run([*entry, "--version"], capture_output=True, text=True, check=False, timeout=60)
        assert ended.returncode == 0
        assert ended.stdout.startswith("outrange ")


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_lists_its_commands_and_without_one_the_exit_code_is_two(group):
    names = [name for name in cli.commands(group) if name]
    if names:
        helped, alone = run(group, "--help"), run(group)
        assert (helped.exit_code, alone.exit_code) == (0, 2)
        assert helped.out == alone.out
        assert all(f"  {name} " in helped.out for name in names)
        unknown = run(group, "nosuch")
        assert unknown.exit_code == 2
        assert f"'nosuch' is not a command of `outrange {group}`" in unknown.err


def test_importing_the_traces_loads_neither_torch_nor_arrow():
    code = "import sys; from outrange.reasoning import clrs, text; print([m for m in ('torch', 'transformers', 'pyarrow', 'datasets', 'rich', 'tyro') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clsr"], "error: command: 'clsr' is not a command; did you mean 'clrs'?"),
        (
            ["clrs", "show", "bfs", "--lenght", "4"],
            "--lenght: is not a flag of `outrange clrs show`; did you mean --length?",
        ),
        (["clrs", "show", "bfs", "--length", "four"], "--length: 'four' is not allowed; it must be a whole number"),
        (["clrs", "show", "bfs", "--length"], "--length: its value is missing"),
        (["clrs", "show"], "ALGORITHM: is missing"),
        (["clrs", "show", "bfs", "dfs"], "dfs: is not an argument of `outrange clrs show`"),
        (["clrs", "export", "x", "--format", "parket"], "--format: 'parket' is not allowed; did you mean 'parquet'?"),
        (["demo", "--parts", "traces", "mace"], "--parts: 'mace' is not allowed"),
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
def test_bad_input_is_one_sentence_and_exit_code_two(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exit_code, _, err = run(*arguments)
    assert exit_code == 2
    said = [line for line in err.splitlines() if "compiling" not in line]
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert message in said[0]
    assert not list(tmp_path.iterdir())


def test_a_question_in_the_terminal_is_the_published_one():
    done = run("text", "show", "bfs", "--seed", 0)
    assert done.out == "bfs:\ns: 3, A: [[1 0 1 1], [0 1 0 1], [1 0 1 0], [1 1 0 0]]\npi:\n[3 3 0 3]\n\n"


def test_results_come_as_json_when_asked(tmp_path):
    shown = json.loads(run("clrs", "show", "minimum", "--length", 4, "--json").out)
    assert shown["length"] == len(shown["hints"]["i"]) == 4
    assert len(json.loads(run("clrs", "list", "--json").out)) == 30
    assert json.loads(run("papers", "--json").out)[0]["name"] == "clrs-text"
    assert json.loads(run("text", "show", "bfs", "--json").out)[0]["answer"] == "[3 3 0 3]\n\n"
    exported = json.loads(
        run("text", "export", tmp_path / "x", "--algorithms", "bfs", "--lengths", "4", "--count", "5", "--json").out
    )
    assert exported["rows"] == exported["written"] == 5
    benched = json.loads(run("clrs", "bench", "minimum", "--lengths", "8", "--json").out)
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
    assert first.exit_code == 0
    assert "12 rows in 3 files" in first.out
    assert "datasets.load_dataset(" in first.out
    assert "outrange clrs export" in (tmp_path / "x/README.md").read_text()
    again = run(*arguments)
    assert "(12 were there already)" in again.out
    other = run(*arguments[:-1], "6")
    assert other.exit_code == 2
    assert "holds another export (shard_rows 5, now 6)" in other.err


def test_completions_are_scored_from_a_file_and_from_standard_input(tmp_path, monkeypatch):
    row = json.dumps({"question": "minimum:\nkey: [0.2 0.1]\nmin:\n", "answer": "1\n\n", "completion": "1"})
    (tmp_path / "c.jsonl").write_text(row + "\n")
    from_file = json.loads(run("text", "score", tmp_path / "c.jsonl", "--json").out)
    assert from_file["minimum"]["exact"] == 1.0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(row.encode()), encoding="utf-8"))
    assert json.loads(run("text", "score", "-", "--json").out) == from_file


@pytest.fixture
def forgets_components():
    """What the worked example registers is forgotten after the test."""
    yield
    from outrange.reasoning import clrs

    for module in ("connected_components", "broken_components"):
        sys.modules.pop(module, None)
    if "connected_components" in clrs.names():
        clrs.unregister("connected_components")


@pytest.mark.usefixtures("forgets_components")
def test_the_worked_example_is_an_algorithm_like_any_other(tmp_path):
    example = ROOT / "examples" / "connected_components.py"
    checked = run("clrs", "check", "connected_components", "--load", example)
    assert checked.exit_code == 0, checked.err
    assert "keeps its contract" in checked.out
    assert "label" in run("clrs", "show", "connected_components", "--load", example).out
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
    assert exported.exit_code == 0, exported.err
    assert (tmp_path / "x/data/connected_components").is_dir()


@pytest.mark.usefixtures("forgets_components")
def test_a_broken_contract_fails_with_exit_code_one(tmp_path):
    text = (ROOT / "examples" / "connected_components.py").read_text().replace("changed[i] = 1", "changed[i] = 5")
    (tmp_path / "broken_components.py").write_text(text)
    done = run("clrs", "check", "connected_components", "--load", tmp_path / "broken_components.py")
    assert done.exit_code == 1, done.err
    assert "broken promise 'the spec is obeyed" in done.out


SHOWN = {
    "traces": ("trace | pi:", "traces a second"),
    "reasoner": ("30 steps in", "64 nodes 0."),
    "generalist": ("the shipped generalist", "activity_selector"),
    "attention": ("rotary frequencies",),
    "maze": ("mazes of 11 x 11", "wall follower"),
}


@pytest.mark.slow
@pytest.mark.timeout(900)  # where the pretrained model is in the cache, it is probed: minutes
def test_the_whole_demo_ends_with_samples_a_rate_and_a_page(tmp_path):
    command = [sys.executable, "-m", "outrange", "demo", "--out", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=880)
    assert ended.returncode == 0, ended.stderr
    assert "trace | pi:" in ended.stdout
    assert "traces a second" in ended.stdout
    assert "64 nodes 0.9" in ended.stdout
    assert (tmp_path / "bfs.html").stat().st_size > 5_000


def test_the_demo_goes_on_where_the_language_model_cannot_be_had(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "LANGUAGE_MODEL", "nosuch")
    exit_code, out, err = run("demo", "--out", tmp_path, "--parts", "attention")
    assert exit_code == 0, err
    assert "attention: left out: model: 'nosuch' is neither a file nor a folder" in out
    assert "next: " in out


@pytest.mark.parametrize("part", demo.PARTS)
def test_each_part_of_the_demo_prints_what_came_of_it_and_writes_its_pages(part, tmp_path, spelling, monkeypatch):
    monkeypatch.setattr(demo, "LANGUAGE_MODEL", str(spelling))  # the pretrained one takes minutes, and a network
    monkeypatch.setitem(probe.BUDGETS, "quick", TINY_PROBE)
    monkeypatch.setattr(demo, "REASONER_UPDATES", 30)
    monkeypatch.setattr(demo, "EXPLORATION_STEPS", 20_000)
    monkeypatch.setattr(demo, "EPISODES", 16)
    exit_code, out, err = run("demo", "--out", tmp_path, "--parts", part)
    assert exit_code == 0, err
    assert out.splitlines()[-1].startswith("next: outrange nar train dijkstra")
    assert all(words in out for words in SHOWN[part])
    pages = [Path(line.removeprefix("open: ")) for line in out.splitlines() if line.startswith("open: ")]
    assert len(pages) == {"traces": 1, "attention": 2, "maze": 1}.get(part, 0)
    for page in pages:
        assert page.stat().st_size > 5_000
        assert f"outrange demo --out {tmp_path} --parts {part}" in page.read_text(encoding="utf-8")


def test_the_demo_is_stopped_and_says_that_the_same_command_goes_on(tmp_path, monkeypatch):
    stopped = demo.Part(lambda out: {"stopped": True}, lambda result: pytest.fail("it is not whole"))
    after = demo.Part(lambda out: pytest.fail("nothing follows"), print)
    monkeypatch.setattr(demo, "PARTS", {"traces": stopped, "maze": after})
    assert run("demo", "--out", tmp_path, "--parts", "traces", "maze")[:2] == (1, "stopped; the same command goes on\n")


def test_a_claim_runs_and_prints_our_number_beside_theirs(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    command = ("reproduce", "clrs-text/chance-level", "--seeds", 2, "--out", tmp_path / "kept.jsonl")
    done = run(*command)
    assert done.exit_code == 0, done.err
    for word in (
        "published",
        "Gemini",
        "ours",
        "±",
        "outrange reproduce clrs-text/chance-level --scale laptop --seeds 2",
    ):
        assert word in done.out
    command = ("reproduce", "clrs-text/length-generalisation", "--json", "--out", tmp_path / "kept.jsonl")
    result = json.loads(run(*command).out)[0]
    assert result["verdict"] == "not run"
    assert result["why"]
