"""Rendering by hand, reading back, and scoring, also of hostile strings."""

import json
import pickle
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrange.core.errors import BadInput
from outrange.reasoning import clrs, text
from outrange.reasoning.text.numbers import write, write_series
from outrange.reasoning.text.score import score_file

PAIR = text.Item("topological_sort:\nA: [[0 1], [0 0]]\ntopo, topo_head:\n", "[1 1], 0\n\n")
VECTOR = text.Item("insertion_sort:\nkey: [0.3 0.1 0.2 0.4]\npred:\n", "[0.1 0.2 0.3 0.4]\n\n")
MATRIX = text.Item("bridges:\nA: [[0 1], [1 0]]\nis_bridge:\n", "[[0 1], [-1 0]]\n\n")


def test_a_small_sort_is_written_as_its_keys_in_order_with_the_first_step_in_the_question():
    item = text.render(clrs.trace("insertion_sort", {"key": [0.5, 0.25, 1.0]}), hints=True)
    assert item.question == "insertion_sort:\nkey: [0.5 0.25 1.0], initial_trace: [0.5 0.25 1.0]\ntrace | pred:\n"
    assert item.answer == "[0.25 0.5 1.0] | [0.25 0.5 1.0]\n\n"
    assert item.text == item.question + item.answer
    assert item.metadata == {"algorithm": "insertion_sort", "length": 3, "steps": 3, "hints": True}


def test_an_algorithm_without_hints_to_show_is_written_alike_with_and_without_them():
    trace = clrs.sample("segments_intersect", 4, seed=5)[0]
    assert text.render(trace, hints=True) == text.render(trace, hints=False)


def test_a_trace_of_one_step_has_an_empty_middle():
    item = text.render(clrs.trace("bfs", {"A": np.zeros((3, 3), int), "s": 1}), hints=True)
    assert item.answer == " | [0 1 2]\n\n"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_floats_are_written_in_the_shortest_form_that_reads_back_equal(values):
    assert write(np.array(values)) == "[" + " ".join(map(repr, values)) + "]"


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=6), st.integers(0, 5))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_decimals_are_written_as_python_writes_them(thousandths, decimals):
    values = [k / 10**decimals for k in thousandths]
    assert write(np.array(values)) == "[" + " ".join(map(repr, values)) + "]"
    assert write(np.array(thousandths)) == "[" + " ".join(map(str, thousandths)) + "]"


def test_negative_zero_and_tiny_and_huge_numbers_are_written_as_python_writes_them():
    values = [-0.0, 0.0, 5e-05, 0.0001, 1e16, 1e22, 123456789.25, -1e-300]
    assert write(np.array(values)) == "[" + " ".join(map(repr, values)) + "]"
    assert write(np.float64(0.5)) == "0.5"
    assert write(np.array(3)) == "3"


def test_series_of_vectors_and_matrices_are_joined_by_commas():
    assert write_series(np.array([[1, 2], [3, 4]])) == "[1 2], [3 4]"
    assert write_series(np.array([[[1.5, 2.0], [0.0, -4.0]]])) == "[[1.5 2.0], [0.0 -4.0]]"
    assert write_series(np.array([[[1 / 3, 2.0], [0.0, -4.0]]])) == "[[0.3333333333333333 2.0], [0.0 -4.0]]"
    assert write_series(np.zeros((0, 3))) == ""


@pytest.mark.parametrize("name", clrs.ALGORITHMS)
def test_questions_read_back_to_the_inputs_they_were_written_from(name):
    for length in (4, 9):
        trace = clrs.sample(name, length, seed=length, truncate_decimals=3)[0]
        for hints in (False, True):
            item = text.render(trace, hints)
            read_name, inputs = text.inputs(item.question)
            assert read_name == name
            assert text.render(clrs.trace(read_name, inputs), hints) == item


