"""Asking a model here and a server on this machine: good answers, patience, and every way in which a server can
fail.
"""

import contextlib
import json
import socketserver
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from outrange.attention.glasses.answers import ask, ask_margins
from outrange.attention.glasses.backends import LocalModel, Server
from outrange.attention.glasses.chat_client import NoAnswer
from outrange.attention.glasses.margins import measure_margins
from outrange.attention.glasses.tasks import COPY_PREFIX, build_prompt, build_prompts
from outrange.core.errors import BadInput
from tests.attention.families import model
from tests.attention.letters import letters


def completion(text):
    return 200, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]})


@contextmanager
def server(*answers):
    """A server that gives these (status, body) one after another, the last one again and again; ``seen`` are the
    requests.
    """
    seen, left = [], list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, dict(self.headers), body))
            status, text = left.pop(0) if len(left) > 1 else left[0]
            if status == 0:  # hang up
                self.connection.close()
                return
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}/v1", seen
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def at(url, **more):
    return Server(url, "some-model", pause=0.01, **more)


def test_a_prompt_is_sent_as_a_chat_and_its_answer_is_scored():
    with server(completion(f"{COPY_PREFIX}0")) as (url, seen):
        result = ask(at(url, key="secret"), build_prompts(["last digit"], [3, 5]))
    assert [(answer.n, answer.value, answer.correct) for answer in result.answers] == [
        (3, 0, True),
        (5, 0, True),
    ] and not result.failure
    path, headers, body = seen[0]
    assert (
        path == "/v1/chat/completions"
        and headers["Authorization"] == "Bearer secret"
        and body["temperature"] == 0
        and body["model"] == "some-model"
    )
    assert body["messages"] == [{"role": "user", "content": build_prompt("last digit", 3).text}]
    assert "secret" not in repr(at(url, key="secret"))


def test_styles_items_and_lengths_are_all_asked_and_told_as_they_come():
    reported = []
    with server(completion("The final answer to your maths question is: 4")) as (url, seen):
        result = ask(
            at(url),
            build_prompts(["count ones", "sum ones"], [4, 6], styles=("none", "few-shot"), items=2),
            report_answer=reported.append,
        )
    assert tuple(reported) == result.answers and len(result.answers) == 16 and len(seen) == 16
    assert {answer.error for answer in result.answers if answer.n == 6} == {2.0} and all(
        answer.correct for answer in result.answers if answer.n == 4
    )
    assert {body["max_tokens"] for _, _, body in seen} == {16, 512}


def test_a_busy_server_is_asked_again():
    with server((429, "busy"), (503, "busy"), completion("0")) as (url, seen):
        assert ask(at(url), build_prompts(["last digit"], [3])).answers[0].correct and len(seen) == 3


@pytest.mark.parametrize(
    ("answer", "reason", "request_count"),
    [
        ((500, "x"), "status 500", 2),
        ((404, '{"error": {"message": "no model of that name", "code": 5}}'), "status 404, 'no model of that name'", 1),
        ((401, '{"detail": "who are you"}'), "status 401, 'who are you'", 1),
        ((400, "<p>"), "status 400, '<p>'", 1),
        ((403, ""), "status 403", 1),
        ((422, '{"detail": [{"loc": 1}]}'), "status 422, ", 1),
        ((400, '{"other": 1}'), "status 400, ", 1),
        ((400, "[" * 5000), "status 400, ", 1),
        ((200, "<html>"), "no chat completion", 1),
        ((200, "{}"), "no chat completion", 1),
        ((200, '{"choices": []}'), "no chat completion", 1),
        ((200, '{"choices": [{"message": {"content": null}}]}'), "without text", 1),
        ((200, "[" * 5000), "no chat completion", 1),
        ((0, ""), "did not answer", 2),
    ],
)
def test_a_server_that_fails_is_named_and_what_came_before_is_kept(answer, reason, request_count):
    with server(completion("0"), answer) as (url, seen):
        result = ask(at(url, tries=2), build_prompts(["last digit"], [3, 4, 5]))
    assert (
        len(result.answers) == 1
        and reason in result.failure
        and url in result.failure
        and len(seen) == 1 + request_count
    )


def test_a_server_that_drips_does_not_outlive_the_timeout():
    class Dripping(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(1 << 16)
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with contextlib.suppress(OSError):
                while not stop.wait(0.05):
                    self.request.sendall(b" ")

    stop = threading.Event()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dripping) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        start = time.monotonic()
        result = ask(
            at(f"http://127.0.0.1:{running.server_address[1]}/v1", timeout=0.5, tries=2),
            build_prompts(["last digit"], [3]),
        )
        seconds = time.monotonic() - start
        stop.set()
        running.shutdown()
    assert "no whole answer within 0.5 s" in result.failure and 1 <= seconds < 10


