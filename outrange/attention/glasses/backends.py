"""Who answers the tasks (arXiv 2406.04267, section 4): a model here, or one that somebody hosts behind an OpenAI-compatible server. And asking many prompts.

A server cannot be made to begin an answer as we want it; its margins are read from the log-probabilities it gives of the token with which it says a digit.

What was answered is kept whatever happens after: a server that fails ends a report early, with what came before and a sentence on what failed.
"""

import http.client
import json
import math
import os
import queue
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from outrange.attention.glasses.symbols import Symbols
from outrange.attention.glasses.tasks import COPYING, Prompt, Style, answer_odds, build, encoded, other, score
from outrange.core.errors import BadInput, brief, unknown
from outrange.lm.opening import context_length

RETRIED = (429, 500, 502, 503, 504)
LARGEST = 1 << 22  # bytes of an answer


class Unanswered(Exception):
    """A backend gave no answer; the sentence says why."""


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirected request would go out without its question, and with the key to whoever is named."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        return None


class Refused(Exception):
    """A server answered with a status that is not 200, and said why, if it did."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"status {status}{f', {brief(said, 200)}' if said else ''}")
        self.status = status


class Backend(Protocol):
    """Something that answers a prompt in words."""

    def answer(self, prompt: Prompt, most: int) -> str:
        """At most ``most`` tokens, greedily.

        Raises:
            Unanswered: it gave none.
        """
        ...


class Weighs(Protocol):
    """Something that says how likely answers are."""

    def odds(self, prompt: Prompt) -> float:
        """log P(0) - log P(1) as the answer to a prompt of copying.

        Raises:
            Unanswered: they cannot be had.
        """
        ...


@dataclass(frozen=True)
class Local:
    """A transformers decoder and its tokenizer. The answer's beginning is forced where ``forced``, as small models need, but not before a chain of thought."""

    model: Any
    tokenizer: Any
    forced: bool = True

    def answer(self, prompt: Prompt, most: int) -> str:
        import torch

        asked = (
            prompt if self.forced and not prompt.thinks else replace(prompt, prefix="")
        )  # a forced answer leaves no room to think before it
        ids, _ = encoded(Symbols.of(self.tokenizer), asked)
        limit = context_length(self.model)
        if len(ids) + most > limit:
            raise Unanswered(
                f"lengths: a prompt of {len(ids):,} tokens and an answer of {most} do not fit into the model's context of {limit:,}; take fewer than {prompt.n}"
            )
        given = torch.tensor([ids], device=self.model.device)
        end = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.tokenizer.eos_token_id
        with torch.inference_mode():
            out = self.model.generate(
                given, attention_mask=torch.ones_like(given), max_new_tokens=most, do_sample=False, pad_token_id=end
            )
        return asked.prefix + self.tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)

    def odds(self, prompt: Prompt) -> float:
        symbols = Symbols.of(self.tokenizer)
        try:
            return answer_odds(
                self.model, encoded(symbols, prompt)[0], [symbols.number(answer) for answer in ("0", "1")], prompt.n
            )
        except BadInput as error:  # too long a prompt: what came before is kept
            raise Unanswered(str(error)) from None


