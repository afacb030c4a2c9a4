"""Text as tokens: a byte-level BPE tokenizer trained here, or any Hugging Face tokenizer, and the tokens of a text on disk, made once.

The tokens of all training documents are one stream, those of all validation documents another, each document followed by the end-of-text token. They lie in the
user's cache folder (fetch.py) under a hash of the files' content and of the tokenizer, as whole numbers of 16 or 32 bits, and are
mapped into memory. A trained tokenizer has seen training documents only.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from outrange.core import atomic
from outrange.core.errors import BadInput, brief
from outrange.lm.config import TrainConfig
from outrange.lm.fetch import beside, cache
from outrange.lm.text import documents, fingerprint, held_out

SCHEMA = 1
END = "<|endoftext|>"
_BATCH, _CHARACTERS = 256, 1 << 22  # documents, and characters, that are encoded at a time

Progress = Callable[[str, int], None]  # what is being done, and with how many documents it was


@dataclass(frozen=True)
class Corpus:
    """A text as tokens."""

    tokenizer: PreTrainedTokenizerFast
    training: np.ndarray
    """(tokens,)"""
    validation: np.ndarray
    """(tokens,)"""
    documents: tuple[int, int]
    """of training, of validation"""
    digest: str
    """of the text's content and the tokenizer"""

    @property
    def vocab(self) -> int:
        return len(self.tokenizer)


def train_bpe(texts: Iterator[str], vocab: int) -> PreTrainedTokenizerFast:
    """Byte-level byte-pair encoding of at most ``vocab`` tokens: the end of text, 256 bytes, and merges by frequency. Every text can be encoded with it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=[END], initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, clean_up_tokenization_spaces=False)


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerFast:
    """The Hugging Face tokenizer that a folder holds.

    Raises:
        BadInput: there is none, it is not of the fast kind, or it has no end-of-text token.
    """
    if not Path(folder).is_dir():
        raise BadInput(
            f"tokenizer: {str(folder)!r} is not a folder; give one with a Hugging Face tokenizer (tokenizer.json)"
        )
    try:
        found = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise BadInput(
            f"tokenizer: {str(folder)!r} holds no Hugging Face tokenizer that can be read: {brief(str(error), 100)}"
        ) from None
    if not isinstance(found, PreTrainedTokenizerFast):
        raise BadInput(f"tokenizer: {str(folder)!r} has no tokenizer.json; only tokenizers of the fast kind are used")
    if found.eos_token_id is None:
        raise BadInput(
            f"tokenizer: {str(folder)!r} has no end-of-text token (eos_token); documents could not be told apart"
        )
    return found


def end_of_text(tokenizer: PreTrainedTokenizerFast) -> int:
    """The token that follows a document."""
    return tokenizer.convert_tokens_to_ids(str(tokenizer.eos_token))  # pyright: ignore[reportReturnType]


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a tokenizer as a new folder, complete or not at all; one that is there stays."""
    if folder.is_dir():
        return
    with atomic.writable("tokenizer", folder), beside(folder) as partial:
        tokenizer.save_pretrained(str(partial))


def prepare(config: TrainConfig, progress: Progress | None = None) -> Corpus:
    """The tokens of a training's text, from the cache if they are there.

    Raises:
        BadInput: the text is not there, cannot be read, or is too little to hold documents out.
    """
    tell = progress or (lambda what, done: None)
    given = load_tokenizer(config.tokenizer) if config.tokenizer else None
    identity = (
        ["bpe", config.vocab]
        if given is None
        else ["given", hashlib.sha256(given.backend_tokenizer.to_str().encode()).hexdigest(), end_of_text(given)]
    )
    key = {
        "schema": SCHEMA,
        "files": fingerprint(config.text),
        "column": config.column,
        "separator": config.separator,
        "tokenizer": identity,
    }
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    folder = cache() / "tokens" / digest[:32]
    if not _whole(folder):
        with atomic.writable("cache", folder), beside(folder) as partial:
            _write(partial, config, given, tell)
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    streams = (np.memmap(folder / f"{name}.bin", dtype=about["type"], mode="r") for name in ("training", "validation"))
    return Corpus(load_tokenizer(folder / "tokenizer"), *streams, documents=tuple(about["documents"]), digest=digest)


def _whole(folder: Path) -> bool:
    """Whether tokens are there; what is not as it was written is removed."""
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        if all((folder / name).stat().st_size == size for name, size in about["bytes"].items()):
            return True
    except (OSError, ValueError, KeyError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _write(folder: Path, config: TrainConfig, tokenizer: PreTrainedTokenizerFast | None, tell: Progress) -> None:
    counts = {"training": 0, "validation": 0}

    def part(held: bool, what: str) -> Iterator[str]:
        done = 0
        for document in documents(config.text, config.column, config.separator):
            if held_out(document) == held:
                done += 1
                yield document
                tell(what, done)
        counts["validation" if held else "training"] = done

    if tokenizer is None:
        tokenizer = train_bpe(part(False, "training a tokenizer"), config.vocab)
    kind = "uint16" if len(tokenizer) <= 1 << 16 else "uint32"
    sizes: dict[str, int] = {}
    for held, name in ((False, "training"), (True, "validation")):
        sizes[f"{name}.bin"], _ = atomic.write_file(
            folder / f"{name}.bin", _encoded(tokenizer, part(held, f"encoding {name}"), kind)
        )
    total = sum(counts.values())
    if not total:
        raise BadInput(f"text: {', '.join(map(repr, config.text[:3]))} holds no text; every document is empty")
    for name, count in counts.items():
        if not count:
            raise BadInput(
                f"text: no document of {total} fell to {name} (a tenth is held out, by content); give more documents, or cut files into some with --separator"
            )
    tokenizer.save_pretrained(str(folder / "tokenizer"))
    sizes["tokenizer/tokenizer.json"] = (folder / "tokenizer/tokenizer.json").stat().st_size
    about: dict[str, Any] = {
        "documents": list(counts.values()),
        "type": kind,
        "bytes": sizes,
        "text": list(config.text),
    }
    atomic.write_text(folder / "about.json", json.dumps(about, indent=1) + "\n")


def _encoded(tokenizer: PreTrainedTokenizerFast, texts: Iterator[str], kind: str) -> Iterator[bytes]:
    """Tokens of texts, each with the end of text behind it, as bytes; whatever a text says of special tokens is text."""
    end = end_of_text(tokenizer)
    for group in _grouped(texts):
        rows = tokenizer(
            group, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False, verbose=False
        )["input_ids"]
        yield np.concatenate([np.asarray([*row, end], dtype=kind) for row in rows]).tobytes()


def _grouped(texts: Iterator[str]) -> Iterator[list[str]]:
    group: list[str] = []
    characters = 0
    for text in texts:
        group.append(text)
        characters += len(text)
        if len(group) == _BATCH or characters >= _CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group
