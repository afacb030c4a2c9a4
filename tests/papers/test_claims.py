"""What all claims share: seeds where something is drawn, verdicts, keys and their labels, and the file that keeps results."""

import ast
import inspect
import json
import math
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from outrange.core.errors import BadInput
from outrange.papers import PAPERS, Claim, NotRun, Paper, paper, reproduce, results
from outrange.papers.claims import VERDICTS, Result, means, medians, series

ALL_CLAIMS = [(name, claim) for name in PAPERS for claim in paper(name).claims]


def judged(values):
    return "shown", f"{len(values)} measures"


def drawing(seed, top=1.0):
    return {"value": seed * top, ("score", "bfs"): 2.0}


def drawing_nothing(top=1.0):
    return {"value": top}


def made(*claims):
    return Paper("made-up", "A paper of ours", "0000.00000", claims)


def claim(name="first", run=drawing, scales=None, **fields):
    scales = {"laptop": {"top": 2.0}} if scales is None else scales
    return Claim(
        name=name, place="here", statement="it is so", published="1", run=run, judge=judged, scales=scales, **fields
    )


def test_every_file_of_the_folder_but_the_shared_ones_is_a_paper_and_reading_them_loads_nothing_heavy():
    code = (
        "import sys; from outrange.papers import PAPERS, paper; [paper(name) for name in PAPERS];"
        "import outrange.cli.papers, outrange.cli.reproduce;"
        "print(*PAPERS); print([name for name in ('torch', 'transformers', 'numba', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "clrs-text generalist glasses ngu rope\n[]\n"
    assert [paper(name).name for name in PAPERS] == list(PAPERS)
    with pytest.raises(BadInput, match="did you mean 'glasses'"):
        paper("glases")


@pytest.mark.parametrize(("name", "claim"), ALL_CLAIMS, ids=lambda value: getattr(value, "name", value))
def test_a_claim_that_takes_a_seed_reads_it_and_one_that_cannot_run_says_what_it_would_take(name, claim):
    assert claim.scales or claim.missing
    assert (claim.run is None) == (claim.judge is None) == (not claim.scales)
    if claim.run is None:
        return
    function = claim.run.func if isinstance(claim.run, partial) else claim.run
    body = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0].body
    read = {node.id for line in body for node in ast.walk(line) if isinstance(node, ast.Name)}
    assert ("seed" in read) == claim.takes_seed
    for settings in claim.scales.values():
        inspect.signature(claim.run).bind(**({"seed": 0} if claim.takes_seed else {}), **settings)


def test_a_claim_that_draws_runs_with_every_seed_and_one_that_does_not_once():
    ours = made(claim(), claim("second", drawing_nothing))
    progress = []
    first, second = (
        reproduce(ours, each, "laptop", 3, lambda done, total: progress.append((done, total))) for each in ours.claims
    )
    assert progress == [(1, 3), (2, 3), (3, 3), (1, 1)]
    assert first.values == {"value": [0.0, 2.0, 4.0], ("score", "bfs"): [2.0, 2.0, 2.0]} and first.seeds == 3
    assert second.values == {"value": [2.0]} and second.seeds == 1 and second.command.endswith("--seeds 1")
    assert first.summary() == "value 2.000 ± 2.000 · score, bfs 2.000 ± 0.000" and second.summary() == "value 2.000"


def test_a_summary_has_three_decimals_or_three_digits_where_numbers_are_small_or_large():
    numbers = {"none": 0.0, "small": 0.00123456, "usual": 12.34567, "large": 524_477.0, "negative": -0.5}
    ours = made(claim(run=lambda: numbers, scales={"laptop": {}}))
    assert reproduce(ours, ours.claims[0], "laptop", 1).summary() == (
        "none 0.000 · small 0.00123 · usual 12.346 · large 5.24e+05 · negative -0.500"
    )


def test_a_scale_that_is_not_there_is_not_run_and_says_which_are():
    ours = made(claim(scales={"laptop": {}, "paper": {}}, missing="a machine of 80 GB"))
    result = reproduce(ours, ours.claims[0], "gpu", 3)
    assert result.verdict == "not run" and result.verdict in VERDICTS and not result.values and not result.stopped
    assert result.why == (
        "this claim has no settings for scale gpu; it runs with --scale laptop or --scale paper. It needs a machine of 80 GB"
    )
    with pytest.raises(BadInput, match="scale: 'huge' is not a scale"):
        reproduce(ours, ours.claims[0], "huge", 1)
    for each in paper("ngu").claims:
        assert len(reproduce(paper("ngu"), each, "paper", 1).why) > 20