@pytest.mark.parametrize("answer", [(401, '{"error": "no such key: topsecret"}'), (200, '{"key": "topsecret"}')])
def test_a_key_that_a_server_repeats_is_not_shown(answer):
    with server(answer) as (url, _):
        result = ask_margins(at(url, key="topsecret"), build_prompts(["last digit"], [3]))
    assert not result.shifts and "…" in result.failure and "topsecret" not in result.failure
    with server(weighed(("Bearer topsecret", {"x": -1.0}))) as (url, _):
        result = ask_margins(at(url, key="topsecret"), build_prompts(["last digit"], [3]))
    assert not result.shifts and "answered 'Bearer …'" in result.failure


def test_a_redirection_is_not_followed_and_the_key_goes_to_nobody_else():
    with server(completion("0")) as (elsewhere, seen):

        class Sending(BaseHTTPRequestHandler):
            def do_POST(self):
                self.send_response(302)
                self.send_header("Location", elsewhere)
                self.end_headers()

            def log_message(self, *arguments):
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Sending) as running:
            threading.Thread(target=running.serve_forever, daemon=True).start()
            result = ask(
                at(f"http://127.0.0.1:{running.server_port}/v1", key="topsecret"), build_prompts(["last digit"], [3])
            )
            running.shutdown()
    assert not result.answers and "status 302" in result.failure and not seen


def test_nobody_there_is_said():
    with server(completion("0")) as (url, _):
        pass
    result = ask(at(url, tries=2), build_prompts(["last digit"], [3]))
    assert not result.answers and "did not answer" in result.failure


def test_what_answers_without_http_is_said():
    class Garbage(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(1 << 16)
            self.request.sendall(b"SSH-2.0-something\r\n\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Garbage) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        result = ask(at(f"http://127.0.0.1:{running.server_address[1]}/v1"), build_prompts(["last digit"], [3]))
        running.shutdown()
    assert not result.answers and "its answer is no HTTP" in result.failure


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "file:///etc/passwd",
        "http://localhost:abc/v1",
        "http://local host/v1",
        "http://[::1/v1",
        "http:///v1",
        "http://x:0/v1",
        "http://a..b/v1",
        f"http://{'a' * 70}.com/v1",
    ],
)
def test_what_is_no_server_is_refused(url):
    with pytest.raises(BadInput, match="server: .* is not allowed; give a URL"):
        Server(url, "m")
    with pytest.raises(BadInput, match="server: 0 tries"):
        Server("http://x/v1", "m", tries=0)


def test_a_password_in_a_url_is_refused_and_not_shown():
    with pytest.raises(BadInput, match="server: a URL with a name or a password") as caught:
        Server("http://user:hunter2@x/v1", "m")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", ["abc\ndef", "a b", "schlüssel"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(BadInput, match="server: the key holds") as caught:
        Server("http://x/v1", "m")
    assert key not in str(caught.value)


def test_a_chain_of_thought_is_not_cut_short_by_a_forced_answer_and_what_does_not_fit_is_said():
    watched, tokenizer = model("llama", max_position_embeddings=512), letters()
    tokenizer.add_special_tokens({"eos_token": "<unk>"})
    assert (
        not LocalModel(watched, tokenizer)
        .answer(build_prompt("last digit", 4, style="zero-shot"), 5)
        .startswith(COPY_PREFIX)
    )
    result = ask(LocalModel(watched, tokenizer), build_prompts(["last digit"], [3, 600]))
    assert (
        len(result.answers) == 1 and "do not fit into the model's context of 512; take fewer than 600" in result.failure
    )


def test_a_model_here_goes_on_from_the_forced_beginning_greedily():
    watched, tokenizer = model("llama", max_position_embeddings=512), letters()
    tokenizer.add_special_tokens({"eos_token": "<unk>"})
    prompt = build_prompt("last digit", 4)
    completion = LocalModel(watched, tokenizer).answer(prompt, 5)
    assert completion.startswith(COPY_PREFIX) and completion == LocalModel(watched, tokenizer).answer(prompt, 5)
    assert not LocalModel(watched, tokenizer, forced_prefix=False).answer(prompt, 5).startswith(COPY_PREFIX)
    assert len(ask(LocalModel(watched, tokenizer), build_prompts(["last digit"], [3, 4])).answers) == 2


def test_a_backend_of_ones_own_needs_one_method():
    class Mine:
        def answer(self, prompt, most):
            if prompt.n > 2:
                raise NoAnswer("enough")
            return str(prompt.answer)

    result = ask(Mine(), build_prompts(["count ones"], [1, 2, 3, 4]))
    assert [answer.correct for answer in result.answers] == [True, True] and result.failure == "enough"
    with pytest.raises(BadInput, match="items"):
        ask(Mine(), build_prompts(["count ones"], [1], items=0))


# margins


def weighed(*places):
    """A completion whose tokens come with the likeliest ones in their place."""
    content = [
        {
            "token": token,
            "logprob": -0.1,
            "top_logprobs": [{"token": candidate, "logprob": value} for candidate, value in top.items()],
        }
        for token, top in places
    ]
    text = "".join(token for token, _ in places)
    return 200, json.dumps({"choices": [{"message": {"content": text}, "logprobs": {"content": content}}]})