@pytest.mark.parametrize(
    "question",
    [
        "",
        "bfs",
        "bfs:\n",
        "nothing:\na: 1\nb:\n",
        "bfs:\ns: 1, B: [1]\npi:\n",
        "bfs:\ns: [1, A: [[0]]\npi:\n",
        "bfs:\nA: [[0 1], [0]]\npi:\n",
    ],
)
def test_a_question_that_is_none_is_refused_in_one_sentence(question):
    with pytest.raises(BadInput) as refused:
        clrs.trace(*text.inputs(question))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("item", "completion", "expected"),
    [
        (VECTOR, "[0.1 0.2 0.3 0.4]\n\n", (1, 1, 1, 1)),
        (VECTOR, "  [0.1 0.2 0.3 0.4]", (1, 1, 1, 1)),
        (VECTOR, "[0.1 0.2 0.3 0.4]\n\nbfs:\ns: 1", (1, 1, 1, 1)),  # what follows the blank line is the next question
        (VECTOR, "[0.1, 0.2, 0.3, 0.4]", (1, 0, 1, 1)),  # commas for spaces: equal numbers, another text
        (VECTOR, "[0.10 0.2 0.3 0.4]", (1, 0, 1, 1)),
        (VECTOR, "[0.1 0.3 0.2 0.4]", (0.5, 0, 1, 1)),
        (VECTOR, "[0.1 0.2 0.3]", (0, 0, 0, 1)),  # an element short
        (VECTOR, "0.1 0.2 0.3 0.4", (0, 0, 0, 1)),  # not a list
        (VECTOR, "[0.1 0.2 0.3 0.4", (0, 0, 0, 1)),  # not closed
        (VECTOR, "[0.1 0.2 0.3 0.4)", (0, 0, 0, 1)),
        (VECTOR, "[0.1 0.2 0.3 0.4] sorted", (0, 0, 0, 0)),  # letters
        (VECTOR, "[0.1 0.2 0.3 0.4e]", (0, 0, 0, 0)),
        (VECTOR, "[1e-1 2e-1 0.3 0.4]", (1, 0, 1, 1)),
        (VECTOR, "[0.1 0.2 0.3 0.4.5]", (0, 0, 0, 1)),  # legal characters, no number
        (VECTOR, "", (0, 0, 0, 0)),
        (VECTOR, "\n\n", (0, 0, 0, 0)),
        (
            VECTOR,
            "[0.2 0.1 0.3 0.4] | [0.1 0.2 0.3 0.4]",
            (1, 0, 1, 1),
        ),  # an unasked trace: the output is right, the text is not
        (VECTOR, "[0.1 0.2 0.3 0.4] |", (0, 0, 0, 1)),
        (PAIR, "[1 1], 0", (1, 1, 1, 1)),
        (PAIR, "[1 0], 0", (2 / 3, 0, 1, 1)),  # elements of all outputs are pooled
        (PAIR, "[1 1]", (0, 0, 0, 1)),
        (PAIR, "0, [1 1]", (0, 0, 0, 1)),
        (MATRIX, "[[0 1], [-1 0]]", (1, 1, 1, 1)),
        (MATRIX, "[[0 1], [-1 1]]", (0.75, 0, 1, 1)),
        (MATRIX, "[0 1], [-1 0]", (0, 0, 0, 1)),
        (MATRIX, "[[0 1 -1 0]]", (0, 0, 0, 1)),
        (MATRIX, "[[[0 1], [-1 0]]]", (0, 0, 0, 1)),
        (MATRIX, "[[٠ 1], [-1 0]]", (0, 0, 0, 0)),  # a digit, but not an ASCII one
        (MATRIX, "[[0 1],\n[-1 0]]", (0, 0, 0, 0)),  # answers have no line breaks
    ],
)
def test_scores_worked_out_by_hand(item, completion, expected):
    s = text.score(item, completion)
    assert (s.clrs, s.exact, s.shape, s.parse) == pytest.approx(expected)


def test_with_a_trace_only_the_last_part_counts_but_exactness_wants_all():
    item = text.render(clrs.trace("insertion_sort", {"key": [0.5, 0.25, 1.0, 0.75]}), hints=True)
    wrong_trace = item.answer.replace("[0.25", "[0.5", 1)
    assert text.score(item, wrong_trace) == text.Score(1.0, 0.0, 1.0, 1.0)
    assert text.score(item, item.answer.split(" | ")[1]) == text.Score(1.0, 0.0, 1.0, 1.0)


