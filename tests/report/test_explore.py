"""The page on exploring runs: its curves against numbers worked out by hand, what it refuses, what it says, and that
nothing a user writes becomes markup."""

import base64
import copy
import io
import json
import math
import re
import statistics
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from outrange.core.errors import BadInput
from outrange.report import explore
from outrange.report.explore import Episode, Map, Meaning, Reference, RunLog, Story, compose, series
from outrange.report.palette import to_palette

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><b>",
    '"><img src=x onerror=alert(1)>',
    "a & b",
    "\u2028\u2029",
    "__proto__",
    "'; //",
    "\ud800",
]


def line(step: int, **values) -> dict:
    return {"step": step, **values}


def run(*lines: dict, name: str = "one", group: str = "", timing=()) -> RunLog:
    return RunLog(name=name, group=group, metrics=list(lines), timing=list(timing))


def rising(seed: int = 0, group: str = "", top: float = 0.8, points: int = 4, **more) -> RunLog:
    """A run whose greedy coverage rises to ``top``."""
    lines = [
        line(
            100 * k,
            greedy_coverage=top * k / points,
            coverage=top * k / points / 2,
            greedy_length=10.0 * k,
            length=8.0 * k,
            bonus=12.0 * k,
            loss=5.0 - k / 10,
            **more,
        )
        for k in range(1, points + 1)
    ]
    timing = [
        line(100 * k, seconds=2.0 * k, cpu_seconds=1.5 * k, steps_per_second=50.0, steps_per_cpu_second=66.0)
        for k in range(1, points + 1)
    ]
    return run(*lines, name=f"seed {seed}", group=group, timing=timing)