def test_a_server_s_margin_is_read_where_its_answer_s_last_digit_stands():
    asked = weighed(
        ("Of 1", {}),
        ("1", {"1": -0.1, "0": -9.0}),
        (" is:", {}),
        (" 0", {" 0": -0.5, "0": -3.0, " 1": -1.5, "x": -4.0}),
    )
    ones = weighed(("1", {"1": -0.2, "0": -2.2}))
    with server(asked, ones) as (url, seen):
        result = ask_margins(at(url), build_prompts(["last digit"], [4]))
    assert (
        not result.failure
        and result.shifts[0].log_odds == pytest.approx(1.0)
        and result.shifts[0].shift == pytest.approx(1.0 - -2.0)
        and result.shifts[0].n == 4
    )
    sent = [body for _, _, body in seen]
    assert all(body["logprobs"] is True and body["top_logprobs"] == 20 for body in sent)
    assert "11110" in sent[0]["messages"][0]["content"] and "11111" in sent[1]["messages"][0]["content"]


def test_a_digit_that_is_not_listed_counts_as_the_last_that_is():
    with server(weighed(("1", {"1": -0.1, "x": -5.0, "y": -7.0})), weighed(("1", {"1": -0.1, "0": -3.1}))) as (url, _):
        assert ask_margins(at(url), build_prompts(["first digit"], [4])).shifts[0].log_odds == pytest.approx(-6.9)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (completion("0"), "no log-probabilities"),
        (weighed(("none", {"none": -0.1})), "no token is a 0 or a 1"),
        ((500, "x"), "status 500"),
        (
            (200, '{"choices": [{"message": {"content": "0"}, "logprobs": {"content": [{"token": "0"}]}}]}'),
            "no log-probabilities",
        ),
        (
            (
                200,
                '{"choices": [{"message": {"content": "0"}, "logprobs": {"content": '
                '[{"token": "0", "top_logprobs": [{"token": "0", "logprob": "x"}]}]}}]}',
            ),
            "no log-prob",
        ),
        (
            (
                200,
                '{"choices": [{"message": {"content": "0"}, "logprobs": {"content": '
                '[{"token": "0", "top_logprobs": []}]}}]}',
            ),
            "no log-probabilities",
        ),
        (weighed(("0", {"0": -0.1})), "no log-probabilities"),
        (weighed(("0", {"0": -(10**400), "1": -1})), "no log-probabilities"),
    ],
)
def test_margins_that_cannot_be_had_are_said_and_what_came_before_is_kept(answer, reason):
    good = weighed(("0", {"0": -0.1, "1": -1.1}))
    with server(good, good, answer) as (url, _):
        result = ask_margins(at(url, tries=1), build_prompts(["last digit"], [3, 4]))
    assert [shift.n for shift in result.shifts] == [3] and reason in result.failure and url in result.failure


def test_a_model_here_has_the_margins_of_the_tasks():
    watched, tokenizer = model("llama", max_position_embeddings=512), letters()
    result = ask_margins(LocalModel(watched, tokenizer), build_prompts(["first digit", "last digit"], [3, 6]))
    expected = measure_margins(watched, tokenizer, [3, 6], ["first digit", "last digit"])
    assert not result.failure and [shift.shift for shift in result.shifts] == pytest.approx(
        [shift for margins in expected for shift in margins.shift], abs=1e-6
    )
    with pytest.raises(BadInput, match="tasks: 'count ones'"):
        ask_margins(LocalModel(watched, tokenizer), build_prompts(["count ones"], [3]))


# what is kept, and what it adds up to


def test_every_answer_is_in_the_file_as_it_comes_and_a_file_without_answers_is_left_alone(tmp_path):
    class Failing:
        def answer(self, prompt, max_tokens):
            raise NoAnswer("never")

    path = tmp_path / "folder" / "answers.jsonl"
    lines = []
    with server(completion("0")) as (url, _):
        result = ask(
            at(url),
            build_prompts(["last digit"], [3, 5]),
            out=path,
            report_answer=lambda answer: lines.append(len(path.read_text().splitlines())),
        )
    assert lines == [1, 2] and [json.loads(line)["n"] for line in path.read_text().splitlines()] == [3, 5]
    before = path.read_text()
    assert (
        ask(Failing(), build_prompts(["last digit"], [3]), out=path).failure == "never" and path.read_text() == before
    )
    assert len(result.answers) == 2


def test_accuracy_is_the_share_that_is_right_and_the_mean_distance_of_numbers():
    class Counting:
        def answer(self, prompt, max_tokens):
            return ("4", "6", "nothing")[prompt.item]

    result = ask(Counting(), build_prompts(["count ones", "last digit"], [4], items=3))
    accuracy = result.accuracy("count ones", "none", 4)
    assert (accuracy.count, accuracy.correct_share, accuracy.mean_error) == (3, pytest.approx(1 / 3), 1.0)
    assert (
        result.accuracy("last digit", "none", 4).mean_error is None and result.accuracy("sum ones", "none", 4) is None
    )