HOSTILE = st.one_of(
    st.text(),
    st.text("[](),| .-+e0123456789\n", max_size=200),
    st.text("[]", max_size=2000),
    st.text("0123456789", max_size=6000),
)


@given(HOSTILE, st.sampled_from([VECTOR, PAIR, MATRIX]))
@settings(derandomize=True, deadline=None, max_examples=500)
def test_the_score_is_total_and_between_zero_and_one(completion, item):
    s = text.score(item, completion)
    values = (s.clrs, s.exact, s.shape, s.parse)
    assert all(0.0 <= v <= 1.0 for v in values)
    assert s.clrs == 0 or (s.shape == 1 and s.parse == 1)
    assert s.exact == 0 or values == (1, 1, 1, 1)


@pytest.mark.parametrize(
    "completion",
    [
        "[" * 10_000_000,
        "1" * 10_000_000,
        "[1 " * 3_000_000,
        "|" * 10_000_000,
        " " * 10_000_000,
        "e" * 10_000_000,
        "-" * 10_000_000,
        "\n\n" * 5_000_000,
        "[1 2], " * 1_500_000,
    ],
    ids=["brackets", "digits", "lists", "bars", "spaces", "letters", "signs", "lines", "answers"],
)
def test_ten_megabytes_are_scored_in_a_time_that_grows_linearly(completion):
    """Ten times the text takes about ten times as long: a quadratic reader would take a hundred times (and minutes), so
    a loose bound tells them apart.
    """

    def seconds(string):
        began = time.process_time()
        assert text.score(VECTOR, string).exact == 0
        return time.process_time() - began

    short = max(min(seconds(completion[: len(completion) // 10]) for _ in range(3)), 1e-3)
    assert seconds(completion) < 40 * short


def test_scoring_something_else_than_text_is_refused():
    with pytest.raises(BadInput, match="completion: 3 is not a string"):
        text.score(VECTOR, 3)
    with pytest.raises(BadInput, match="item:"):
        text.score("[1]", "[1]")


def test_a_dataset_of_text_depends_on_seed_and_index_alone():
    data = text.dataset(["bfs", "minimum"], [4, 6], seed=3, hints=True, count=20)
    assert len(data) == 20
    assert [data[i] for i in range(20)] == list(data) == data[:]
    assert data[7] == text.dataset(["bfs", "minimum"], [4, 6], seed=3, hints=True)[7]
    assert data[0] != text.dataset(["bfs", "minimum"], [4, 6], seed=4, hints=True)[0]
    assert all(
        len(number.split(".")[1]) <= 3
        for number in data[2].question.split("[")[1].split("]")[0].split()
        if "." in number
    )


def test_datasets_pickle_so_that_worker_processes_can_have_them():
    data = text.dataset(["bfs", "optimal_bst"], [4, 6], seed=3, hints=True, count=8, options={"bfs": {"p": 0.3}})
    assert pickle.loads(pickle.dumps(data))[:] == data[:]


def test_a_file_of_completions_is_scored_by_algorithm_and_in_all(tmp_path):
    rows = [
        {"question": i.question, "answer": i.answer, "completion": c}
        for i, c in ((VECTOR, VECTOR.answer), (VECTOR, "[]"), (PAIR, "[1 1], 1"))
    ]
    file = tmp_path / "completions.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    scores = score_file(file)
    assert scores["insertion_sort"] == {"answers": 2, "clrs": 0.5, "exact": 0.5, "shape": 0.5, "parse": 1.0}
    assert scores["topological_sort"]["clrs"] == pytest.approx(2 / 3)
    assert scores["all"]["answers"] == 3


@pytest.mark.parametrize(
    "content", ["", "[1]\n", "{\n", '{"question": 1, "answer": "", "completion": ""}\n', "[" * 100_000]
)
def test_a_file_that_holds_no_completions_is_refused_with_its_line(tmp_path, content):
    file = tmp_path / "broken.jsonl"
    file.write_text(content)
    with pytest.raises(BadInput) as refused:
        score_file(file)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300