def episode(steps: int = 30, **more) -> Episode:
    draw = np.random.default_rng(1)
    place = np.minimum(np.arange(steps + 1), 12)
    pictures = np.zeros((steps + 1, 4, 5, 3), np.uint8)
    pictures[np.arange(steps + 1), place // 5, place % 5] = (44, 200, 44)
    parts = {
        "name": "ngu, seed 0", "bonus": np.where(np.arange(steps) < 12, 3.0, 1.0), "reward": np.zeros(steps),
        "pictures": pictures, "place": place, "place_count": 20, "grid": (4, 5), "terminated": True,
        "action": np.arange(steps) % 2, "action_names": ["left", "right"], "points": draw.normal(size=(steps, 6)),
    }  # fmt: skip
    return Episode(**parts | more)


def plain_episode(bonus, reward=None, **more) -> Episode:
    """An episode with nothing but its bonuses, and rewards of 0."""
    bonus = np.array(bonus, np.float64)
    return Episode(bonus=bonus, reward=np.zeros(len(bonus)) if reward is None else np.array(reward), **more)


def maze_map(name: str = "episode 1: 6 steps") -> Map:
    visits = np.array([[math.nan, 3.0, 0.0], [math.nan, 1.0, 2.0]])
    return Map(name=name, visits=visits, first=np.where(visits > 0, 1.0, math.nan))


GLOSSARY = {
    "greedy_coverage": Meaning("share", "share of an episode's places"),
    "coverage": Meaning("share", "share of an episode's places"),
    "seconds": Meaning("s", "on the clock"),
    "rnd_loss": Meaning("error²", "of the predictor"),
    "mixture*_return": Meaning("reward", "of each mixture"),
}


def full(**more) -> Story:
    parts = {
        "title": "ngu in a maze", "subtitle": "seed 0", "command": "outrange explore page RUN", "notes": ["A note."],
        "runs": [rising()], "references": [Reference(name="uniform", metric="coverage", value=0.01)],
        "glossary": GLOSSARY,
        "config": {
            "agent": "ngu", "steps": 1000, "bonus": {"mixtures": 1},
            "env": {"name": "outrange/RandomDiscoMaze-v0", "count": 64, "options": ["size=7"]},
        },
        "environment": {"versions": {"python": "3.11"}, "earlier": []},
        "maps": [maze_map()], "episode": episode(),
        "evaluation": [
            {"run": "ngu, seed 0", "mixture": 0, "episodes": 64, "return": 0.0, "return_error": 0.0, "coverage": 0.5, "coverage_error": 0.01},
        ],
    }  # fmt: skip
    return Story(**parts | more)


def bare(*runs: RunLog, **more) -> Story:
    return Story(runs=list(runs) or [rising()], **more)


def data_of(page: str) -> dict:
    return json.loads(re.findall(r'<script type="application/json" id="story">(.*?)</script>', page, re.DOTALL)[0])


def chart(story: Story, key: str) -> dict:
    return next(one for one in data_of(explore.page(story))["charts"] if one["key"] == key)


# ---------- what is refused ----------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Story(runs=[]), "story.runs: is empty; a page needs at least one run"),
        (lambda: run(name="a"), "run 'a': metrics are empty; a run needs at least one line"),
        (
            lambda: run({"loss": 1.0}),
            "run 'one': metrics[0].step: None is not allowed; it must be a whole number",
        ),
        (lambda: run(line(True)), "run 'one': metrics[0].step: True is not allowed"),
        (lambda: run(line(1), timing=[line(1.5)]), "run 'one': timing[0].step: 1.5 is not allowed"),
        (
            lambda: Reference(name="a", metric="b", value=math.nan),
            "reference 'a': nan is not allowed; it must be a finite number",
        ),
        (
            lambda: Map(name="", visits=np.array([1, 2])),
            "map.visits: an array of shape (2,) is not allowed; it must be any x any",
        ),
        (
            lambda: Map(name="", visits=np.zeros((2, 3)), first=np.zeros((3, 2))),
            "map.first: an array of shape (3, 2) is not allowed; it must be 2 x 3",
        ),
        (lambda: plain_episode([1.0], [1.0, 2.0]), "episode.reward: an array of shape (2,) is not allowed"),
        (lambda: plain_episode([math.inf]), "episode.bonus: it must hold finite numbers only"),
        (
            lambda: episode(place=np.zeros(3)),
            "episode.place: an array of shape (3,) is not allowed; it must be 31",
        ),
        (
            lambda: episode(pictures=np.zeros((31, 4, 5, 3))),
            "episode.pictures: float64 is not allowed; pictures are bytes (uint8)",
        ),
        (
            lambda: episode(pictures=np.zeros((30, 4, 5, 3), np.uint8)),
            "episode.pictures: an array of shape (30, 4, 5, 3) is not allowed; it must be 31 x any x any x 3",
        ),
    ],
)
def test_a_part_that_is_not_allowed_is_named(make, message):
    with pytest.raises(BadInput) as refused:
        make()
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_a_part_that_a_story_does_not_have_is_refused():
    with pytest.raises(TypeError, match="titel"):
        full(titel="")
    with pytest.raises(TypeError, match="reward"):
        Episode(bonus=np.ones(1))  # type: ignore[call-arg]


def test_a_story_cannot_be_changed():
    with pytest.raises(AttributeError):
        full().title = "another"  # type: ignore[misc]


def test_without_settings_there_are_none_on_the_page():
    assert data_of(explore.page(full(config={})))["settings"] == []


# ---------- the page as a whole ----------


def test_the_same_story_gives_the_same_page_and_stays_as_it_was():
    story, before = full(), full()
    assert explore.page(story) == explore.page(copy.deepcopy(story))
    for key in ("runs", "references", "config", "evaluation"):
        assert getattr(story, key) == getattr(before, key)
    for key in ("bonus", "pictures", "points"):
        np.testing.assert_array_equal(getattr(story.episode, key), getattr(before.episode, key))


