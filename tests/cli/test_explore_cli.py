"""``outrange explore`` through its real command line."""

import json
import re

import pytest

from outrange.cli import main

SMALL = ["--bonus.warmup_updates", "3", "--replay.capacity", "2000", "--checkpoint-every", "2000"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("explore") / "run"
    assert (
        main(
            [
                "explore",
                "train",
                "--preset",
                "smoke",
                "--steps",
                "2200",
                *SMALL,
                "--log-every",
                "1000",
                "--out",
                str(path),
                "--json",
            ]
        )
        == 0
    )
    return path


def said(capsys):
    return json.loads(capsys.readouterr().out)


def test_a_training_says_what_came_of_it_and_what_to_do_next(tmp_path, capsys):
    assert (
        main(
            [
                "explore",
                "train",
                "--preset",
                "smoke",
                "--steps",
                "1500",
                *SMALL,
                "--log-every",
                "500",
                "--out",
                str(tmp_path / "run"),
            ]
        )
        == 0
    )
    told = capsys.readouterr()
    assert (
        re.search(r"trained 15\d\d steps in", told.out)
        and f"next: outrange explore eval {tmp_path / 'run'}" in told.out
    )
    assert "16 side by side" in told.err and re.search(r"step 1,\d{3}/1,500 .* greedy coverage", told.err)


def test_eval_gives_whole_episodes_with_their_errors_and_the_same_ones_again(trained, capsys):
    capsys.readouterr()
    rows = []
    for _ in range(2):
        assert main(["explore", "eval", str(trained), "--episodes", "20", "--json"]) == 0
        rows.append(said(capsys))
    assert (
        rows[0] == rows[1]
        and rows[0][0]["episodes"] == 20
        and 0 < rows[0][0]["coverage"] <= 1
        and rows[0][0]["coverage_error"] > 0
    )
    assert main(["explore", "eval", str(trained), "--episodes", "20", "--seed", "1", "--json"]) == 0
    assert said(capsys) != rows[0]
    assert main(["explore", "eval", str(trained), "--episodes", "20"]) == 0
    assert "coverage" in capsys.readouterr().out


def test_an_episode_is_watched_as_a_film_and_in_a_terminal(trained, tmp_path, capsys):
    assert main(["explore", "watch", str(trained), "--out", str(tmp_path / "a.gif")]) == 0
    assert (tmp_path / "a.gif").read_bytes()[:6] == b"GIF89a"
    capsys.readouterr()
    assert main(["explore", "watch", str(trained), "--pace", "0"]) == 0
    assert "@" in capsys.readouterr().out


def test_the_page_is_one_file_that_tells_of_the_run(trained, tmp_path, capsys):
    out = tmp_path / "deep" / "page.html"
    assert main(["explore", "page", str(trained), "--out", str(out), "--episodes", "8", "--maps", "2"]) == 0
    assert str(out) in capsys.readouterr().out
    text = out.read_text(encoding="utf-8")
    assert "RandomDiscoMaze-v0" in text and "wall follower" in text


@pytest.mark.parametrize("command", [["page"], ["watch"]])
def test_a_place_that_cannot_be_written_is_said_before_the_work(command, trained, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setattr("outrange.exploration.evaluation.load", lambda *_: pytest.fail("it began"))
    for out, why in ((tmp_path / "file" / "a.gif", "a part of its path is a file"), (tmp_path, "it is a directory")):
        assert main(["explore", *command, str(trained), "--out", str(out)]) == 2
        assert (
            capsys.readouterr()
            .err.strip()
            .endswith(f"out: '{out}' cannot be written: {why}{', not a directory' if 'part' in why else ''}")
        )


def test_references_are_ordered_as_policies_that_know_more(capsys):
    assert main(["explore", "references", "--size", "11", "--cap", "100", "--episodes", "64", "--json"]) == 0
    shares = {row["policy"]: row["coverage"] for row in said(capsys)}
    assert shares["uniform"] < 0.1 < shares["legal"] < shares["onward"] < shares["wall follower"] == 1


def test_the_benchmark_says_where_the_time_goes(capsys):
    assert (
        main(
            [
                "explore",
                "bench",
                "--preset",
                "smoke",
                "--steps",
                "600",
                "--rounds",
                "2",
                "--replay.capacity",
                "2000",
                "--json",
            ]
        )
        == 0
    )
    found = said(capsys)
    assert (
        len(found["rounds"]) == 2
        and found["steps_per_cpu_second"] > 0
        and sum(found["shares"].values()) == pytest.approx(1)
    )
    assert {"learning", "acting", "bonus", "environments", "replay", "the rest"} == set(found["shares"])


def test_options_are_added_to_those_of_the_preset_s_environment_and_to_no_other_s(tmp_path):
    def options(name, *arguments):
        assert (
            main(
                [
                    "explore",
                    "train",
                    "--preset",
                    "smoke",
                    "--steps",
                    "0",
                    "--out",
                    str(tmp_path / name),
                    "--json",
                    *arguments,
                ]
            )
            == 0
        )
        return json.loads((tmp_path / name / "config.json").read_text())["env"]["options"]

    assert options("a") == ["size=7", "cap=40"]
    assert options("b", "--option", "size=9") == ["cap=40", "size=9"]
    assert (
        options("c", "--env", "outrange/TwoDoors-v0", "--network.encoder", "vector", "--bonus.encoder", "vector") == []
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "--learner.gama", "0.9"],
            "--learner.gama: is not a flag of `outrange explore train`; did you mean --learner.gamma?",
        ),
        (["train", "--learner.gamma"], "--learner.gamma: its value is missing"),
        (["train", "--learner.gamma", "2"], "--learner.gamma: 2.0 is not allowed; it must be at least 0 and below 1"),
        (["train", "--steps", "many"], "--steps: 'many' is not allowed; it must be a whole number"),
        (["train", "--agent", "r2d"], "--agent: 'r2d' is not allowed; did you mean 'r2d2'?"),
        (["train", "--option", "size"], "write NAME=VALUE"),
        (["train", "--option", "size=4", "--preset", "smoke"], "size"),
        (["train", "--env", "outrange/Nowhere-v0"], "outrange/Nowhere-v0"),
        (["train", "--preset", "minigrid", "--env", "outrange/DeepSea-v0"], "network.encoder: 'objects' needs"),
        (["train", "--agent", "r2d2", "--config", "x.json"], "leave out --agent and --preset"),
        (["eval", "nowhere"], "run: 'nowhere' is not a directory"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_two(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["explore", *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error


def test_a_mixture_that_a_run_does_not_have_is_refused(trained, capsys):
    assert main(["explore", "eval", str(trained), "--mixture", "3"]) == 2
    assert "mixture: 3 is not allowed; the run has 1" in capsys.readouterr().err
