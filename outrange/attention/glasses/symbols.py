"""Digits and commas as single tokens, so that a sequence of n of them is n tokens long whatever a tokenizer merges.

Merged digits blur collapse (arXiv 2406.04267, section 4). Where a tokenizer would merge "11", a sequence is built from
the tokens of single digits. The model then reads what its own tokenizer never writes; ``note`` says so.
"""

from dataclasses import dataclass
from typing import Any

from outrange.core.errors import BadInput
from outrange.lm.opening import encode_text

_ALPHABET = "0123456789,"


@dataclass(frozen=True)
class Symbols:
    """The token ids that sequences are made of.

    Attributes:
        tokenizer: of the model.
        digit_ids: the token ids of 0 to 9.
        comma_id: the token id of a comma.
        note: a sentence that a reader of results must know; empty if there is none.
    """

    tokenizer: Any
    digit_ids: tuple[int, ...]
    comma_id: int
    note: str = ""

    @classmethod
    def from_tokenizer(cls, tokenizer: Any) -> "Symbols":
        """The symbols of a tokenizer.

        Raises:
            BadInput: there is no tokenizer, or it has no single token for one of the symbols.
        """
        if tokenizer is None:
            raise BadInput("model: it has no tokenizer; put tokenizer.json into its folder")
        symbol_ids = [_single_token(tokenizer, symbol) for symbol in _ALPHABET]

        # a tokenizer merges digits if it writes a run of twelve as anything but twelve single tokens
        merges = any(_encode(tokenizer, str(digit) * 12) != [symbol_ids[digit]] * 12 for digit in (0, 1))
        note = (
            "the tokenizer merges digits; sequences are made of the tokens of single digits, "
            "which it would not write itself"
        )
        return cls(tokenizer, tuple(symbol_ids[:10]), symbol_ids[10], note if merges else "")

    def prompt_ids(self, text: str) -> list[int]:
        """The ids of a text behind the beginning-of-sequence token, if the model has one; of an empty text that token
        alone.
        """
        if text:
            return encode_text(self.tokenizer, text)
        # some families have no beginning-of-sequence token (gpt_neox): their sequences begin with the first digit
        bos_id = self.tokenizer.bos_token_id
        return [] if bos_id is None else [bos_id]

    def number_ids(self, number: str) -> list[int]:
        """The ids of a string of digits and commas, one for each character.

        Raises:
            BadInput: it holds something else.
        """
        ids = dict(zip(_ALPHABET, (*self.digit_ids, self.comma_id), strict=True))
        for character in number:
            if character not in ids:
                raise BadInput(f"sequence: {character!r} is not allowed; digits and commas are")
        return [ids[character] for character in number]


def _encode(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _single_token(tokenizer: Any, symbol: str) -> int:
    """The id of a symbol's own token: as the tokenizer writes it alone or behind a letter, else any token that reads
    back as it.
    """
    # sentencepiece tokenizers put a space before the first character, so the symbol is also tried behind another one
    for text, skipped in ((symbol, 0), (f"a{symbol}", 1)):
        ids = _encode(tokenizer, text)[skipped:]
        if len(ids) == 1 and tokenizer.decode(ids).strip() == symbol:
            return int(ids[0])
    # a tokenizer that always writes more than one token, such as a space and the digit
    candidates = [token_id for token_id in _encode(tokenizer, symbol) if tokenizer.decode([token_id]).strip() == symbol]
    if not candidates:
        raise BadInput(
            f"model: its tokenizer has no single token for {symbol!r}, which sequences are made of; take another model"
        )
    return int(candidates[-1])