def test_everything_but_the_runs_may_be_left_out():
    page = explore.page(bare(run(line(5))))
    sections = re.findall(r'<section class="panel" id="(\w+)">', page)
    assert sections == ["reading", "run", "numbers"]
    assert data_of(page)["charts"] == [] and data_of(page)["reading"] == []
    whole = re.findall(r'<section class="panel" id="(\w+)">', explore.page(full()))
    assert whole == [
        "reading",
        "run",
        "reaches",
        "episode",
        "maps",
        "drives",
        "learns",
        "evaluation",
        "numbers",
        "settings",
        "notes",
    ]
    rewarded = re.findall(
        r'<section class="panel" id="(\w+)">',
        explore.page(bare(run(line(5, coverage=0.5)), episode=episode(), maps=[maze_map()])),
    )
    assert rewarded == [
        "reading",
        "run",
        "reaches",
        "episode",
        "maps",
        "numbers",
    ]  # where nothing is known of the bonus


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_a_user_writes_becomes_markup(text):
    story = full(
        title=text, subtitle=text, command=text, notes=[text],
        runs=[rising(group=text), replace(rising(seed=1, group="b", **{text: 1.0}), name=text)],
        references=[Reference(name=text, metric="coverage", value=0.1)], config={text: {text: text}, "env": {"name": text}, "agent": text},
        environment={text: text}, maps=[maze_map(text)], episode=episode(name=text, action_names=[text, text]),
        glossary={"loss": Meaning(text, text)},
        evaluation=[{"run": text, "mixture": 0, "return": 1.0}, {"run": "b", "mixture": 0}],
    )  # fmt: skip
    page, plain = explore.page(story), explore.page(full())
    for mark in ("<script", "</script", "<img", "<b>"):
        assert page.count(mark) == plain.count(mark)
    assert not set("\u2028\u2029") & set(page.split('id="story">')[1])
    data, cleaned = data_of(page), text.replace("\ud800", "\ufffd")
    assert (
        data["title"]
        == data["notes"][0]
        == data["charts"][0]["lines"][0]["name"]
        == data["episode"]["action_names"][1]
        == data["maps"][0]["name"]
        == cleaned
    )
    assert any(row["name"] == cleaned for row in data["numbers"])
    page.encode()


def test_the_page_asks_the_network_for_nothing(calls_out):
    page = explore.page(full())
    assert "default-src 'none'" in page and "img-src data:" in page
    assert not calls_out(page, "story")


# ---------- curves ----------


def test_a_single_run_is_the_line_of_its_log():
    packed = chart(bare(rising()), "coverage")
    assert [(one["name"], one["x"], one["y"]) for one in packed["lines"]] == [
        ("greedy actors", [100, 200, 300, 400], [0.2, 0.4, 0.6, 0.8]),
        ("all actors", [100, 200, 300, 400], [0.1, 0.2, 0.3, 0.4]),
    ]
    assert all("low" not in one for one in packed["lines"])
    assert data_of(explore.page(bare()))["bands"] == ""


def test_steps_are_not_rounded_where_values_are():
    packed = chart(bare(run(line(123_456_789, loss=0.123456), line(123_456_791, loss=123_456.789))), "loss")["lines"][0]
    assert packed["x"] == [123_456_789, 123_456_791] and packed["y"] == [0.1235, 123_500]


def test_a_few_seeds_are_their_median_and_their_range():
    packed = chart(bare(rising(0, top=0.8), rising(1, top=0.4), rising(2, top=0.2)), "coverage")["lines"][0]
    assert packed["y"] == [0.1, 0.2, 0.3, 0.4]
    assert packed["low"] == [0.05, 0.1, 0.15, 0.2] and packed["high"] == [0.2, 0.4, 0.6, 0.8]
    assert packed["count"] == [3, 3, 3, 3]
    assert (
        data_of(explore.page(bare(rising(0), rising(1))))["bands"]
        == "Lines are medians of 2 runs that differ in their seed, bands their range."
    )