def test_a_run_that_cannot_report_is_not_judged_whatever_other_seeds_measured():
    def stopped_later(seed):
        return {"value": 1.0} if seed == 0 else NotRun("stopped at step 3", stopped=True)

    ours = made(claim(run=stopped_later, scales={"laptop": {}}))
    result = reproduce(ours, ours.claims[0], "laptop", 3)
    assert (result.verdict, result.why, result.values, result.stopped) == ("not run", "stopped at step 3", {}, True)


def test_labels_name_measures_and_what_they_were_measured_of():
    plain, labelled = claim(), claim(labels={"score": "{} in percent", "cut_off": "cut-off"})
    assert [plain.label(key) for key in ("steps_to_half", ("score", "bfs"), ("fails_at", 1e5))] == [
        "steps to half",
        "score, bfs",
        "fails at, 100000",
    ]
    assert [labelled.label(key) for key in ("cut_off", ("score", "bfs"))] == ["cut-off", "bfs in percent"]


def test_series_means_and_medians_are_by_what_was_measured():
    values = {("score", "bfs"): [1.0, 2.0, 6.0], ("score", "dfs"): [4.0] * 3, "score": [0.0], ("other", "bfs"): [9.0]}
    assert series(values, "score") == {"bfs": [1.0, 2.0, 6.0], "dfs": [4.0] * 3}
    assert means(series(values, "score")) == {"bfs": 3.0, "dfs": 4.0}
    assert medians(series(values, "score")) == {"bfs": 2.0, "dfs": 4.0}


def test_labels_of_a_claim_format_whatever_key_it_has():
    for _, each in ALL_CLAIMS:
        for measure, template in each.labels.items():
            point = ("x",) if "{" in template else ()
            assert each.label((measure, *point) if point else measure)


# The file of results


def infinite(seed, top):
    return {"value": math.inf, ("distance", 8): 0.25 * seed}


def test_a_kept_result_comes_back_as_it_was(tmp_path):
    ours = made(claim(run=infinite), claim("second", drawing_nothing))
    kept = [reproduce(ours, each, "laptop", 2) for each in ours.claims]
    for result in kept:
        results.append(tmp_path / "sub/kept.jsonl", result)
    back = [results.find(tmp_path / "sub/kept.jsonl", ours, each, "laptop", 2) for each in ours.claims]
    assert back == kept and back[0].values == {"value": [math.inf] * 2, ("distance", 8): [0.0, 0.25]}
    first = json.loads((tmp_path / "sub/kept.jsonl").read_text().splitlines()[0], parse_constant=pytest.fail)
    assert first["ours"][1] | {"mean": 0, "std": 0} == {
        "key": ["distance", 8],
        "label": "distance, 8",
        "mean": 0,
        "std": 0,
        "values": [0.0, 0.25],
    }
    assert first["ours"][0]["values"] == ["inf", "inf"] and first["settings"] == {"top": 2.0}


def test_only_the_same_claim_settings_seeds_scale_and_version_are_found(tmp_path, monkeypatch):
    path = tmp_path / "kept.jsonl"
    ours = made(claim(), claim("second", drawing_nothing))
    assert results.find(path, ours, ours.claims[0], "laptop", 2) is None
    for each in ours.claims:
        results.append(path, reproduce(ours, each, "laptop", 2))
    assert len(path.read_bytes().split(b"\n")) == 3  # two lines, and nothing between them
    assert results.find(path, ours, ours.claims[0], "laptop", 2)
    assert results.find(path, ours, ours.claims[0], "laptop", 3) is None
    assert results.find(path, ours, ours.claims[1], "laptop", 3)  # draws nothing
    assert results.find(path, ours, ours.claims[0], "gpu", 2) is None
    assert results.find(path, ours, replace(ours.claims[0], scales={"laptop": {"top": 3.0}}), "laptop", 2) is None
    monkeypatch.setattr(results, "__version__", "0.0.0")
    assert results.find(path, ours, ours.claims[0], "laptop", 2) is None


