"""The tasks: prompts and right answers by hand, answers read from any text, and margins against a computation by
hand.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from outrange.attention.glasses.margins import encode_prompt, measure_margins
from outrange.attention.glasses.symbols import Symbols
from outrange.attention.glasses.tasks import (
    COPY_PREFIX,
    COPY_TASKS,
    MATHS_PREFIX,
    ORDERS,
    STYLES,
    TASKS,
    build_prompt,
    counterpart,
    score,
)
from outrange.core.errors import BadInput
from tests.attention.families import model
from tests.attention.letters import letters


@pytest.mark.parametrize(
    ("task", "sequence", "answer"),
    [
        ("first digit", "01111", 0),
        ("last digit", "11110", 0),
        ("last digit, with a hint", "11110", 0),
        ("last digit, interleaved", "01010", 0),
        ("count ones", "1111", 4),
        ("sum ones", "1+1+1+1", 4),
    ],
)
def test_sequences_and_answers(task, sequence, answer):
    prompt = build_prompt(task, 4)
    assert (prompt.sequence, prompt.answer) == (sequence, answer) and prompt.text.count(prompt.sequence) == 1
    assert prompt.answer_prefix == (COPY_PREFIX if TASKS[task].kind == "copy" else MATHS_PREFIX)


def test_drawn_sequences_hold_what_they_say_and_depend_on_seed_length_and_item_alone():
    words, bits = build_prompt("count words", 6, seed=1), build_prompt("count ones among zeros", 400, seed=1)
    assert words.sequence.split().count("car") == words.answer == 6 and len(words.sequence.split()) == 12
    assert bits.answer == bits.sequence.count("1") and 240 < bits.answer < 320 and len(bits.sequence) == 400
    assert build_prompt("count words", 6, seed=1) == words != build_prompt("count words", 6, seed=1, item=1)
    assert build_prompt("count ones among zeros", 400, seed=2).sequence != bits.sequence


def test_orders_put_question_form_and_sequence_where_the_paper_has_them():
    places = []
    for order in ORDERS:
        text = build_prompt("last digit", 3, order=order).text
        places.append(
            sorted(
                (text.index(part), name)
                for name, part in {"q": "What is the last", "f": "Please answer", "s": "1110"}.items()
            )
        )
    assert ["".join(name for _, name in parts) for parts in places] == ["qfs", "fqs", "sqf"]


def test_styles_add_a_thought_or_two_worked_examples_that_are_right():
    plain, zero_shot, few_shot = (build_prompt("count ones", 7, style=style).text for style in STYLES)
    assert "step by step" in zero_shot and "step by step" not in plain
    assert (
        "5 + 5 + 2 = 12" in few_shot
        and "5 + 1 = 6" in few_shot
        and few_shot.endswith(plain)
        and few_shot.count(MATHS_PREFIX) == 3
    )  # its form names it once
    assert build_prompt("last digit", 7, style="few-shot").text.count(f"{COPY_PREFIX}0") == 2


@pytest.mark.parametrize(
    ("completion", "value", "error"),
    [
        ("The final answer to your maths question is: 12", 12, 0),
        ("I think 3.\nThe final answer to your maths question is: 1,012.", 1012, 1000),
        ("12", 12, 0),
        ("first 7, then 12", 12, 0),
        ("none", None, None),
        ("", None, None),
        (
            "The final answer to your maths question is: 5. The final answer to your maths question is: 11, not 12",
            11,
            1,
        ),
        ("The final answer to your maths question is: unknown, 12 perhaps", 12, 0),
        ("-3", -3, 15),
        ("9" * 400, None, None),
    ],
)
def test_answers_are_read_behind_the_phrase_or_at_the_end(completion, value, error):
    result = score(build_prompt("count ones", 12), completion)
    if completion == "9" * 400:
        assert result.value is not None and not result.correct
        return
    assert result.value == value and result.error == error and result.correct == (value == 12)


@given(st.text(max_size=200))
def test_any_text_is_scored(completion):
    for task in ("count ones", "first digit"):
        result = score(build_prompt(task, 3), completion)
        assert result.correct == (result.value == build_prompt(task, 3).answer) and (
            result.error is None or result.error == abs(result.value - 3)
        )
        assert result.value is not None or not any(c in "0123456789" for c in completion)


def test_a_copy_is_right_or_wrong_and_not_far_off():
    result = score(build_prompt("last digit", 3), f"{COPY_PREFIX}1")
    assert (result.value, result.correct, result.error) == (1, False, None) and score(
        build_prompt("last digit", 3), "0"
    ).correct


# margins


def by_hand(watched, tokenizer, text):
    ids = [0] + tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = watched(torch.tensor([ids])).logits[0, -1]
    zero, token_id = tokenizer.convert_tokens_to_ids(["0", "1"])
    return float(logits[zero] - logits[token_id])


def test_margins_are_log_odds_less_those_of_all_ones():
    watched, tokenizer, counts = model("llama", max_position_embeddings=512), letters(), []
    (margins,) = measure_margins(
        watched, tokenizer, (2, 5), ("last digit",), report_progress=lambda done, total: counts.append((done, total))
    )
    for k, n in enumerate((2, 5)):
        asked = build_prompt("last digit", n)
        odds, ones = (
            by_hand(watched, tokenizer, f"{text}\n{COPY_PREFIX}")
            for text in (asked.text, asked.text.replace("1" * n + "0", "1" * (n + 1)))
        )
        assert margins.log_odds[k] == pytest.approx(odds, abs=1e-4) and margins.shift[k] == pytest.approx(
            odds - ones, abs=1e-4
        )
    assert counts[-1] == (4, 4) and "no chat template" in margins.notes[0] and margins.lengths == (2, 5)


def test_margins_over_orders_are_means_with_their_range():
    watched, tokenizer = model("llama", max_position_embeddings=512), letters()
    by_order = [measure_margins(watched, tokenizer, (2, 5), ("last digit",), orders=(order,))[0] for order in ORDERS]
    (averaged,) = measure_margins(watched, tokenizer, (2, 5), ("last digit",), orders=ORDERS)
    shifts = np.array([margins.shift for margins in by_order])
    assert len({*shifts[:, 0]}) == 3
    for part, expected in (
        (averaged.shift, shifts.mean(0)),
        (averaged.lowest_shift, shifts.min(0)),
        (averaged.highest_shift, shifts.max(0)),
    ):
        np.testing.assert_allclose(part, expected, atol=1e-6)


@pytest.mark.parametrize("task", ["count ones", "sum ones", "count words", "count ones among zeros"])
def test_a_margin_of_counting_is_the_log_odds_of_k_against_k_and_one_less_those_behind_one_more(task):
    watched, tokenizer = model("llama", max_position_embeddings=1024), letters()
    (margins,) = measure_margins(watched, tokenizer, (4, 9), (task,))
    more = {"sum ones": "+1", "count words": " car"}.get(task, "1")

    def chance(text, answer):  # of an answer of some digits, digit by digit
        total = 0.0
        for k, digit in enumerate(answer):
            ids = (
                [0]
                + tokenizer(f"{text}\n{MATHS_PREFIX}", add_special_tokens=False)["input_ids"]
                + [tokenizer.convert_tokens_to_ids(d) for d in answer[:k]]
            )
            with torch.no_grad():
                total += float(
                    torch.log_softmax(watched(torch.tensor([ids])).logits[0, -1], -1)[
                        tokenizer.convert_tokens_to_ids(digit)
                    ]
                )
        return total

    for k, n in enumerate((4, 9)):
        asked = build_prompt(task, n)
        longer = asked.text.replace(asked.sequence, asked.sequence + more)
        odds, then = (
            chance(text, str(asked.answer)) - chance(text, str(asked.answer + 1)) for text in (asked.text, longer)
        )
        assert margins.log_odds[k] == pytest.approx(odds, abs=1e-4) and margins.shift[k] == pytest.approx(
            odds - then, abs=1e-4
        ), n


def test_one_more_is_one_more_of_what_is_counted():
    for task, sequence in (("count ones", "11111"), ("sum ones", "1+1+1+1+1")):
        assert (
            counterpart(build_prompt(task, 4))
            == build_prompt(task, 5).__class__(**{**build_prompt(task, 5).__dict__, "n": 4})
            and counterpart(build_prompt(task, 4)).sequence == sequence
        )
    assert (
        counterpart(build_prompt("count words", 4)).sequence.split().count("car")
        == counterpart(build_prompt("count words", 4)).answer
        == 5
    )


def test_copying_is_held_against_a_one_for_the_digit_asked_for_and_no_other_change():
    for task, sequence in (
        ("last digit", "11111"),
        ("first digit", "11111"),
        ("last digit, interleaved", "01011"),
        ("last digit, with a hint", "11111"),
    ):
        asked = build_prompt(task, 4)
        assert (counterpart(asked).sequence, counterpart(asked).answer) == (sequence, 1)
        assert sum(a != b for a, b in zip(asked.text, counterpart(asked).text, strict=True)) == 1


def test_a_chat_template_frames_the_prompt_and_the_answer_is_begun_behind_it():
    tokenizer = letters()
    tokenizer.chat_template = (
        "{{ '<s>' }}{% for m in messages %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}::{% endif %}"
    )
    ids, note = encode_prompt(Symbols.from_tokenizer(tokenizer), build_prompt("first digit", 3))
    text = "".join(tokenizer.convert_ids_to_tokens(ids))
    assert not note and text.startswith("<s>") and text.count("<s>") == 1 and "0111::" in text


def test_where_digits_merge_the_sequence_is_single_digits_and_the_rest_as_it_was():
    merging = letters(merges=[("1", "1"), ("11", "1"), ("0", "1")])
    ids, _ = encode_prompt(Symbols.from_tokenizer(merging), build_prompt("first digit", 9))
    words = merging.convert_ids_to_tokens(ids)
    assert words.count("1") == 9 and words.count("0") == 1 and "11" not in words and "01" not in words


def test_a_pretrained_model_s_answer_is_moved_by_the_first_digit_more_than_by_the_last(smollm2):
    first, last = measure_margins(smollm2.model, smollm2.tokenizer, (5, 20), ("first digit", "last digit"))
    assert first.shift == pytest.approx([3.73, 3.41], abs=0.35) and last.shift == pytest.approx(
        [0.93, 0.24], abs=0.35
    )  # another wording of the prompt


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: build_prompt("last digits", 3), "did you mean 'last digit'"),
        (lambda m: build_prompt("last digit", 0), "n: 0"),
        (lambda m: build_prompt("last digit", 3, order=4), "order: 4"),
        (lambda m: build_prompt("last digit", 3, style="some"), "style: 'some'"),
        (lambda m: measure_margins(m, letters(), (3,), ("sum one",)), "did you mean 'sum ones'"),
        (
            lambda m: measure_margins(m, letters(), (900,), ("last digit",)),
            "lengths: a prompt of .* fewer ones than 900",
        ),
    ],
)
def test_what_is_not_allowed_is_said(call, message):
    with pytest.raises(BadInput, match=message):
        call(model("llama"))
    assert COPY_TASKS == tuple(name for name in TASKS if name.split(",")[0] in ("first digit", "last digit"))
