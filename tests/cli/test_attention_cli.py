"""``outrange attention`` end to end on tiny models in folders, and what it says to bad input."""

import functools
import json
import re
import struct
import subprocess
import sys

import pytest

from outrange.cli import main
from tests.attention import families

TEXT = (
    "to be or not to be that is the question whether it is nobler in the mind "
    "to suffer the slings and arrows of outrageous fortune "
) * 3


def tokenizer(folder, bos=True):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<s>", "</s>", "<unk>", *sorted(set(TEXT.split()))]
    word_tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="<unk>"))
    word_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = dict(pad_token="<pad>", unk_token="<unk>", eos_token="</s>") | ({"bos_token": "<s>"} if bos else {})
    PreTrainedTokenizerFast(tokenizer_object=word_tokenizer, **special).save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("models") / "llama"
    families.model("llama").save_pretrained(place)
    tokenizer(place)
    return place


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def run(capsys, *arguments):
    code = main(["attention", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_help_loads_no_torch():
    code = (
        "import sys\nfrom outrange.cli import main\n"
        "try:\n    main(['attention', '--help'])\nexcept SystemExit:\n    pass\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.endswith(
        "False False\n"
    )


def test_a_layout_needs_a_configuration_alone(tmp_path, capsys):
    families.config("smollm3").save_pretrained(tmp_path)
    code, out, _ = run(capsys, "layout", tmp_path, "--json")
    groups = json.loads(out)["layouts"]
    assert code == 0
    assert [(group["layers"], group["scheme"]) for group in groups] == [([0, 1, 2], "RoPE"), ([3], "NoPE")]
    code, out, _ = run(capsys, "layout", tmp_path)
    assert "layers 0-2: RoPE" in out
    assert "layers 3: NoPE" in out


def test_a_scan_writes_a_page_that_holds_what_it_prints(folder, text, tmp_path, capsys):
    code, out, _ = run(
        capsys, "scan", folder, "--text", text, "--window", "32", "--out", tmp_path / "page.html", "--json"
    )
    assert code == 0
    side = json.loads(out)["sides"][0]
    page = (tmp_path / "page.html").read_text()
    story = json.loads(
        re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page, flags=re.S)
        .group(1)
        .replace("\\u003c", "<")
    )
    assert side["tokens"] == 78 + 3  # three windows, each behind a first token
    assert len(side["heads"]) == 16
    assert story["sides"][0]["heads"][3]["first"] == pytest.approx(side["heads"][3]["first"], rel=1e-3)
    assert [len(curve["x"]) for curve in side["ablations"]] == [6, 3, 3]
    assert "https:" not in page.replace("https://www.w3.org", "")


def test_two_models_and_two_texts_stand_side_by_side(folder, text, tmp_path, capsys):
    common = ["--window", "32", "--no-experiments", "--out", tmp_path / "page.html"]
    code, out, _ = run(capsys, "scan", folder, "--text", text, "--against-text", text, *common)
    assert code == 0
    assert out.count("layers 0-3: RoPE") == 2
    second_model = tmp_path / "other"
    families.model("gpt_neox").save_pretrained(second_model)
    tokenizer(second_model)
    code, out, _ = run(capsys, "scan", folder, "--text", text, "--against-model", second_model, *common)
    assert code == 0
    assert "partial rotary, 0.25 of the head" in out


def test_a_model_without_rotation_still_shows_its_heads(text, tmp_path, capsys):
    from transformers import GPT2Config

    families.built(
        GPT2Config(vocab_size=96, n_positions=256, n_embd=64, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2)
    ).save_pretrained(tmp_path / "gpt2")
    tokenizer(tmp_path / "gpt2")
    code, out, _ = run(
        capsys, "scan", tmp_path / "gpt2", "--text", text, "--window", "32", "--out", tmp_path / "page.html"
    )
    assert code == 0
    assert "positions are added, not rotated" in out
    assert "previous  L" in out
    code, _, err = run(capsys, "ablate", tmp_path / "gpt2", "--text", text, "--tokens", "32")
    assert code == 2
    assert "turns nothing by position" in err


def test_a_tokenizer_without_a_first_token_is_read_as_it_is(text, tmp_path, capsys):
    families.model("gpt_neox").save_pretrained(tmp_path / "neox")
    tokenizer(tmp_path / "neox", bos=False)
    code, out, _ = run(
        capsys,
        "scan",
        tmp_path / "neox",
        "--text",
        text,
        "--window",
        "32",
        "--no-experiments",
        "--out",
        tmp_path / "p.html",
        "--json",
    )
    assert code == 0
    assert json.loads(out)["sides"][0]["tokens"] == 64  # what is left after two windows is too short


def test_ablations_print_perplexity_and_the_scores_of_heads(folder, text, capsys):
    code, out, _ = run(
        capsys,
        "ablate",
        folder,
        "--text",
        text,
        "--pairs",
        "lowest:2",
        "all",
        "--kind",
        "remove",
        "--heads",
        "L0H1",
        "--json",
    )
    rows = json.loads(out)["results"]
    assert code == 0
    assert [row["pairs"] for row in rows] == ["", "lowest:2", "all"]
    assert rows[0]["L0H1"] != rows[2]["L0H1"]
    code, out, _ = run(capsys, "ablate", folder, "--text", text)
    assert "perplexity" in out


def test_a_converted_model_is_a_folder_that_shows_its_new_layout(folder, tmp_path, capsys):
    out = tmp_path / "converted"
    assert run(capsys, "convert", folder, out, "--p", "0.5")[0] == 0
    code, printed, _ = run(capsys, "layout", out)
    assert code == 0
    assert "0.5-p-RoPE" in printed
    code, _, err = run(capsys, "convert", folder, out)
    assert code == 2
    assert "is there already" in err


def test_theorems_of_the_other_paper_are_printed_on_request(capsys):
    code, out, _ = run(capsys, "theorems", "--paper", "glasses", "--json")
    checks = json.loads(out)
    assert code == 0 and len(checks) == 10 and all(check["holds"] for check in checks)
    code, out, _ = run(capsys, "theorems", "--paper", "glasses")
    assert code == 0 and out.count("holds") == 10 and "Proposition 6.1" in out


@pytest.fixture(scope="module")
def spelling(tmp_path_factory):
    """A folder with a tiny model whose tokenizer spells."""
    from tests.attention.letters import letters

    place = tmp_path_factory.mktemp("models") / "spelling"
    families.model("llama", max_position_embeddings=512).save_pretrained(place)
    letters().save_pretrained(place)
    return place


def test_a_probe_prints_a_verdict_and_writes_a_page(spelling, tmp_path, capsys, monkeypatch):
    from outrange.attention.glasses import probe as probe_module

    tiny = probe_module.Budget(
        lengths=(3, 9), dtypes=("float32", "bfloat16"), margin_lengths=(2,), tokens=10, directions=2
    )
    monkeypatch.setitem(probe_module.BUDGETS, "quick", tiny)
    code, out, _ = run(capsys, "probe", spelling, "--out", tmp_path / "probe.html")
    assert (
        code == 0 and "do commas at every third digit help?" in out and "remedies" in out and "no chat template" in out
    )
    assert "<!DOCTYPE html>" in (tmp_path / "probe.html").read_text()
    code, out, _ = run(capsys, "probe", spelling, "--out", tmp_path / "probe.html", "--json")
    result = json.loads(out)
    assert code == 0 and result["budget"] == "quick" and len(result["verdict"]) >= 8 and "note" not in result


def test_a_probe_of_a_tokenizer_without_digits_is_refused(folder, tmp_path, capsys):
    code, out, err = run(capsys, "probe", folder, "--out", tmp_path / "probe.html")
    assert (code, out) == (2, "") and "no single token for '0'" in err and not (tmp_path / "probe.html").exists()


def test_answers_are_asked_for_and_kept_line_by_line(spelling, tmp_path, capsys):
    arguments = [
        "ask",
        spelling,
        "--tasks",
        "last digit",
        "count ones",
        "--lengths",
        "2",
        "4",
        "--out",
        tmp_path / "answers.jsonl",
    ]
    code, out, _ = run(capsys, *arguments)
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert code == 0 and [(answer["task"], answer["n"]) for answer in lines] == [
        ("last digit", 2),
        ("last digit", 4),
        ("count ones", 2),
        ("count ones", 4),
    ]
    assert "n = 4" in out and "4 answers" in out
    code, out, _ = run(capsys, *arguments, "--json")
    assert code == 0 and json.loads(out)["results"] == lines


def test_a_server_that_does_not_answer_ends_with_exit_code_1_and_its_name(tmp_path, capsys, monkeypatch):
    from outrange.attention.glasses.backends import Server

    monkeypatch.setattr(Server, "__init__", functools.partialmethod(Server.__init__, tries=1))
    code, out, err = run(
        capsys, "ask", "some-model", "--server", "http://127.0.0.1:9/v1", "--out", tmp_path / "a.jsonl"
    )
    assert code == 1 and "http://127.0.0.1:9/v1 did not answer" in err and "no answers" in out
    (tmp_path / "a.jsonl").write_text("answers of before")
    run(capsys, "ask", "some-model", "--server", "http://127.0.0.1:9/v1", "--out", tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_text() == "answers of before"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tasks", "last digits"], "did you mean 'last digit'"),
        (["--order", "4"], "order: 4"),
        (["--lengths", "0"], "n: 0"),
        (["--server", "localhost"], "server: 'localhost'"),
    ],
)
def test_questions_that_make_no_sense_are_refused_before_a_model_is_opened(arguments, words, tmp_path, capsys):
    code, _, err = run(capsys, "ask", "nowhere", "--out", tmp_path / "a.jsonl", *arguments)
    assert code == 2 and words in err and not (tmp_path / "a.jsonl").exists()


