"""``outrange lm`` through its real command line."""

import json
import subprocess

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from outrange import cli
from outrange.cli import main

WORDS = "the cat and dog sat on a mat while rain fell over old hills near some quiet river".split()


@pytest.fixture(scope="module", autouse=True)
def stories(tmp_path_factory):
    place = tmp_path_factory.mktemp("lm")
    (place / "stories").mkdir()
    for k in range(60):
        rng = np.random.default_rng(k)
        (place / f"stories/{k:02}.txt").write_text(f"Story {k}. " + " ".join(rng.choice(WORDS, 80)) + ".\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTRANGE_CACHE", str(place / "cache"))
        patch.setitem(cli.GROUPS, "lm", "small language models")
        yield place / "stories"


@pytest.fixture(scope="module")
def trained(stories, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "run"
    assert main(["lm", "train", "--text", str(stories), "--preset", "smoke", "--out", str(path), "--json"]) == 0
    return path


def said(capsys):
    return json.loads(capsys.readouterr().out)


def test_a_training_says_what_came_of_it_and_what_to_do_next_and_the_same_command_changes_nothing(
    stories, tmp_path, capsys
):
    command = [
        "lm",
        "train",
        "--text",
        str(stories),
        "--preset",
        "smoke",
        "--steps",
        "4",
        "--model.rotary.kind",
        "p-rope",
        "--model.rotary.p",
        "0.25",
        "--out",
        str(tmp_path / "run"),
    ]
    assert main(command) == 0
    told = capsys.readouterr()
    assert (
        "trained 4 steps" in told.out
        and "held-out perplexity" in told.out
        and f"next: outrange lm eval {tmp_path / 'run'}" in told.out
    )
    assert "step 4/4" in told.err
    before = (tmp_path / "run/metrics.jsonl").read_bytes()
    assert main([*command, "--json"]) == 0
    assert said(capsys)["new_steps"] == 0
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == before
    assert json.loads((tmp_path / "run/config.json").read_text())["model"]["rotary"] == {
        "kind": "p-rope",
        "theta": 10000.0,
        "p": 0.25,
    }


def test_the_smoke_preset_learns_something(trained):
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 60 and lines[-1]["val"] < 0.8 * 512


def test_eval_tells_perplexity_at_the_length_and_beyond(trained, capsys):
    capsys.readouterr()
    assert main(["lm", "eval", str(trained), "--multiples", "1", "4"]) == 0
    assert "128 (4x)" in capsys.readouterr().out
    assert main(["lm", "eval", str(trained), "--json"]) == 0
    told = said(capsys)
    assert told["step"] == 60 and [v["length"] for v in told["found"].values()] == [32, 64, 128, 256]


def test_export_writes_a_folder_that_transformers_reads(trained, tmp_path, capsys):
    capsys.readouterr()
    assert main(["lm", "export", str(trained), str(tmp_path / "model")]) == 0
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in (tmp_path / "model").iterdir()
    }
    assert f'from_pretrained("{tmp_path / "model"}")' in capsys.readouterr().out
    assert main(["lm", "export", str(trained), str(tmp_path / "model")]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_compare_puts_the_schemes_beside_the_published_numbers_and_keeps_what_is_finished(stories, tmp_path, capsys):
    command = [
        "lm",
        "compare",
        "--text",
        str(stories),
        "--preset",
        "smoke",
        "--steps",
        "2",
        "--seeds",
        "2",
        "--out",
        str(tmp_path / "runs"),
    ]
    command += ["--schemes", "rope-10k", "0.75-reversed"]
    assert main(command) == 0
    told = capsys.readouterr()
    assert (
        "+0.00 ± 0.00" in told.out
        and "4.4592" in told.out
        and "6.4429" in told.out
        and "2B model" in told.out
        and "at 8x" in told.out
    )
    assert "4/4 0.75-reversed-seed1 · step 2/2" in told.err
    before = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*.jsonl")}
    assert main([*command, "--json"]) == 0
    found = said(capsys)
    assert len(found["rows"]["rope-10k"]["perplexity"]["values"]) == 2 and not found["stopped"]
    assert {path: path.read_bytes() for path in before} == before


def test_a_parquet_column_and_a_configuration_file_are_taken(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = [f"Row {k}. " + " ".join(rng.choice(WORDS, 80)) for k in range(60)]
    pyarrow.parquet.write_table(pyarrow.table({"body": rows}), tmp_path / "t.parquet")
    config = {
        "text": [str(tmp_path / "t.parquet")],
        "column": "body",
        "vocab_size": 300,
        "context_length": 16,
        "batch_size": 2,
        "steps": 2,
        "model": {"num_layers": 1},
    }
    (tmp_path / "mine.json").write_text(json.dumps(config))
    assert main(["lm", "train", "--config", str(tmp_path / "mine.json"), "--out", str(tmp_path / "run"), "--json"]) == 0
    assert said(capsys)["steps"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "text: none given; name files or folders with --text"),
        (["compare"], "text: none given"),
        (["train", "--text", "nowhere"], "is not a file or a folder"),
        (["train", "--text", "STORIES", "--preset", "smoke", "--depth", "0"], "depth: 0 is not allowed"),
        (
            ["train", "--text", "STORIES", "--preset", "smoke", "--context-length", "100000"],
            "give more text or a shorter length",
        ),
        (
            ["train", "--text", "STORIES", "--preset", "smoke", "--model.rotary.p", "2"],
            "--model.rotary.p: 2.0 is not allowed",
        ),
        (
            ["train", "--text", "STORIES", "--tokenizer", "nowhere"],
            "is not a folder; give one with a Hugging Face tokenizer",
        ),
        (["compare", "--text", "STORIES", "--preset", "smoke", "--seeds", "0"], "seeds: 0 is not allowed"),
        (
            ["compare", "--text", "STORIES", "--preset", "smoke", "--schemes", "rope"],
            "'rope' is not a scheme of the comparison",
        ),
        (["eval", "nowhere"], "is not a directory"),
        (["eval", "RUN", "--multiples", "0"], "multiples: (0,) is not allowed"),
        (["eval", "RUN", "--multiples", "4096"], "give more text, or smaller multiples"),
        (["export", "nowhere", "out"], "is not a directory"),
    ],
)
def test_bad_input_is_one_sentence_with_exit_code_2_and_leaves_no_run(
    stories, trained, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    given = [{"STORIES": str(stories), "RUN": str(trained)}.get(a, a) for a in arguments]
    assert main(["lm", *given]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1, told
    assert not (tmp_path / "runs").exists()


def test_a_loss_that_is_not_finite_ends_with_one_sentence_and_exit_code_1(stories, tmp_path, capsys):
    assert (
        main(
            [
                "lm",
                "train",
                "--text",
                str(stories),
                "--preset",
                "smoke",
                "--learning-rate",
                "1e30",
                "--out",
                str(tmp_path / "run"),
            ]
        )
        == 1
    )
    told = capsys.readouterr().err
    assert "nothing was updated" in told and "Traceback" not in told


def test_no_connection_for_the_study_text_is_one_sentence_with_exit_code_1(tmp_path, monkeypatch, capsys):
    from outrange.lm import fetch as fetching

    monkeypatch.setattr(
        fetching.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", "ERROR: no route")
    )
    assert main(["lm", "text", str(tmp_path / "bible")]) == 1
    told = capsys.readouterr().err
    assert "could not be fetched" in told and told.count("\n") == 1
    assert not (tmp_path / "bible").exists()
