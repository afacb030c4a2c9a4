"""Text as tokens: a byte-level BPE tokenizer trained here, or any Hugging Face tokenizer, and the tokens of a text on
disk, computed once.

The tokens of all training documents are one stream, those of all validation documents another, each document followed
by the end-of-text token. They lie in the user's cache folder (fetch.py) under a hash of the files' content and of the
tokenizer, as whole numbers of 16 or 32 bits, and are mapped into memory. A trained tokenizer has seen training
documents only.
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
from outrange.lm.fetch import cache_folder, whole_folder
from outrange.lm.text import documents, fingerprints, is_held_out

SCHEMA = 1
END = "<|endoftext|>"
_DOCUMENTS_PER_CALL = 256
_CHARACTERS_PER_CALL = 1 << 22  # so that a few huge documents are not encoded in one call

ReportStage = Callable[[str, int], None]
"""called with what is being done, and with how many documents it is done"""


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
    def vocab_size(self) -> int:
        """Tokens of the tokenizer."""
        return len(self.tokenizer)


def train_bpe(texts: Iterator[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level byte-pair encoding of at most ``vocab_size`` tokens: the end of text, 256 bytes, and merges by
    frequency.

    Every text can be encoded with it.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
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
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the library raises what it likes; whatever it is, there is no tokenizer
        raise BadInput(
            f"tokenizer: {str(folder)!r} holds no Hugging Face tokenizer that can be read: {brief(str(error), 100)}"
        ) from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise BadInput(f"tokenizer: {str(folder)!r} has no tokenizer.json; only tokenizers of the fast kind are used")
    if tokenizer.eos_token_id is None:
        raise BadInput(
            f"tokenizer: {str(folder)!r} has no end-of-text token (eos_token); documents could not be told apart"
        )
    return tokenizer


def end_of_text(tokenizer: PreTrainedTokenizerFast) -> int:
    """The token that follows a document."""
    return tokenizer.convert_tokens_to_ids(str(tokenizer.eos_token))  # pyright: ignore[reportReturnType]


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a tokenizer as a new folder, whole or not at all; one that is there stays."""
    if folder.is_dir():
        return
    with atomic.writable("tokenizer", folder), whole_folder(folder) as partial:
        tokenizer.save_pretrained(str(partial))


def prepare_corpus(config: TrainConfig, report_stage: ReportStage | None = None) -> Corpus:
    """The tokens of a training's text, from the cache if they are there.

    Raises:
        BadInput: the text is not there, cannot be read, or is too little to hold documents out.
    """
    tokenizer = load_tokenizer(config.tokenizer) if config.tokenizer else None
    digest = _digest(config, tokenizer)
    folder = cache_folder() / "tokens" / digest[:32]
    if not _is_whole(folder):
        with atomic.writable("cache", folder), whole_folder(folder) as partial:
            _write_corpus(partial, config, tokenizer, report_stage or (lambda stage, done: None))
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    streams = (np.memmap(folder / f"{part}.bin", dtype=about["type"], mode="r") for part in ("training", "validation"))
    return Corpus(load_tokenizer(folder / "tokenizer"), *streams, documents=tuple(about["documents"]), digest=digest)


def _digest(config: TrainConfig, tokenizer: PreTrainedTokenizerFast | None) -> str:
    """SHA-256 of all that tokens depend on: the files' content, how they are read, and the tokenizer or its size."""
    if tokenizer is None:
        identity = ["bpe", config.vocab_size]
    else:
        definition = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
        identity = ["given", definition, end_of_text(tokenizer)]
    key = {
        "schema": SCHEMA,
        "files": fingerprints(config.text),
        "column": config.column,
        "separator": config.separator,
        "tokenizer": identity,
    }
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()


def _is_whole(folder: Path) -> bool:
    """Whether tokens are there; what is not as it was written is removed."""
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        if all((folder / name).stat().st_size == size for name, size in about["bytes"].items()):
            return True
    except (OSError, ValueError, KeyError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _write_corpus(
    folder: Path, config: TrainConfig, tokenizer: PreTrainedTokenizerFast | None, report_stage: ReportStage
) -> None:
    counts = {"training": 0, "validation": 0}

    def part_documents(part: str, stage: str) -> Iterator[str]:
        """The documents of one part, read anew each time, since a text may be larger than memory."""
        done = 0
        for document in documents(config.text, config.column, config.separator):
            if is_held_out(document) == (part == "validation"):
                done += 1
                yield document
                report_stage(stage, done)
        counts[part] = done

    if tokenizer is None:
        tokenizer = train_bpe(part_documents("training", "training a tokenizer"), config.vocab_size)
    dtype = "uint16" if len(tokenizer) <= 1 << 16 else "uint32"
    sizes: dict[str, int] = {}
    for part in counts:
        encoded = _encode(tokenizer, part_documents(part, f"encoding {part}"), dtype)
        sizes[f"{part}.bin"], _ = atomic.write_file(folder / f"{part}.bin", encoded)

    # Only now is it known how many documents there are; the folder is not kept if these are too few.
    total = sum(counts.values())
    if not total:
        raise BadInput(f"text: {', '.join(map(repr, config.text[:3]))} holds no text; every document is empty")
    for part, count in counts.items():
        if not count:
            raise BadInput(
                f"text: no document of {total} fell to {part} (a tenth is held out, by content); "
                "give more documents, or cut files into some with --separator"
            )
    tokenizer.save_pretrained(str(folder / "tokenizer"))
    sizes["tokenizer/tokenizer.json"] = (folder / "tokenizer/tokenizer.json").stat().st_size
    about: dict[str, Any] = {
        "documents": list(counts.values()),
        "type": dtype,
        "bytes": sizes,
        "text": list(config.text),
    }
    atomic.write_text(folder / "about.json", json.dumps(about, indent=1) + "\n")


def _encode(tokenizer: PreTrainedTokenizerFast, texts: Iterator[str], dtype: str) -> Iterator[bytes]:
    """Tokens of texts as bytes, each followed by the end of text; what is spelled like a special token stays text."""
    end = end_of_text(tokenizer)
    for group in _groups(texts):
        encoding = tokenizer(
            group, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False, verbose=False
        )
        rows = [np.asarray([*row, end], dtype=dtype) for row in encoding["input_ids"]]
        yield np.concatenate(rows).tobytes()


def _groups(texts: Iterator[str]) -> Iterator[list[str]]:
    """Texts in groups that are encoded with one call, which is faster than one after another."""
    group: list[str] = []
    characters = 0
    for text in texts:
        group.append(text)
        characters += len(text)
        if len(group) == _DOCUMENTS_PER_CALL or characters >= _CHARACTERS_PER_CALL:
            yield group
            group, characters = [], 0
    if group:
        yield group
