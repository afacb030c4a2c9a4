"""The declaration of what a run logs: complete, and the same for the log, the terminal and the page."""

import pytest

from outrange.exploration.acting import episodes
from outrange.exploration.metrics import (
    EPISODE_METRICS,
    MIXTURES_LISTED,
    TIMING_METRICS,
    TRAINING_METRICS,
    Metric,
    glossary,
)


def test_every_number_has_a_unit_a_format_and_a_meaning():
    for name, metric in glossary(2).items():
        assert metric.unit and metric.meaning and format(1.0, metric.format), name


def test_what_is_computed_of_an_episode_is_declared_in_the_same_order():
    assert list(EPISODE_METRICS) == ["episodes", *episodes.METRICS]


def test_no_name_is_declared_twice():
    names = [*EPISODE_METRICS, *TRAINING_METRICS, *TIMING_METRICS]
    assert len(set(names)) == len(names) and set(names) <= set(glossary())


@pytest.mark.parametrize("mixtures", [1, 2, MIXTURES_LISTED, MIXTURES_LISTED + 1, 32])
def test_numbers_of_episodes_are_listed_for_every_group_of_actors(mixtures):
    names = {name for name in glossary(mixtures) if name.endswith("return")}
    expected = {"return", "greedy_return"}
    labels = range(mixtures) if 1 < mixtures <= MIXTURES_LISTED else ["*"] if mixtures > 1 else []
    for label in labels:
        expected |= {f"mixture{label}_return", f"mixture{label}_greedy_return"}
    assert names == expected
    assert glossary(mixtures)["greedy_return"].meaning.endswith("; of the greedy actors")


def test_a_metric_cannot_be_changed():
    with pytest.raises(AttributeError):
        Metric("share", ".1%", "a share").unit = "count"  # type: ignore[misc]


def test_acting_computes_every_number_of_an_episode_that_is_declared_in_the_same_order():
    from outrange.exploration.acting.episodes import METRICS

    assert ["episodes", *METRICS] == list(EPISODE_METRICS)