def test_many_seeds_have_a_bootstrap_interval_of_the_median():
    values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    packed = chart(bare(*(run(line(10, loss=v), line(20, loss=2 * v)) for v in values)), "loss")["lines"][0]
    rng, medians = np.random.default_rng(7), []
    for _ in range(4000):  # written out another way
        medians.append(statistics.median(rng.choice(values, 7).tolist()))
    low, high = np.quantile(medians, (0.025, 0.975))
    assert packed["y"][0] == 0.4
    assert packed["low"][0] == pytest.approx(low, abs=0.11) and packed["high"][0] == pytest.approx(high, abs=0.11)
    assert packed["low"][0] > 0.1 and packed["high"][0] < 0.7
    bands = data_of(explore.page(bare(*(rising(seed) for seed in range(5)))))["bands"]
    assert (
        bands
        == "Lines are medians of 5 runs that differ in their seed, bands a 95\u00a0% bootstrap interval of the median."
    )


def test_runs_that_log_at_other_steps_meet_between_them_and_a_short_one_ends_where_it_ends():
    long, short = (
        run(line(100, loss=1.0), line(200, loss=2.0), line(300, loss=3.0), line(400, loss=4.0)),
        run(line(50, loss=2.0), line(250, loss=4.0)),
    )
    packed = chart(bare(long, short), "loss")["lines"][0]
    assert packed["x"] == [100, 200, 300, 400]
    assert packed["y"] == [
        (1 + 2.5) / 2,
        (2 + 3.5) / 2,
        (3 + 4) / 2,
        4,
    ]  # at 300 the short one is still held, half its stride beyond its end
    assert packed["count"] == [2, 2, 2, 1]
    assert (
        "Beyond the last step of a shorter run they are of the others."
        in data_of(explore.page(bare(long, short)))["bands"]
    )


def test_what_is_no_finite_number_leaves_a_gap():
    lines = [
        line(1, loss=1.0),
        line(2, loss=math.nan),
        line(3, loss="x"),
        line(4, loss=True),
        line(5),
        line(6, loss=2.0),
        line(7, loss=math.inf),
    ]
    assert chart(bare(run(*lines)), "loss")["lines"][0]["x"] == [1, 6]


def test_lines_may_come_in_any_order():
    assert chart(bare(run(line(2, loss=2.0), line(1, loss=1.0))), "loss")["lines"][0]["x"] == [1, 2]


def test_a_long_log_is_averaged_and_the_page_says_so():
    page = explore.page(bare(run(*(line(k, loss=float(k)) for k in range(3000)))))
    packed = next(one for one in data_of(page)["charts"] if one["key"] == "loss")["lines"][0]
    assert len(packed["x"]) == series.POINTS
    assert packed["y"][0] == 4.5 and packed["y"][-1] == pytest.approx(2994.5, rel=1e-3)
    assert data_of(page)["limits"] == [
        f"Logs have more than {series.POINTS} lines: neighbours are averaged in the curves."
    ]


def test_the_bonus_a_step_is_the_quotient_of_two_means():
    packed = chart(bare(rising()), "bonus")["lines"]
    assert [(one["name"], one["y"]) for one in packed] == [("all actors", [1.5] * 4)]  # 12 k / 8 k
    assert chart(bare(run(line(1, bonus=3.0, length=0.0), line(2, bonus=3.0, length=2.0))), "bonus")["lines"][0][
        "y"
    ] == [1.5]


def test_groups_are_compared_in_one_line_each():
    packed = chart(bare(rising(0, "ngu"), rising(1, "ngu", top=0.6), rising(0, "rnd", top=0.1)), "coverage")
    assert [(one["name"], one["stroke"], one["y"][-1]) for one in packed["lines"]] == [("ngu", 0, 0.7), ("rnd", 1, 0.1)]
    assert packed["unit"] == "share of an episode's places that it visits, greedy actors"


def test_a_reward_that_nobody_met_has_no_chart_and_places_stand_in_for_coverage():
    keys = lambda **more: [one["key"] for one in data_of(explore.page(bare(run(line(1, **more)))))["charts"]]  # noqa: E731
    assert keys(coverage=0.5, places=10.0, success=0.0) == ["coverage"]
    assert keys(coverage=0.0, places=10.0, **{"return": 0.0}) == ["places"]
    assert keys(success=0.5, **{"return": 0.5}) == ["return", "success"]