def test_theorems_print_claim_bound_and_measurement(capsys):
    code, out, _ = run(capsys, "theorems", "--dtypes", "float64", "--json")
    checks = json.loads(out)
    assert code == 0
    assert all(check["holds"] and check["bound"] and check["measured"] for check in checks)


def with_code(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}))
    (folder / "evil.py").write_text("raise SystemExit('ran')")


def test_bad_models_are_refused_in_one_sentence(folder, text, tmp_path, capsys):
    families.model("llama").save_pretrained(tmp_path / "code")
    with_code(tmp_path / "code")
    families.config("llama").save_pretrained(tmp_path / "bare")
    (tmp_path / "crafted.gguf").write_bytes(
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, 4, 1 << 62)
    )
    (tmp_path / "weights.bin").write_bytes(b"x")
    families.model("llama").save_pretrained(tmp_path / "silent")
    bad = {
        tmp_path / "code": "auto_map",
        tmp_path / "bare": "no weights",
        tmp_path / "crafted.gguf": "not a usable GGUF file",
        tmp_path / "weights.bin": "no .gguf file",
        tmp_path / "silent": "without a tokenizer",
        "nowhere": "neither a file nor a folder",
        "../x/y": "neither a file nor a folder",
    }
    capsys.readouterr()
    for model, words in bad.items():
        code, out, err = run(capsys, "scan", model, "--text", text, "--out", tmp_path / "p.html")
        assert (code, out) == (2, ""), model
        assert err.replace("loading\n", "").count("\n") == 1, err
        assert words in err
    assert not (tmp_path / "p.html").exists()


