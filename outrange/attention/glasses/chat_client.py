"""A client of servers that speak the OpenAI chat interface: one message out, one choice back.

It is careful with the key and with time: the key goes to the named host only, never into a message that is printed, and
a whole answer has a deadline, which a socket's own timeout does not give. Failures end in ``NoAnswer`` with a sentence.
"""

import http.client
import json
import os
import queue
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from outrange.core.errors import BadInput, brief

RETRIED_STATUSES = (429, 500, 502, 503, 504)
MAX_ANSWER_BYTES = 1 << 22
MAX_ERROR_BYTES = 1 << 12


class NoAnswer(Exception):
    """A model or a server gave no answer; the sentence says why."""


class RefusedStatus(Exception):
    """A server answered with a status that is not 200, and perhaps with a reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"status {status}{f', {brief(reason, 200)}' if reason else ''}")
        self.status = status


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected request would go out without its question, and with the key to whoever is named."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        return None


@dataclass(frozen=True)
class ChatClient:
    """An OpenAI-compatible server.

    Attributes:
        url: up to and with ``/v1``.
        model: its name there.
        key: sent as a bearer token; by default that of the environment variable OPENAI_API_KEY, if set. Never printed.
        timeout: seconds for one whole answer, from the first byte sent to the last received.
        tries: how often one prompt is sent before it counts as unanswered.
        pause: seconds before the second try; it doubles from try to try.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 60.0
    tries: int = 4
    pause: float = 1.0

    def __post_init__(self) -> None:
        _check_url(self.url)
        if not re.fullmatch(r"[\x21-\x7e]*", self._bearer_key()):
            raise BadInput(
                "server: the key holds a space, a line's end or a character beyond ASCII; "
                "give it as the server's owner did"
            )
        if self.tries < 1 or self.timeout <= 0:
            raise BadInput(
                f"server: {self.tries} tries of {self.timeout:g} s are not allowed; at least one, of some time"
            )

    def complete(self, text: str, max_tokens: int, **options: Any) -> dict[str, Any]:
        """The first choice of a chat completion, with the text of its message; greedy.

        Args:
            text: the user's message.
            max_tokens: of the answer.
            options: further fields of the request, such as ``logprobs``.

        Raises:
            NoAnswer: the server gave none, after ``tries`` tries where trying again may help.
        """
        request = {
            "model": self.model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": max_tokens,
            "temperature": 0,
        } | options
        reason = ""
        for attempt in range(self.tries):
            if attempt:  # pauses of 1, 2, 4 … times the first
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                return self._parse_choice(self._send(request))
            except RefusedStatus as error:
                reason = str(error)
                if error.status not in RETRIED_STATUSES:
                    break
            except (OSError, TimeoutError) as error:  # refused, reset, timed out, a host name that is not known
                reason = brief(str(getattr(error, "reason", error)) or type(error).__name__)
            except http.client.HTTPException as error:  # what answers speaks no HTTP, or stopped in the middle
                reason = brief(f"its answer is no HTTP: {type(error).__name__}")
                break
        raise NoAnswer(f"server: {self.url} did not answer: {reason}")

    def _bearer_key(self) -> str:
        return self.key or os.environ.get("OPENAI_API_KEY") or ""

    def _send(self, request: dict[str, Any]) -> bytes:
        """The body of the server's answer, within the deadline."""
        key = self._bearer_key()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        address = f"{self.url.rstrip('/')}/chat/completions"
        body = json.dumps(request).encode()
        http_request = urllib.request.Request(address, body, headers)  # noqa: S310 - http(s) only, checked
        outcome: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

        def exchange() -> None:
            try:
                try:
                    with urllib.request.build_opener(_NoRedirect).open(http_request, timeout=self.timeout) as response:
                        outcome.put(_without_key(response.read(MAX_ANSWER_BYTES), key))
                except urllib.error.HTTPError as error:
                    refusal = _without_key(error.read(MAX_ERROR_BYTES), key)
                    outcome.put(RefusedStatus(error.code, _refusal_reason(refusal)))
            except Exception as error:  # whatever it is, it is raised in the caller's thread
                outcome.put(error)

        # A socket's timeout begins anew with every byte: a server that drips would never meet it. So the exchange runs
        # in a thread of its own, and one that is left behind ends with its connection.
        threading.Thread(target=exchange, daemon=True).start()
        try:
            result = outcome.get(timeout=self.timeout)
        except queue.Empty:
            raise TimeoutError(f"no whole answer within {self.timeout:g} s") from None
        if isinstance(result, Exception):
            raise result
        return result

    def _parse_choice(self, body: bytes) -> dict[str, Any]:
        try:
            choice = json.loads(body)["choices"][0]
            choice["message"]["content"]  # a choice without a message is no chat completion
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            beginning = brief(body[:80].decode("utf-8", "replace"))
            raise NoAnswer(f"server: {self.url} answered {beginning}, which is no chat completion") from None
        return choice


def _check_url(url: str) -> None:
    """Refuses what is no http(s) URL of a host, and one that carries a password."""
    refused = BadInput(f"server: {brief(url)} is not allowed; give a URL such as http://localhost:8000/v1")
    if not url.startswith(("http://", "https://")):
        raise refused
    user_name = None
    try:  # the parts of a URL are parsed when they are asked for, and raise then
        parts = urllib.parse.urlsplit(url)
        user_name = parts.username
        is_valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        is_valid = is_valid and not re.search(r"[\s\x00-\x20\x7f-\uffff]", url)
        (parts.hostname or "").encode("idna")  # raises for an empty or an endless part of a name
    except ValueError:
        is_valid = False
    if is_valid and user_name is not None:
        raise BadInput(
            "server: a URL with a name or a password before its host is not allowed; a key belongs in OPENAI_API_KEY"
        )
    if not is_valid:
        raise refused


def _without_key(body: bytes, key: str) -> bytes:
    """What a server sent, without the key, which some repeat."""
    return body.replace(key.encode(), "…".encode()) if key else body


def _refusal_reason(body: bytes) -> str:
    """Why a server refuses: the message of its JSON, in whichever of the usual places, else the text itself."""
    reason: Any = body.decode("utf-8", "replace").strip()
    try:
        reason = json.loads(body)
        while isinstance(reason, dict):  # servers nest it: {"error": {"message": …}}, {"detail": …}
            reason = next(reason[name] for name in ("error", "message", "detail") if name in reason)
    except (ValueError, RecursionError, StopIteration):
        pass  # not JSON, or a message nowhere: what was read so far says it
    if isinstance(reason, str):
        return reason
    return json.dumps(reason) if reason is not None else ""
