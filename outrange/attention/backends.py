"""Who answers the tasks (arXiv 2406.04267, section 4): a model here, or one that somebody hosts behind an OpenAI-compatible server. And asking many prompts.

What was answered is kept whatever happens after: a server that fails ends a report early, with what came before and a sentence on what failed.
"""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from outrange.attention.symbols import Symbols
from outrange.attention.tasks import Prompt, Style, build, encoded, score
from outrange.core.errors import BadInput, brief

RETRIED = (429, 500, 502, 503, 504)
LARGEST = 1 << 22  # bytes of an answer


class Unanswered(Exception):
    """A backend gave no answer; the sentence says why."""


class Backend(Protocol):
    """Something that answers a prompt in words."""

    def answer(self, prompt: Prompt, most: int) -> str:
        """At most ``most`` tokens, greedily.

        Raises:
            Unanswered: it gave none.
        """
        ...


@dataclass(frozen=True)
class Local:
    """A transformers decoder and its tokenizer. The answer's beginning is forced where ``forced``, which small models need."""

    model: Any
    tokenizer: Any
    forced: bool = True

    def answer(self, prompt: Prompt, most: int) -> str:
        import torch

        asked = prompt if self.forced else Prompt(**{**prompt.__dict__, "prefix": ""})
        ids, _ = encoded(Symbols.of(self.tokenizer), asked)
        given = torch.tensor([ids], device=self.model.device)
        end = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.tokenizer.eos_token_id
        with torch.inference_mode():
            out = self.model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=most, do_sample=False, pad_token_id=end)
        return asked.prefix + self.tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)


@dataclass(frozen=True)
class Server:
    """An OpenAI-compatible server.

    Attributes:
        url: up to and with ``/v1``.
        model: its name there.
        key: sent as a bearer token; none: that of the environment variable OPENAI_API_KEY, if set. Never shown.
        timeout: seconds for one answer.
        tries: how often one prompt is sent before it counts as unanswered; waits in between double from ``pause`` seconds.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 60.0
    tries: int = 4
    pause: float = 1.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise BadInput(f"server: {brief(self.url)} is not allowed; give a URL such as http://localhost:8000/v1")
        if self.tries < 1 or self.timeout <= 0:
            raise BadInput(f"server: {self.tries} tries of {self.timeout:g} s are not allowed; at least one, of some time")

    def answer(self, prompt: Prompt, most: int) -> str:
        body = {"model": self.model, "messages": [{"role": "user", "content": prompt.text}], "max_tokens": most, "temperature": 0}
        why = ""
        for attempt in range(self.tries):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                return self._read(self._send(body))
            except urllib.error.HTTPError as error:
                why = f"status {error.code}"
                if error.code not in RETRIED:
                    break
            except (OSError, TimeoutError) as error:  # refused, reset, timed out, a name that is not known
                why = str(getattr(error, "reason", error)) or type(error).__name__
        raise Unanswered(f"server: {self.url} did not answer: {brief(why)}")

    def _send(self, body: dict[str, Any]) -> bytes:
        headers = {"Content-Type": "application/json"}
        if key := self.key or os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)  # noqa: S310 - http(s) only, checked
        with urllib.request.urlopen(request, timeout=self.timeout) as answer:  # noqa: S310
            return answer.read(LARGEST)

    def _read(self, raw: bytes) -> str:
        try:
            said = json.loads(raw)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            raise Unanswered(f"server: {self.url} answered {brief(raw[:80].decode('utf-8', 'replace'))}, which is no chat completion") from None
        if not isinstance(said, str):
            raise Unanswered(f"server: {self.url} answered a message without text")
        return said


@dataclass(frozen=True, kw_only=True)
class Result:
    """One prompt and what came of it."""

    task: str
    style: str
    order: int
    n: int
    item: int
    right: int
    completion: str
    value: int | None
    correct: bool
    error: float | None


@dataclass(frozen=True)
class Report:
    """All that was answered; ``failed`` says why it ended early, if it did."""

    results: list[Result]
    failed: str = ""


def ask(
    backend: Backend,
    tasks: Iterable[str],
    lengths: Sequence[int],
    *,
    styles: Sequence[Style] = ("none",),
    order: int = 1,
    items: int = 1,
    seed: int = 0,
    most: int = 0,
    tell: Callable[[Result], None] = lambda result: None,
) -> Report:
    """Ask every task in every style at every length, ``items`` times; ``most`` tokens of an answer, none: 16, with chains of thought 512."""
    if items < 1 or most < 0:
        raise BadInput(f"items, most: {items} and {most} are not allowed; at least 1 and 0")
    prompts = [
        (style, item, build(task, n, style=style, order=order, seed=seed, item=item))
        for task in tasks
        for style in styles
        for n in lengths
        for item in range(items)
    ]
    found: list[Result] = []
    for style, item, prompt in prompts:
        try:
            said = backend.answer(prompt, most or (16 if style == "none" else 512))
        except Unanswered as error:
            return Report(found, str(error))
        scored = score(prompt, said)
        found.append(
            Result(
                task=prompt.task,
                style=style,
                order=order,
                n=prompt.n,
                item=item,
                right=prompt.answer,
                completion=said,
                value=scored.value,
                correct=scored.correct,
                error=scored.error,
            )
        )
        tell(found[-1])
    return Report(found)