def test_weights_that_are_missing_are_not_made_up(folder, text, tmp_path, capsys):
    families.model("llama").save_pretrained(tmp_path / "half")
    tokenizer(tmp_path / "half")
    path = tmp_path / "half" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": 5}))
    code, _, err = run(capsys, "scan", tmp_path / "half", "--text", text, "--out", tmp_path / "p.html")
    assert code == 2
    assert "lacks 9 of the weights" in err


@pytest.mark.parametrize("broken", [{"hidden_size": "abc"}, {"num_attention_heads": 0}, {"rope_parameters": 3}])
def test_configurations_that_make_no_sense_are_refused(broken, text, tmp_path, capsys):
    families.model("llama").save_pretrained(tmp_path / "m")
    tokenizer(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | broken))
    for command in ("layout", "scan"):
        code, _, err = run(
            capsys,
            command,
            tmp_path / "m",
            *(["--text", text, "--out", tmp_path / "p.html"] if command == "scan" else []),
        )
        assert code == 2, command
        assert "error: model" in err


@pytest.mark.parametrize("kind", ["reversed", "partial"])
def test_models_with_rope_types_of_our_own_open_in_a_fresh_process(kind, folder, tmp_path, capsys):
    assert run(capsys, "convert", folder, tmp_path / "m", "--kind", kind, "--p", "0.5")[0] == 0
    done = subprocess.run(
        [sys.executable, "-m", "outrange", "attention", "layout", str(tmp_path / "m")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {"reversed": "reversed 0.5-p-RoPE", "partial": "partial rotary, 0.5 of the head"}[kind] in done.stdout


def test_a_model_larger_than_memory_is_refused_before_it_is_loaded(folder, text, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("outrange.core.memory.free", lambda: 100_000)
    code, _, err = run(capsys, "scan", folder, "--text", text, "--out", tmp_path / "p.html")
    assert code == 2
    assert "--dtype bfloat16 halves it" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scan", "--window", "4"], "window: 4 is not allowed"),
        (["scan", "--window", "999999"], "window: 999999"),
        (["scan", "--tokens", "5"], "tokens: 5 is not allowed"),
        (["ablate", "--tokens", "-5"], "tokens: -5 is not allowed"),
        (["scan", "--against-model", "x", "--against-text", "y"], "two models or two texts"),
        (["ablate", "--pairs", "lowest:99"], "pairs: 'lowest:99'"),
        (["ablate", "--kind", "remove", "--heads", "L9H9"], "head: 'L9H9'"),
        (["ablate", "--heads", "L0H0"], "several may share".replace("several", "several heads")),
        (["theorems", "--dtypes", "int8"], "int8"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(arguments, words, folder, text, tmp_path, capsys):
    group, *rest = arguments
    inputs = [] if group == "theorems" else [folder, "--text", text]
    code, out, err = run(capsys, group, *inputs, *rest, *(["--out", tmp_path / "p.html"] if group == "scan" else []))
    assert (code, out) == (2, "")
    assert words in err


def test_a_text_that_is_not_utf_8_or_not_there_is_named(folder, tmp_path, capsys):
    (tmp_path / "latin").write_bytes(b"caf\xe9 au lait")
    assert "not UTF-8 at byte 3" in run(capsys, "scan", folder, "--text", tmp_path / "latin")[2]
    assert "cannot be read" in run(capsys, "scan", folder, "--text", tmp_path / "absent")[2]
    (tmp_path / "empty").write_text(" \n")
    assert "holds no words" in run(capsys, "probe", folder, "--text", tmp_path / "empty")[2]


def test_models_stand_side_by_side_and_the_first_is_what_others_are_held_to(spelling, capsys):
    code, out, _ = run(capsys, "compare", spelling, spelling, "--lengths", "2", "6", "30")
    assert code == 0 and "copy ones: a request to copy" in out and len(out.strip().splitlines()) == 5
    code, out, _ = run(capsys, "compare", spelling, spelling, "--lengths", "2", "6", "--family", "ones", "--json")
    rows = json.loads(out)
    assert (
        [row["times_as_far"] for row in rows] == [1.0, 1.0]
        and rows[0]["lengths"] == [2, 6]
        and len(rows[0]["relative_distance"]) == 2
    )
    assert rows[0]["remaining_share"] == pytest.approx(
        rows[0]["relative_distance"][1] / rows[0]["relative_distance"][0]
    )
    code, _, err = run(capsys, "compare", spelling, "--family", "one")
    assert code == 2 and "did you mean 'ones'" in err
    code, out, err = run(capsys, "compare", spelling, "nosuch", "--lengths", "2")
    assert (code, out) == (2, "") and "'nosuch' is neither a file nor a folder" in err and "loading" not in err
    code, _, err = run(capsys, "compare")
    assert code == 2 and "models: none is given" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--items", "0"], "items: 0"),
        (["--seed", "-1"], "seed: -1"),
        (["--margins", "--tasks", "count ones"], "is not a task of copying"),
        (["--margins", "--items", "2"], "margins: is not"),
    ],
)
def test_answers_of_before_are_kept_where_what_is_asked_is_not_allowed(arguments, words, folder, tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text("kept")
    code, _, err = run(capsys, "ask", folder, *arguments, "--out", tmp_path / "a.jsonl")
    assert code == 2 and words in err and (tmp_path / "a.jsonl").read_text() == "kept"


def test_margins_are_asked_for_in_place_of_answers(spelling, tmp_path, capsys):
    code, out, _ = run(capsys, "ask", spelling, "--margins", "--lengths", "2", "4", "--out", tmp_path / "m.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert code == 0 and [(margin["task"], margin["n"]) for margin in lines] == [
        ("first digit", 2),
        ("first digit", 4),
        ("last digit", 2),
        ("last digit", 4),
    ]
    assert f"{lines[0]['shift']:.2f}" in out and "4 margins" in out
    code, out, err = run(
        capsys,
        "ask",
        "some-model",
        "--margins",
        "--server",
        "http://127.0.0.1:9/v1",
        "--lengths",
        "2",
        "--out",
        tmp_path / "n.jsonl",
        "--json",
    )
    assert code == 1 and json.loads(out)["results"] == [] and "did not answer" in err
    code, _, err = run(capsys, "ask", spelling, "--margins", "--tasks", "count ones", "--out", tmp_path / "o.jsonl")
    assert code == 2 and "tasks: 'count ones'" in err
