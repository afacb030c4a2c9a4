"""A trace one can look at: the terminal and the page, for every algorithm and for what a user might register."""

import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from rich.console import Console

from outrange.core.errors import BadInput
from outrange.reasoning import clrs
from outrange.reasoning.clrs import picture, show
from outrange.reasoning.clrs.traces import Block, Trace
from outrange.report import stepper

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><b>",
    '"><img onerror=alert(1)>',
    "a & b",
    "\u2028\u2029",
    "__proto__",
    "[red]x[/red]",
    "'; //",
]


def printed(trace: Trace, width: int = 100, steps: int | None = None, colour: bool = False) -> str:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
    )
    show.terminal(trace, console, steps)
    return console.file.getvalue()


def embedded(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="story">(.*?)</script>', page, re.DOTALL).group(1))


def made(spec: clrs.Spec, arguments: list, outputs: list, hints: list, name: str = "own") -> Trace:
    """A trace of an algorithm that nobody registered."""
    size = max(np.size(a) if np.ndim(a) < 2 else len(a) for a in arguments)
    inputs = tuple(np.asarray(a)[None] for a in arguments)
    steps = len(hints[0]) if hints else 0
    recorded = tuple(np.asarray(h) for h in hints)
    return Block(
        name, spec, size, inputs, tuple(np.asarray(o)[None] for o in outputs), recorded, np.array([steps])
    ).traces()[0]


def two_steps(name: str = "own") -> Trace:
    spec = clrs.Spec(
        "own",
        inputs="key node scalar",
        outputs="best node mask_one",
        hints="i node mask_one, seen node mask, total graph scalar",
    )
    hints = [[0, 1], [[1, 0, -1], [1, 1, -1]], [0.5, np.inf]]
    return made(spec, [[0.5, 0.25, 1.0]], [[1]], hints, name)


@pytest.mark.parametrize("name", clrs.ALGORITHMS)
def test_every_algorithm_prints_within_a_hundred_columns(name):
    trace = clrs.sample(name, length=5, seed=1)[0]
    text = printed(trace, steps=trace.length)
    assert max(map(len, text.splitlines())) <= 100
    assert all(f"step {k} / {trace.length - 1}" in text for k in range(trace.length))
    assert all(re.search(rf"\b{probe}\b", text) for probe in trace.spec if probe != "adj")


@pytest.mark.parametrize("name", ["dijkstra", "dfs", "floyd_warshall", "graham_scan", "task_scheduling"])
def test_sixteen_nodes_still_fit_a_hundred_columns(name):
    assert max(map(len, printed(clrs.sample(name, length=16, seed=1)[0]).splitlines())) <= 100


@pytest.mark.parametrize("name", clrs.ALGORITHMS)
def test_every_algorithm_has_a_page_without_external_references_whose_data_round_trip(name):
    trace = clrs.sample(name, length=5, seed=1)[0]
    page, story = picture.page(trace), picture.story(trace)
    assert not re.search(r"https?:|//|\b(?:src|href)\s*=|url\(|@import", page)
    data = embedded(page)
    assert stepper.unpack(story.variables, data["steps"]) == story.steps
    assert len(data["steps"]) == trace.length and [v["name"] for v in data["variables"]] == list(trace.spec.hints)
    for part, quantities in (("variables", story.variables), ("given", story.inputs), ("returned", story.outputs)):
        for packed, quantity in zip(data[part], quantities, strict=True):
            assert packed == {name: value for name, value in asdict(quantity).items() if value not in ("", [])}
    for packed, drawn in zip(data["pictures"], story.pictures, strict=True):
        shown = {name: value for name, value in asdict(drawn).items() if value not in (None, [])}
        assert packed == shown | {"type": drawn.type}
    if story.edges is None:
        assert data["edges"] is None
    else:
        assert data["edges"]["list"] == [list(triple) for triple in story.edges.triples]
        assert (data["edges"]["directed"], data["edges"]["weighted"]) == (story.edges.directed, story.edges.weighted)
    for part in ("title", "subtitle", "notes", "nodes"):
        assert data[part] == getattr(story, part)


@pytest.mark.parametrize("name", ["floyd_warshall", "optimal_bst", "jarvis_march", "strongly_connected_components"])
def test_a_page_of_sixteen_nodes_is_small(name):
    assert len(picture.page(clrs.sample(name, length=16, seed=1)[0]).encode()) < 200_000


def test_the_story_holds_the_trace_as_recorded():
    trace = clrs.sample("bfs", length=6, seed=3)[0]
    story = picture.story(trace)
    assert [step["pi_h"] for step in story.steps] == trace.recorded("pi_h").tolist()
    assert story.outputs[0].value == trace.recorded("pi").tolist()
    assert {quantity.name: quantity.value for quantity in story.inputs}["A"] == trace.recorded("A").tolist()


def test_changed_hints_are_marked_without_colour_and_with_it():
    trace = clrs.sample("bfs", length=5, seed=1)[0]
    changes = sum(int((trace.recorded(name)[1:] != trace.recorded(name)[:-1]).sum()) for name in trace.spec.hints)
    assert printed(trace).count("*") == changes > 0
    assert printed(trace, colour=True).count("\x1b[1;35m") == changes


def test_the_page_knows_exactly_what_changed():
    trace = clrs.sample("bfs", length=5, seed=1)[0]
    steps, pointers = embedded(picture.page(trace))["steps"], trace.recorded("pi_h")
    for k in range(1, trace.length):
        assert steps[k].get("pi_h", [])[::2] == np.flatnonzero(pointers[k] != pointers[k - 1]).tolist()


def test_a_long_trace_shows_its_ends_and_says_how_many_steps_are_left_out():
    trace = clrs.sample("bubble_sort", length=8, seed=1)[0]
    text = printed(trace)
    assert text.count("── step") == 10 and "step 0 /" in text and f"step {trace.length - 1} /" in text
    assert f"{trace.length - 10} steps left out" in text
    assert printed(trace, steps=trace.length).count("── step") == trace.length
    assert printed(trace, steps=1).count("── step") == 1


@pytest.mark.parametrize("steps", [0, -1, 1.5, "all"])
def test_steps_that_are_not_a_positive_number_are_refused(steps):
    with pytest.raises(BadInput, match="steps"):
        printed(two_steps(), steps=steps)


def test_values_read_as_what_they_are():
    text = printed(clrs.sample("dfs", length=4, seed=1)[0])
    assert "white" in text and "grey*" in text and "black" in text and "0.010*" in text
    assert "·" in printed(two_steps()) and "inf*" in printed(two_steps())
    page = embedded(picture.page(two_steps()))
    assert page["steps"][0]["seen"] == [1, 0, None] and page["steps"][1]["total"] == ["inf"]


def test_a_trace_without_hints_can_be_looked_at():
    trace = made(clrs.Spec("own", inputs="key node scalar", outputs="total graph scalar"), [[1.0, 2.0]], [[3.0]], [])
    assert "outputs" in printed(trace) and embedded(picture.page(trace))["steps"] == []


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_are_escaped(hostile):
    page = picture.page(two_steps(hostile))
    assert (
        page.count("<script") == 2
        and page.count("</script") == 2
        and "<img" not in page
        and "\u2028" not in page.split('id="story"')[1]
    )
    assert embedded(page)["title"] == hostile
    assert hostile.split("\u2028")[0] in printed(two_steps(hostile))


def test_hostile_variables_nodes_and_words_are_escaped_and_come_back():
    variables = [stepper.Variable(name=name, shape="row", kind="class", words=HOSTILE) for name in HOSTILE]
    steps = [{name: [0, 1] for name in HOSTILE}, {name: [0, 2] for name in HOSTILE}]
    page = stepper.page(
        stepper.Story(
            title=HOSTILE[0],
            subtitle=HOSTILE[1],
            notes=HOSTILE,
            nodes=HOSTILE[:2],
            variables=variables,
            steps=steps,
        )
    )
    data = embedded(page)
    assert page.count("<script") == 2 and page.count("</script") == 2 and "<img" not in page
    assert [(v["name"], v["words"]) for v in data["variables"]] == [(name, HOSTILE) for name in HOSTILE]
    assert stepper.unpack(variables, data["steps"]) == steps


def pictures(trace: Trace) -> list[str]:
    assert picture.page(trace)
    return [drawn.type for drawn in picture.story(trace).pictures]


def test_an_algorithm_of_ones_own_gets_the_picture_that_its_probes_ask_for():
    matrix, still = np.array([[0, 2], [1, 0]]), [[0, 0], [0, 0]]
    graph = clrs.Spec("own", inputs="M edge scalar", outputs="out node pointer", hints="out_h node pointer")
    assert pictures(made(graph, [matrix], [[0, 0]], [still])) == ["graph"]
    assert picture.story(made(graph, [matrix], [[0, 0]], [still])).edges == stepper.Edges(
        directed=True, weighted=True, triples=[(0, 1, 2), (1, 0, 1)]
    )
    plane = clrs.Spec("own", inputs="x node scalar, y node scalar", outputs="far node mask", hints="far_h node mask")
    assert pictures(made(plane, [[0.0, 1.0], [1.0, 0.0]], [[0, 1]], [still])) == ["plane"]
    intervals = clrs.Spec(
        "own", inputs="start node scalar, end node scalar", outputs="taken node mask", hints="taken_h node mask"
    )
    assert pictures(made(intervals, [[0.0, 0.5], [0.4, 1.0]], [[1, 1]], [still])) == ["intervals"]
    table = clrs.Spec("own", inputs="key node scalar", outputs="T edge scalar", hints="T_h edge scalar")
    assert pictures(made(table, [[0.0, 0.5]], [matrix], [np.array([matrix * 0.0, matrix * 1.0])])) == ["grid", "row"]


def test_a_sort_is_drawn_in_its_present_order():
    sort = clrs.Spec(
        "own", inputs="key node scalar", outputs="pred node should_be_permutation", hints="pred_h node pointer"
    )
    row = picture.story(made(sort, [[3.0, 1.0, 2.0]], [[2, 1, 1]], [[[0, 0, 1], [2, 1, 1]]])).pictures[0]
    assert isinstance(row, stepper.RowPicture)
    assert row.order == "pred_h" and row.arrows == [] and row.lanes == ["key"]


def test_a_story_that_is_wrong_is_refused_in_one_sentence():
    good = {
        "title": "t",
        "nodes": ["0"],
        "variables": [stepper.Variable(name="v", shape="one", kind="number")],
        "steps": [{"v": 1}],
    }
    assert stepper.page(stepper.Story(**good))
    for wrong, says in (
        ({"steps": [{}]}, "step 0 has no value for 'v'"),
        ({"pictures": [stepper.GraphPicture(badges=["w"])]}, "'w'"),
        ({"pictures": [stepper.RowPicture(spans=[["v", "w"]])]}, "'w'"),
        ({"pictures": [stepper.GridPicture(name="w", rows=[0], columns=[0])]}, "'w'"),
    ):
        with pytest.raises(BadInput, match=says):
            stepper.Story(**good | wrong)
    with pytest.raises(BadInput, match="cube"):
        stepper.Variable(name="v", shape="cube", kind="number")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="colour"):
        stepper.Variable(name="v", shape="one", kind="colour")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="extra"):
        stepper.Story(**good, extra=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="steps"):
        stepper.Story(title="t", nodes=[], variables=[])  # type: ignore[call-arg]