def test_an_axis_is_logarithmic_only_where_numbers_spread_and_are_above_zero():
    assert chart(bare(run(line(1, loss=1.0), line(2, loss=100.0))), "loss")["log"]
    assert not chart(bare(run(line(1, loss=1.0), line(2, loss=20.0))), "loss")["log"]
    assert not chart(bare(run(line(1, loss=0.0), line(2, loss=100.0))), "loss")["log"]


def test_mixtures_stand_side_by_side_a_few_of_many():
    lines = [line(k, **{f"mixture{j}_return": float(j * k) for j in range(32)}) for k in (1, 2)]
    packed = chart(bare(run(*lines)), "mixture_return")
    assert [one["name"] for one in packed["lines"]] == [
        "mixture 0, exploits",
        "mixture 10",
        "mixture 21",
        "mixture 31, explores most",
    ]
    assert packed["lines"][3]["y"] == [31, 62]


def test_references_are_drawn_and_told_only_where_there_are_such():
    packed = chart(full(), "coverage")
    assert packed["references"] == [{"name": "uniform", "value": 0.01}] and "Dotted" in packed["help"]
    assert "Dotted" not in chart(bare(), "coverage")["help"]


# ---------- words ----------


def test_the_reading_follows_the_numbers():
    sentences = explore.reading(full(runs=[rising(distance=4.0, embedding_accuracy=0.5)]))
    assert sentences == [
        "After 400 steps, greedy actors visit 80\u00a0% of an episode's places.",
        "Policies that learn nothing visit 1.0\u00a0% (uniform).",
        "A step earns a bonus of 1.50 on average at the end.",
        "The mean squared distance to the nearest states went from 4 to 4.",
        "The embedding tells 50.0\u00a0% of the actions apart at the end, 50.0\u00a0% at its best.",
        "The episode shown has 30 steps, sees 13 of 20 places.",
        "In it a step to a new place earns a bonus of 3.00, a step to one seen before 1.00.",
    ]


def test_the_reading_of_several_runs_gives_their_median_and_range_for_each_group():
    sentences = explore.reading(bare(rising(0, "ngu"), rising(1, "ngu", top=0.6), rising(0, "rnd", top=0.05)))
    assert sentences == [
        "ngu: after 400 steps, greedy actors visit 70\u00a0% (median of 2 runs, 60\u00a0% to 80\u00a0%) of an episode's places.",
        "rnd: after 400 steps, greedy actors visit 5.0\u00a0% of an episode's places.",
    ]


def test_the_reading_tells_reward_where_there_was_some():
    lines = line(9, success=0.25, places=3.5, coverage=0.0, **{"return": 0.5})
    assert explore.reading(bare(run(lines))) == [
        "After 9 steps, all actors visit 3.5 places an episode; all actors earn 0.5 an episode; 25\u00a0% of all actors' episodes earn something."
    ]
    reward = np.zeros(30)
    reward[3] = 2.0
    assert (
        explore.reading(bare(run(line(1)), episode=episode(reward=reward)))[0]
        == "The episode shown has 30 steps, sees 13 of 20 places and earns 2."
    )
    assert explore.reading(bare(run(line(1)), episode=plain_episode([1.0]))) == ["The episode shown has 1 steps."]


def test_the_facts_tell_what_ran():
    facts = dict(data_of(explore.page(full(runs=[rising(updates=7)])))["facts"])
    assert facts == {
        "environment": "outrange/RandomDiscoMaze-v0", "options": "size=7", "side by side": "64", "agent": "ngu", "mixtures": "1", "runs": "1", "steps": "400",
        "of": "1,000", "updates": "7", "time": "8 s",
    }  # fmt: skip


# ---------- tables ----------


def test_every_number_is_listed_with_its_unit_meaning_and_last_value():
    rows = {row["name"]: row for row in data_of(explore.page(bare(rising(odd=3.0), glossary=GLOSSARY)))["numbers"]}
    assert rows["greedy_coverage"]["last"] == 0.8 and rows["greedy_coverage"]["course"] == [0.2, 0.4, 0.6, 0.8]
    assert rows["seconds"]["last"] == 8 and rows["rnd_loss"]["last"] is None
    assert rows["odd"]["meaning"] == "not described here"
    assert set(GLOSSARY) <= set(rows)
    assert (rows["coverage"]["unit"], rows["coverage"]["meaning"]) == ("share", "share of an episode's places")


