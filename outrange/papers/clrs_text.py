"""The CLRS-Text Algorithmic Reasoning Language Benchmark (arXiv 2406.04229): its claims, as far as they run without training a model.

Accuracies of the paper's models were read off its plots (± 0.03) and are quoted as such.
"""

from collections import Counter

from outrange.papers.claims import Claim, Measurements, Paper
from outrange.reasoning import clrs, text
from outrange.reasoning.clrs.splits import TEXT_EVAL_SEEDS, TEXT_SEED


def thirty_as_text(seed: int, count: int, lengths: tuple[int, ...]) -> dict[str, float]:
    """Of questions and answers of all thirty, the share that reads back to inputs on which the algorithm gives the very same text."""
    same = total = 0
    for name in clrs.ALGORITHMS:
        for length in lengths:
            for trace in clrs.sample(name, length, count, seed, truncate_decimals=3):
                for hints in (False, True):
                    item = text.render(trace, hints)
                    again = text.render(clrs.trace(*text.inputs(item.question)), hints)
                    same += (again.question, again.answer) == (item.question, item.answer)
                    total += 1
    return {"algorithms": float(len(clrs.ALGORITHMS)), "reads back": same / total}


def _questions(name: str, length: int, count: int, seed: int) -> set[str]:
    return {text.render(t).question for t in clrs.sample(name, length, count, seed, truncate_decimals=3)}


def fresh_test_draws(seed: int, trained: int, tested: int) -> dict[str, float]:
    """The share of evaluation questions that stand in the training set too, averaged over the thirty, at the training lengths 4 and 10."""
    result = {}
    for length in (4, 10):
        shares = []
        for name in clrs.ALGORITHMS:
            if length not in clrs.text_lengths(name, "train"):
                continue
            known = _questions(name, length, trained, TEXT_SEED)
            asked = [
                text.render(t).question
                for t in clrs.sample(
                    name, length, tested, TEXT_EVAL_SEEDS[seed % 5] + 100 * (seed // 5), truncate_decimals=3
                )
            ]
            shares.append(sum(q in known for q in asked) / len(asked))
        result[f"seen in training, length {length}"] = sum(shares) / len(shares)
    return result


def constant_answers(seed: int, count: int) -> dict[str, float]:
    """Exact match of always giving the training set's most frequent answer, for tasks whose accuracies the paper plots."""
    result = {}
    for name, length in (("segments_intersect", 16), ("articulation_points", 19), ("minimum", 64)):
        answers = Counter(
            text.render(t).answer for t in clrs.sample(name, length, count, TEXT_SEED, truncate_decimals=3)
        )
        likeliest = answers.most_common(1)[0][0]
        tested = clrs.sample(name, length, count, 1 + seed, truncate_decimals=3)
        result[f"{name} at {length}"] = sum(text.render(t).answer == likeliest for t in tested) / count
    return result


def _judge_text(values: Measurements) -> tuple[str, str]:
    exact = min(values["reads back"]) == 1.0 and min(values["algorithms"]) == 30
    return ("shown", "every text reads back to itself") if exact else ("contradicted", "some texts do not read back")


def _judge_fresh(values: Measurements) -> tuple[str, str]:
    short, long = max(values["seen in training, length 4"]), max(values["seen in training, length 10"])
    if short < 0.01 and long < 0.01:
        return "shown", "hardly any question repeats"
    return (
        ("partly", "from length 10 on, draws are fresh; at length 4 many small graphs and strings repeat")
        if long < 0.1 < short
        else ("contradicted", "questions repeat")
    )


def _judge_constant(values: Measurements) -> tuple[str, str]:
    near = all(abs(v - 0.5) <= 0.05 for v in values["segments_intersect at 16"])
    low = max(values["minimum at 64"]) < 0.1
    why = (
        "an accuracy of 0.5 on segments_intersect is what a constant answer gets"
        if near
        else "a constant answer does not explain it"
    )
    return ("shown" if near and low else "contradicted"), f"{why}; no model was run here"


PAPER = Paper(
    "clrs-text",
    "The CLRS-Text Algorithmic Reasoning Language Benchmark",
    "2406.04229",
    (
        Claim(
            "thirty-as-text",
            "benchmark definition",
            "the thirty CLRS algorithms, with and without their traces, are text that determines the inputs and the answer",
            "30 algorithms",
            thirty_as_text,
            _judge_text,
            {"laptop": dict(count=4, lengths=(4, 8, 16)), "paper": dict(count=125, lengths=(4, 10))},
        ),
        Claim(
            "fresh-test-draws",
            "evaluation protocol",
            "evaluation needs no static test set: each run draws fresh questions",
            "no figure; 10,000 training samples per length, 125 evaluation samples per length and seed",
            fresh_test_draws,
            _judge_fresh,
            {"laptop": dict(trained=2_000, tested=125), "paper": dict(trained=10_000, tested=125)},
        ),
        Claim(
            "chance-level",
            "accuracy plots (our reading of them)",
            "an accuracy of about 0.5 on segments_intersect, as the untuned base model has, is chance level; on larger tasks chance is far lower",
            "Gemini 1.5 Flash: segments_intersect 0.5 at any length, articulation_points 0.0 at 19, minimum 0.02 at 64 (read off plots)",
            constant_answers,
            _judge_constant,
            {"laptop": dict(count=1_000), "paper": dict(count=10_000)},
        ),
        Claim(
            "length-generalisation",
            "accuracy plots",
            "fine-tuned models interpolate between training lengths and collapse beyond the longest; randomised positions help",
            "insertion_sort, Gemma 2B / with randomised positions: 0.98 / 0.99 at 16, 0.8 / 0.8 at 36 (read off plots)",
            lambda seed: {},
            lambda values: ("not at this scale", ""),
            missing="needs a fine-tuned 2B language model; the data it is trained on is `outrange text export --preset clrs-text-train`",
        ),
    ),
)