def test_the_newest_of_two_results_counts_and_a_torn_line_loses_only_itself(tmp_path):
    path = tmp_path / "kept.jsonl"
    ours = made(claim())
    result = reproduce(ours, ours.claims[0], "laptop", 1)
    results.append(path, result)
    path.write_bytes(path.read_bytes() + path.read_bytes()[:40])
    results.append(path, replace(result, why="measured again"))
    assert results.find(path, ours, ours.claims[0], "laptop", 1).why == "measured again"
    assert len(results.read(path)) == 2 and path.read_bytes().count(b"\n") == 3


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path):
    ours = made(claim())
    with pytest.raises(BadInput, match="out: .* cannot be written: it is a directory"):
        results.append(tmp_path, reproduce(ours, ours.claims[0], "laptop", 1))


# The command


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """``outrange reproduce made-up …``, with a paper of claims of ours; returns exit code, what was printed and the file."""
    from outrange import papers
    from outrange.cli import main

    monkeypatch.setenv("COLUMNS", "200")

    def run(claims, *arguments):
        monkeypatch.setattr(papers, "paper", lambda name: made(*claims))
        code = main(["reproduce", "made-up", "--out", str(tmp_path / "kept.jsonl"), "--seeds", "2", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_each_verdict_is_kept_as_its_claim_ends_and_a_later_stop_loses_none(command, tmp_path):
    def interrupted(seed):
        assert len(results.read(tmp_path / "kept.jsonl")) == 1  # the first claim's is on disk by now
        raise KeyboardInterrupt

    calls = []

    def counted(seed):
        calls.append(seed)
        return {"value": float(seed)}

    first, second = claim(run=counted, scales={"laptop": {}}), claim("second", interrupted, {"laptop": {}})
    code, out, err = command((first, second, claim("third")))
    assert code == 130 and "stopped in made-up/second" in err and calls == [0, 1]
    assert "made-up/first: shown" in out and "third" not in out

    code, out, err = command((first, claim("second"), claim("third")))
    assert code == 0 and calls == [0, 1] and "--again runs it again" in out
    assert [f"made-up/{name}: shown" in out for name in ("first", "second", "third")] == [True] * 3
    assert command((first,), "--again")[0] == 0 and calls == [0, 1, 0, 1]


def test_a_stopped_training_ends_the_command_and_leaves_no_verdict(command, tmp_path):
    stopped = claim(run=lambda: NotRun("stopped at step 3", stopped=True), scales={"laptop": {}})
    code, out, _ = command((stopped, claim("second")))
    assert code == 130 and "made-up/first: not run" in out and "stopped at step 3" in out and "second" not in out
    assert results.read(tmp_path / "kept.jsonl") == []


def test_a_claim_that_fails_takes_nothing_from_the_others(command):
    from outrange.core.run import Failed

    def lacks(seed):
        raise BadInput("model: 'gemma' is not here")

    def fails(seed):
        raise Failed("loss: nan at step 3")

    bad, failed = claim("bad", lacks, {"laptop": {}}), claim("failed", fails, {"laptop": {}})
    code, out, err = command((bad, claim()))
    assert code == 2 and err == "error: made-up/bad: model: 'gemma' is not here\n" and "made-up/first: shown" in out
    code, out, err = command((failed, claim("last")))
    assert code == 1 and "error: made-up/failed: loss" in err and "made-up/last: shown" in out


def test_exit_codes_and_json_say_what_was_contradicted(command):
    refuted = replace(claim(), judge=lambda values: ("contradicted", "it is not so"))
    code, out, _ = command((refuted, claim("second")), "--json")
    assert code == 1 and [result["verdict"] for result in json.loads(out)] == ["contradicted", "shown"]
    assert command((claim("third", scales={"gpu": {}}),))[0] == 0  # nothing contradicts what was not run
    code, _, err = command((claim(),), "--seeds", "0")
    assert code == 2 and err.startswith("error: seeds: 0 is not allowed")


def test_results_are_kept_below_runs_unless_another_file_is_named():
    assert str(results.default_path("ngu", "gpu")) == "runs/reproduce/ngu-gpu.jsonl"
    assert Result.__dataclass_fields__["version"].default == results.__version__


def test_the_how_to_s_paper_runs():
    page = (Path(__file__).resolve().parents[2] / "docs/howto/own_claim.md").read_text(encoding="utf-8")
    names = {}
    exec(re.search(r"```python\n(.*?)```", page, flags=re.S).group(1), names)
    result = reproduce(names["PAPER"], names["PAPER"].claim("one-step-each"), "laptop", 2)
    assert result.verdict == "shown" and result.summary().startswith("steps at n = 4 4.000 ± 0.000 · steps at n = 16")
