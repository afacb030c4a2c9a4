"""Who answers the tasks (arXiv 2406.04267, section 4): a model on this machine, or one that somebody hosts behind an
OpenAI-compatible server.

A backend of one's own needs one method, ``answer``; for margins also ``log_odds``. A server cannot be made to begin an
answer with given words; its margins are read from the log-probabilities it gives of the token with which it says a
digit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from outrange.attention.glasses.chat_client import ChatClient, NoAnswer
from outrange.attention.glasses.symbols import Symbols
from outrange.attention.glasses.tasks import Prompt
from outrange.core.errors import BadInput, brief

_MARGIN_TOKENS, _TOP_LOGPROBS = 24, 20
"""of an answer whose digit's log-probabilities are read; 20 is the most that the chat interface gives"""


class Backend(Protocol):
    """Answers a prompt in words."""

    def answer(self, prompt: Prompt, max_tokens: int) -> str:
        """The answer, at most ``max_tokens`` tokens, greedily.

        Raises:
            NoAnswer: there is none.
        """
        ...


class OddsBackend(Protocol):
    """Says how likely answers are."""

    def log_odds(self, prompt: Prompt) -> float:
        """log P(0) - log P(1) as the answer to a prompt of copying.

        Raises:
            NoAnswer: they cannot be computed or read.
        """
        ...


@dataclass(frozen=True)
class LocalModel:
    """A model on this machine.

    Attributes:
        model: a transformers decoder.
        tokenizer: its tokenizer.
        forced_prefix: whether the answer's first words are put in the model's mouth, which small models need. Never
            before a chain of thought, which would then have no place to stand.
    """

    model: Any
    tokenizer: Any
    forced_prefix: bool = True

    def answer(self, prompt: Prompt, max_tokens: int) -> str:
        # here, so that a server can be asked where neither torch nor a model is loaded
        import torch

        from outrange.attention.glasses.margins import encode_prompt
        from outrange.lm.opening import context_length

        forces = self.forced_prefix and not prompt.asks_for_reasoning
        asked = prompt if forces else replace(prompt, answer_prefix="")
        token_ids, _ = encode_prompt(Symbols.from_tokenizer(self.tokenizer), asked)
        limit = context_length(self.model)
        if len(token_ids) + max_tokens > limit:
            raise NoAnswer(
                f"lengths: a prompt of {len(token_ids):,} tokens and an answer of {max_tokens} do not fit into the "
                f"model's context of {limit:,}; take fewer than {prompt.n}"
            )
        # generate warns without a padding token, though one sequence needs no padding
        inputs = torch.tensor([token_ids], device=self.model.device)
        pad_id = self.tokenizer.pad_token_id
        with torch.inference_mode():
            output = self.model.generate(
                inputs,
                attention_mask=torch.ones_like(inputs),
                max_new_tokens=max_tokens,
                do_sample=False,
                pad_token_id=self.tokenizer.eos_token_id if pad_id is None else pad_id,
            )
        # the forced beginning is part of the answer: ``score`` looks for it
        completion = self.tokenizer.decode(output[0, len(token_ids) :], skip_special_tokens=True)
        return asked.answer_prefix + completion

    def log_odds(self, prompt: Prompt) -> float:
        from outrange.attention.glasses.margins import answer_log_odds, encode_prompt

        symbols = Symbols.from_tokenizer(self.tokenizer)
        token_ids, _ = encode_prompt(symbols, prompt)
        try:
            return answer_log_odds(self.model, token_ids, [symbols.number_ids("0"), symbols.number_ids("1")], prompt.n)
        except BadInput as error:  # too long a prompt: answers that came before are kept
            raise NoAnswer(str(error)) from None


@dataclass(frozen=True)
class Server(ChatClient):
    """A model behind an OpenAI-compatible server; see ``ChatClient`` for its attributes."""

    def answer(self, prompt: Prompt, max_tokens: int) -> str:
        content = self.complete(prompt.text, max_tokens)["message"]["content"]
        if not isinstance(content, str):
            raise NoAnswer(f"server: {self.url} answered a message without text")
        return content

    def log_odds(self, prompt: Prompt) -> float:
        """Read where the answer's last 0 or 1 stands.

        A digit that is not among the twenty likeliest tokens there counts as the last of them: a bound.
        """
        choice = self.complete(prompt.text, _MARGIN_TOKENS, logprobs=True, top_logprobs=_TOP_LOGPROBS)
        # what a server sends may lack anything, or be of another kind
        try:
            digit_places = [
                place for place in choice["logprobs"]["content"] if str(place["token"]).strip() in ("0", "1")
            ]
            # reversed, so that of two tokens that differ in spaces alone the likelier one is kept
            candidates = reversed(digit_places[-1]["top_logprobs"])
            log_probabilities = {str(entry["token"]).strip(): float(entry["logprob"]) for entry in candidates}
            zero, one = (log_probabilities.get(digit, min(log_probabilities.values())) for digit in ("0", "1"))
            if len(log_probabilities) < 2 or not math.isfinite(zero) or not math.isfinite(one):
                raise ValueError("no odds follow from one token alone")
        except IndexError:
            content = brief(str(choice["message"]["content"]))
            raise NoAnswer(f"server: {self.url} answered {content}, in which no token is a 0 or a 1") from None
        except (KeyError, TypeError, ValueError, OverflowError):
            raise NoAnswer(
                f"server: {self.url} gave no log-probabilities; it must know logprobs and top_logprobs"
            ) from None
        return zero - one


def open_backend(
    model: str, server: str = "", report_status: Callable[[str], None] = lambda status: None
) -> LocalModel | Server:
    """A model by name.

    Args:
        model: what ``outrange.lm.opening.open_model`` takes; with ``server`` the model's name there.
        server: the URL of an OpenAI-compatible server, up to and with ``/v1``; empty: a model on this machine, in
            float32.
        report_status: called with a sentence on what is being done, where it takes long.

    Raises:
        BadInput: there is no such model, or the URL is not allowed.
    """
    if server:
        return Server(server, model)
    from outrange.lm.opening import open_model

    opened = open_model(model, "float32", report_status)
    return LocalModel(opened.model, opened.tokenizer)