def test_mixtures_are_listed_one_by_one_or_as_a_family():
    lines = [line(k, **{f"mixture{j}_return": float(j) for j in range(9)}) for k in (1, 2)]

    def rows(glossary):
        numbers = data_of(explore.page(bare(run(*lines), glossary=glossary)))["numbers"]
        return {row["name"]: row for row in numbers if row["name"].startswith("mixture")}

    single = rows({f"mixture{j}_return": Meaning("reward", "of one") for j in range(9)})
    assert {name: row["last"] for name, row in single.items()} == {f"mixture{j}_return": j for j in range(9)}
    family = rows({"mixture*_return": Meaning("reward", "of each"), "mixture*_length": Meaning("steps", "of each")})
    assert set(family) == {"mixture*_return", "mixture*_length"}
    assert (family["mixture*_return"]["last"], family["mixture*_return"]["to"]) == (0, 8)
    assert family["mixture*_length"]["last"] is None


def test_the_evaluation_keeps_the_columns_that_tell_something():
    row = {"run": "a", "env": "x", "mixture": 0, "episodes": 4, "return": 0.0, "coverage": 0.5, "coverage_error": 0.1}
    assert data_of(explore.page(full(evaluation=[row])))["evaluation"] == {
        "columns": ["mixture", "episodes", "coverage"],
        "forms": {"mixture": "whole", "episodes": "whole", "coverage": "share"},
        "rows": [{"mixture": 0, "episodes": 4, "coverage": 0.5, "coverage_error": 0.1}],
    }
    assert data_of(explore.page(full(evaluation=[row, row | {"run": "b"}])))["evaluation"]["columns"] == [
        "run",
        "mixture",
        "episodes",
        "coverage",
    ]


def test_settings_are_flat():
    assert data_of(explore.page(full(config={"a": {"b": 1, "c": True}, "d": ["x", "y"], "e": [], "f": None})))[
        "settings"
    ] == [
        ["a.b", "1"],
        ["a.c", "true"],
        ["d", "x, y"],
    ]


# ---------- maps and the episode ----------


def test_a_map_tells_walls_from_cells_that_were_not_visited():
    packed = data_of(explore.page(full()))["maps"][0]
    assert packed["visits"] == [None, 3, 0, None, 1, 2] and packed["first"] == [None, 1, None, None, 1, 1]
    assert (packed["width"], packed["height"], packed["seen"], packed["free"], packed["walls"]) == (3, 2, 3, 4, True)


def test_pictures_are_the_same_after_the_sheet():
    packed = data_of(explore.page(full()))["episode"]["sheet"]
    assert packed["steps"] == list(range(31))
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(packed["data"].split(",")[1]))).convert("RGB"))
    for frame, picture in enumerate(np.asarray(episode().pictures)):
        y, x = frame // packed["columns"] * packed["height"], frame % packed["columns"] * packed["width"]
        np.testing.assert_array_equal(sheet[y : y + packed["height"], x : x + packed["width"]], picture)


def test_few_colours_are_kept_exactly_and_many_become_the_nearest():
    draw = np.random.default_rng(0)
    few = draw.integers(0, 2, (5, 6, 7, 3), dtype=np.uint8) * 255
    indices, palette = to_palette(few)
    assert len(palette) <= 8
    np.testing.assert_array_equal(palette[indices], few)
    smooth = (
        np.stack(np.meshgrid(np.arange(64) * 4, np.arange(64) * 4, [0, 128], indexing="ij"), -1)
        .reshape(2, 64, 64, 3)
        .astype(np.uint8)
    )
    indices, palette = to_palette(smooth, 200)
    assert indices.shape == smooth.shape[:3] and len(palette) <= 200 and indices.max() < len(palette)
    assert np.abs(palette[indices].astype(int) - smooth).mean() < 12