def test_the_stepper_loads_neither_torch_nor_numba():
    check = "import sys, outrange.report.stepper; sys.exit(any(name in sys.modules for name in ('torch', 'numba', 'numpy', 'outrange.reasoning')))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser")
def test_pages_draw_themselves_in_a_browser_without_errors(tmp_path):
    api = pytest.importorskip("playwright.sync_api")
    names = ("dijkstra", "heapsort", "lcs_length", "mst_kruskal", "kmp_matcher", "jarvis_march", "activity_selector")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        tab, problems = browser.new_page(), []
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        for trace in [*(clrs.sample(name, length=5, seed=1)[0] for name in names), two_steps(HOSTILE[0])]:
            (tmp_path / "page.html").write_text(picture.page(trace), encoding="utf-8")
            tab.goto(f"{(tmp_path / 'page.html').as_uri()}?{trace.name.encode().hex()}#step=1")
            assert tab.inner_text("#counter").startswith(f"step {min(1, trace.length - 1)} ")
            for _ in range(min(trace.length, 6)):
                tab.keyboard.press("ArrowRight")
            tab.keyboard.press("End")
            assert tab.inner_text("#counter") == f"step {trace.length - 1} / {trace.length - 1}"
            assert tab.locator("#returned.done").count() == 1 and tab.inner_text("h1") == trace.name
            assert tab.locator("#picture svg *").count() > 5
            tab.keyboard.press("Home")
            assert tab.inner_text("#counter").startswith("step 0 ")
        browser.close()
    assert problems == []
