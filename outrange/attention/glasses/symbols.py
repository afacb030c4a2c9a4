"""Digits and commas as single tokens, so that a sequence of n of them is n tokens long whatever a tokenizer merges.

Merged digits blur collapse (arXiv 2406.04267, section 4). Where a tokenizer would merge "11", a sequence is built of the single digits' tokens: the model then
reads what its own tokenizer never writes, which ``note`` says.
"""

from dataclasses import dataclass
from typing import Any

from outrange.core.errors import BadInput
from outrange.lm.opening import encode_text


@dataclass(frozen=True)
class Symbols:
    """What sequences are made of.

    Attributes:
        tokenizer: of the model.
        digits: the ids of 0 to 9.
        comma: the id of a comma.
        note: what a reader must know; empty if nothing.
    """

    tokenizer: Any
    digits: tuple[int, ...]
    comma: int
    note: str = ""

    @classmethod
    def of(cls, tokenizer: Any) -> "Symbols":
        """A tokenizer's symbols.

        Raises:
            BadInput: there is no tokenizer, or it has no single token for one of them.
        """
        if tokenizer is None:
            raise BadInput("model: it came without a tokenizer; put tokenizer.json into its folder")
        ids = [_single(tokenizer, symbol) for symbol in "0123456789,"]
        plain = [tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in ("1" * 12, "0" * 12)]
        merges = any(found != [ids[digit]] * 12 for found, digit in zip(plain, (1, 0), strict=True))
        note = (
            "the tokenizer merges digits; sequences are made of the tokens of single digits, which it would not write itself"
            if merges
            else ""
        )
        return cls(tokenizer, tuple(ids[:10]), ids[10], note)

    def prompt(self, text: str) -> list[int]:
        """The ids of a text behind the beginning-of-sequence token, if the model has one; of no text that token alone."""
        if text:
            return encode_text(self.tokenizer, text)
        first = self.tokenizer.bos_token_id
        return [] if first is None else [first]

    def number(self, digits: str) -> list[int]:
        """The ids of a string of digits and commas, one each.

        Raises:
            BadInput: it holds something else.
        """
        known = dict(zip("0123456789,", (*self.digits, self.comma), strict=True))
        if wrong := next((one for one in digits if one not in known), None):
            raise BadInput(f"sequence: {wrong!r} is not allowed; digits and commas are")
        return [known[one] for one in digits]


def _single(tokenizer: Any, symbol: str) -> int:
    """The id of a symbol's own token: as the tokenizer writes it between others, else whatever token reads back as the symbol alone."""
    for text, before in ((symbol, 0), (f"a{symbol}", 1)):
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"][before:]
        if len(ids) == 1 and tokenizer.decode(ids).strip() == symbol:
            return int(ids[0])
    ids = [
        k
        for k in tokenizer(symbol, add_special_tokens=False, verbose=False)["input_ids"]
        if tokenizer.decode([k]).strip() == symbol
    ]
    if not ids:
        raise BadInput(
            f"model: its tokenizer has no single token for {symbol!r}, which sequences are made of; take another model"
        )
    return int(ids[-1])