@dataclass(frozen=True)
class Server:
    """An OpenAI-compatible server.

    Attributes:
        url: up to and with ``/v1``.
        model: its name there.
        key: sent as a bearer token; none: that of the environment variable OPENAI_API_KEY, if set. Never shown.
        timeout: seconds for one whole answer, from the first word sent to the last received.
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
        user = None
        try:
            parts = urllib.parse.urlsplit(self.url)
            user = parts.username
            sound = (
                bool(parts.hostname)
                and (parts.port is None or parts.port > 0)
                and not re.search(r"[\s\x00-\x20\x7f-\uffff]", self.url)
            )
            (parts.hostname or "").encode("idna")  # an empty or an endless part of a name
        except ValueError:
            sound = False
        if sound and user is not None:
            raise BadInput(
                "server: a URL with a name or a password before its host is not allowed; a key belongs in OPENAI_API_KEY"
            )
        if not sound:
            raise BadInput(f"server: {brief(self.url)} is not allowed; give a URL such as http://localhost:8000/v1")
        key = self.key or os.environ.get("OPENAI_API_KEY") or ""
        if not re.fullmatch(r"[\x21-\x7e]*", key):
            raise BadInput(
                "server: the key holds a space, a line's end or a character beyond ASCII; give it as the server's owner did"
            )
        if self.tries < 1 or self.timeout <= 0:
            raise BadInput(
                f"server: {self.tries} tries of {self.timeout:g} s are not allowed; at least one, of some time"
            )

    def answer(self, prompt: Prompt, most: int) -> str:
        said = self._choice(prompt, most)["message"]["content"]
        if not isinstance(said, str):
            raise Unanswered(f"server: {self.url} answered a message without text")
        return said

    def odds(self, prompt: Prompt) -> float:
        """Read where the answer's last 0 or 1 stands. A digit that is not among the twenty likeliest tokens there counts as the last of them: a bound."""
        choice = self._choice(prompt, 24, logprobs=True, top_logprobs=20)
        try:
            places = [place for place in choice["logprobs"]["content"] if str(place["token"]).strip() in ("0", "1")]
            top = {str(one["token"]).strip(): float(one["logprob"]) for one in reversed(places[-1]["top_logprobs"])}
            found = [top.get(digit, min(top.values())) for digit in ("0", "1")]
            if len(top) < 2 or not all(map(math.isfinite, found)):  # of one token alone no odds follow
                raise ValueError
        except IndexError:
            raise Unanswered(
                f"server: {self.url} answered {brief(str(choice['message']['content']))}, in which no token is a 0 or a 1"
            ) from None
        except (KeyError, TypeError, ValueError, OverflowError):
            raise Unanswered(
                f"server: {self.url} gave no log-probabilities; it must know logprobs and top_logprobs"
            ) from None
        return found[0] - found[1]

    def _choice(self, prompt: Prompt, most: int, **more: Any) -> dict[str, Any]:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt.text}],
            "max_tokens": most,
            "temperature": 0,
        } | more
        why = ""
        for attempt in range(self.tries):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                return self._read(self._send(body))
            except Refused as error:
                why = str(error)
                if error.status not in RETRIED:
                    break
            except (OSError, TimeoutError) as error:  # refused, reset, timed out, a name that is not known
                why = str(getattr(error, "reason", error)) or type(error).__name__
            except (
                http.client.HTTPException
            ) as error:  # something answered that does not speak HTTP, or stopped in the middle
                why = f"its answer is no HTTP: {type(error).__name__}"
                break
        raise Unanswered(f"server: {self.url} did not answer: {why if why.startswith('status') else brief(why)}")

    def _send(self, body: dict[str, Any]) -> bytes:
        headers = {"Content-Type": "application/json"}
        if key := self.key or os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)  # noqa: S310 - http(s) only, checked
        came: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

        def exchange() -> None:
            try:
                try:
                    with urllib.request.build_opener(_Stay).open(request, timeout=self.timeout) as answer:
                        came.put(_struck(answer.read(LARGEST), key))
                except urllib.error.HTTPError as error:
                    came.put(Refused(error.code, _reason(_struck(error.read(1 << 12), key))))
            except Exception as error:  # whatever it is, it is the caller's
                came.put(error)

        # a socket's timeout begins anew with every byte: a server that drips would never meet it. A thread that is left behind ends with its connection.
        threading.Thread(target=exchange, daemon=True).start()
        try:
            found = came.get(timeout=self.timeout)
        except queue.Empty:
            raise TimeoutError(f"no whole answer within {self.timeout:g} s") from None
        if isinstance(found, Exception):
            raise found
        return found

    def _read(self, raw: bytes) -> dict[str, Any]:
        try:
            choice = json.loads(raw)["choices"][0]
            choice["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            raise Unanswered(
                f"server: {self.url} answered {brief(raw[:80].decode('utf-8', 'replace'))}, which is no chat completion"
            ) from None
        return choice


def _struck(raw: bytes, key: str | None) -> bytes:
    """What a server sent without the key, which some repeat."""
    return raw.replace(key.encode(), "…".encode()) if key else raw


def _reason(raw: bytes) -> str:
    """What a refusing server says: the message of its JSON, in whichever of the usual places, else the text itself."""
    said: Any = raw.decode("utf-8", "replace").strip()
    try:
        said = json.loads(raw)
        while isinstance(said, dict):
            said = next(said[name] for name in ("error", "message", "detail") if name in said)
    except (ValueError, RecursionError, StopIteration):
        pass  # not JSON, or a message nowhere: what was read so far says it
    return said if isinstance(said, str) else json.dumps(said) if said is not None else ""


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
    for name, value, least in (("items", items, 1), ("most", most, 0)):
        if value < least:
            raise BadInput(f"{name}: {value} is not allowed; it must be at least {least}")
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


@dataclass(frozen=True, kw_only=True)
class Moved:
    """How far the zero of a copying prompt moves the log-odds of answering 0: ``odds`` less those where all are ones."""

    task: str
    n: int
    odds: float
    shift: float


def moved(
    backend: Weighs,
    tasks: Iterable[str],
    lengths: Sequence[int],
    *,
    order: int = 1,
    tell: Callable[[Moved], None] = lambda one: None,
) -> tuple[list[Moved], str]:
    """The margins of copying by any backend, and why they end early, if they do.

    Raises:
        BadInput: a task is not one of copying, whose answer is a single token.
    """
    chosen = list(tasks)
    for task in chosen:
        if task not in COPYING:
            raise unknown("tasks", task, COPYING, "a task of copying")
    found: list[Moved] = []
    for prompt in [build(task, n, order=order) for task in chosen for n in lengths]:
        try:
            odds = backend.odds(prompt)
            found.append(Moved(task=prompt.task, n=prompt.n, odds=odds, shift=odds - backend.odds(other(prompt))))
        except Unanswered as error:
            return found, str(error)
        tell(found[-1])
    return found, ""