def test_a_new_place_is_counted_once():
    place = np.array([4, 4, 5, -1, 4, 6, 5])
    packed = data_of(explore.page(bare(episode=plain_episode([1.0] * 6, place=place))))["episode"]
    assert packed["new"] == [0, 2, 5] and packed["place"] == place.tolist()
    assert packed["sheet"] is None and packed["points"] is None and packed["reward"] is None


def test_points_lie_on_their_two_main_axes():
    t = np.linspace(-1, 1, 50)
    axes = np.linalg.qr(np.random.default_rng(2).normal(size=(8, 8)))[0]
    points = np.outer(3 * t, axes[0]) + np.outer(t**2, axes[1]) + 5
    packed = data_of(explore.page(bare(episode=plain_episode(np.ones(50), points=points))))["episode"]["points"]
    x, y = np.array(packed["x"]), np.array(packed["y"])
    assert np.abs(np.corrcoef(x, t)[0, 1]) == pytest.approx(1, abs=1e-6)
    assert np.abs(np.corrcoef(y, t**2)[0, 1]) == pytest.approx(1, abs=1e-6)
    assert packed["shares"] == [
        pytest.approx(9 * t.var() / (9 * t.var() + (t**2).var()), rel=1e-3),
        pytest.approx((t**2).var() / (9 * t.var() + (t**2).var()), rel=1e-3),
    ]
    spread = np.hypot(x[:, None] - x, y[:, None] - y)
    np.testing.assert_allclose(
        spread, np.linalg.norm(points[:, None] - points, axis=-1), atol=5e-3
    )  # the plane holds all there is
    assert packed["steps"] == list(range(1, 51)) and packed["dimension"] == 8


def test_points_of_one_number_and_points_that_are_all_the_same_are_drawn():
    packed = data_of(explore.page(bare(episode=plain_episode(np.ones(4), points=np.arange(4.0)[:, None]))))["episode"][
        "points"
    ]
    assert packed["y"] == [0, 0, 0, 0] and packed["shares"] == [1, 0]
    packed = data_of(explore.page(bare(episode=plain_episode(np.ones(4), points=np.ones((4, 3))))))["episode"]["points"]
    assert packed["x"] == [0, 0, 0, 0] and packed["shares"] == [0, 0]


def test_a_page_that_would_be_too_large_shows_fewer_pictures_then_fewer_maps_and_says_so(monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (101, 20, 20, 3), dtype=np.uint8)
    story = full(episode=plain_episode(np.ones(100), pictures=noise), maps=[maze_map()] * 8)
    whole = len(explore.page(story).encode())
    monkeypatch.setattr(compose, "SIZE_LIMIT", whole - 1000)
    page = explore.page(story)
    assert len(page.encode()) <= compose.SIZE_LIMIT
    steps = data_of(page)["episode"]["sheet"]["steps"]
    assert len(steps) == 50 and steps[0] == 0 and steps[-1] == 100
    assert data_of(page)["limits"] == ["The episode is shown by 50 of its 101 pictures."]
    without = len(explore.page(replace(story, episode=None)).encode())
    monkeypatch.setattr(compose, "SIZE_LIMIT", without + 600)
    page = explore.page(story)
    assert data_of(page)["episode"]["sheet"] is None and "without its 101 pictures" in data_of(page)["limits"][0]
    assert len(data_of(page)["maps"]) < 8 and "maps are shown" in data_of(page)["limits"][1]


def test_a_long_episode_of_large_pictures_stays_below_the_limit():
    t = np.arange(801)
    pictures = np.zeros((801, 105, 80, 3), np.uint8)
    pictures[t, t % 105, t % 80] = 255
    page = explore.page(full(episode=plain_episode(np.random.default_rng(0).random(800), pictures=pictures)))
    assert len(page.encode()) < compose.SIZE_LIMIT
    assert len(data_of(page)["episode"]["sheet"]["steps"]) == compose.FRAMES
