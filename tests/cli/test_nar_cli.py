"""``outrange nar`` through its real command line."""

import json

import pytest

from outrange.cli import main


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("nar") / "run"
    assert (
        main(["nar", "train", "bfs", "minimum", "--preset", "smoke", "--steps", "20", "--out", str(path), "--json"])
        == 0
    )
    return path


def said(capsys):
    return json.loads(capsys.readouterr().out)


def test_a_training_says_what_came_of_it_and_what_to_do_next(tmp_path, capsys):
    assert main(["nar", "train", "bfs", "--preset", "smoke", "--steps", "10", "--out", str(tmp_path / "run")]) == 0
    told = capsys.readouterr()
    assert (
        "trained 10 steps" in told.out
        and "kernels: cpu" in told.out
        and f"next: outrange nar eval {tmp_path / 'run'}" in told.out
    )
    assert "step 10/10" in told.err


def test_the_same_command_again_goes_on_with_a_finished_run_and_changes_nothing(trained, capsys):
    capsys.readouterr()
    before = (trained / "metrics.jsonl").read_bytes()
    assert (
        main(["nar", "train", "bfs", "minimum", "--preset", "smoke", "--steps", "20", "--out", str(trained), "--json"])
        == 0
    )
    assert said(capsys)["steps"] == 20
    assert (trained / "metrics.jsonl").read_bytes() == before


def test_eval_scores_every_algorithm_beside_the_published_columns(trained, capsys):
    capsys.readouterr()
    assert main(["nar", "eval", str(trained), "--size", "6", "--count", "8"]) == 0
    told = capsys.readouterr().out
    assert "99.73 ± 0.04" in told and "97.78 ± 0.55" in told and "mean of these 2" in told
    assert main(["nar", "eval", str(trained), "bfs", "--size", "6", "--count", "8", "--json"]) == 0
    board = said(capsys)
    assert list(board["scores"]) == ["bfs"] and 0 <= board["mean"] <= 1


def test_curve_prints_a_table_and_draws_a_figure(trained, tmp_path, capsys):
    capsys.readouterr()
    target = tmp_path / "curve.png"
    assert (
        main(["nar", "curve", str(trained), "--sizes", "4", "6", "--count", "4", "--out", str(target), "--json"]) == 0
    )
    found = said(capsys)
    assert set(found["scores"]) == {"bfs", "minimum"} and set(found["scores"]["bfs"]) == {"4", "6"}
    assert target.read_bytes().startswith(b"\x89PNG")


def test_export_writes_weights_that_eval_reads_and_that_cannot_be_damaged_unnoticed(trained, tmp_path, capsys):
    folder = tmp_path / "weights"
    assert main(["nar", "export", str(trained), str(folder), "--note", "a test"]) == 0
    assert main(["nar", "eval", str(folder), "bfs", "--size", "5", "--count", "4"]) == 0
    capsys.readouterr()
    file = folder / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert main(["nar", "eval", str(folder), "bfs"]) == 2
    assert "weights.safetensors" in capsys.readouterr().err


def test_only_the_published_split_is_held_against_the_published_table(trained, capsys):
    capsys.readouterr()
    for arguments, held in (
        (["--count", "2"], True),
        (["--count", "2", "--seed", "9"], False),
        (["--size", "5", "--count", "2"], False),
    ):
        assert main(["nar", "eval", str(trained), "bfs", *arguments, "--json"]) == 0
        assert ("near_published" in said(capsys)) == held


def test_eval_on_val_is_the_training_s_own_validation(trained, capsys):
    capsys.readouterr()
    last = json.loads((trained / "metrics.jsonl").read_text().splitlines()[-1])
    assert main(["nar", "eval", str(trained), "--split", "val", "--count", "16", "--json"]) == 0
    board = said(capsys)["scores"]
    assert board == pytest.approx({name: last[f"val/{name}"] for name in board})


def test_run_resume_goes_on_by_kind(trained, capsys):
    capsys.readouterr()
    assert main(["run", "resume", str(trained)]) == 0
    assert main(["run", "verify", str(trained)]) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train"], "algorithms: none given"),
        (["train", "bsf"], "did you mean 'bfs'"),
        (["train", "bfs", "--model.processor", "gat"], "processor"),
        (["train", "bfs", "--steps", "-1"], "--steps: -1"),
        (["train", "bfs", "--lengths", "0"], "bfs length"),
        (["eval", "no_such_weights"], "no_such_weights"),
        (["eval", "no/such/run"], "no/such/run"),
        (["train", "--config", "no.json"], "no.json"),
        (["train", "bfs", "--learning-rate", "nan"], "--learning-rate: nan"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["nar", *arguments]) == 2
    told = capsys.readouterr().err
    assert sentence in told and told.startswith("error: ") and told.count("\n") == 1, told


def test_an_algorithm_that_the_run_does_not_know_is_refused(trained, capsys):
    capsys.readouterr()
    assert main(["nar", "eval", str(trained), "dfs"]) == 2
    assert "bfs, minimum" in capsys.readouterr().err


def test_a_run_directory_left_by_bad_input_does_not_exist(tmp_path):
    assert main(["nar", "train", "bfs", "--model.processor", "gat", "--out", str(tmp_path / "run")]) == 2
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_ends_with_one_sentence_and_exit_code_1(tmp_path, capsys):
    assert (
        main(["nar", "train", "bfs", "--preset", "smoke", "--learning-rate", "1e30", "--out", str(tmp_path / "run")])
        == 1
    )
    told = capsys.readouterr().err
    assert "bfs" in told and "nothing was updated" in told and "Traceback" not in told
