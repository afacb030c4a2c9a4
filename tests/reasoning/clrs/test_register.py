"""An algorithm of one's own: registered, traced, sampled and in a dataset like the thirty; and what registering and
running it refuses.

Spec, generator and sampler are all there is to write. The two here are a selection sort (keys, pointers, one-hots) and
the out-degrees of a graph (edges, masks, a graph scalar, an option, no permutation).
"""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from outrange.core.errors import BadInput
from outrange.reasoning import clrs

SORT = clrs.Spec(
    "sorting",
    inputs="key node scalar",
    outputs="pred node should_be_permutation, least node mask_one",
    hints="pred_h node pointer, i node mask_one, least_h node mask_one",
)
SortHints = clrs.hints(SORT)


def selection_sort(key, pred, least):
    """One step a selected element: ``i`` the place being filled, ``least_h`` the node that goes there, ``pred_h`` the
    chain of the nodes selected so far.
    """
    n = len(key)
    selected = np.zeros(n, np.int8)
    last = -1
    for v in range(n):
        pred[v] = v
    for i in range(n):
        best = -1
        for v in range(n):
            if selected[v] == 0 and (best == -1 or key[v] < key[best]):
                best = v
        selected[best] = 1
        if last >= 0:
            pred[best] = last
        else:
            least[0] = best
        last = best
        yield SortHints(pred_h=pred, i=i, least_h=best)


def draw_keys(rng, length, high=1.0):
    """Keys uniform below ``high``."""
    return {"key": rng.uniform(0, high, length)}


DEGREES = clrs.Spec(
    "graphs",
    inputs="A edge scalar int, adj edge mask",
    outputs="isolated node mask, sinks graph scalar",
    hints="u node mask_one, isolated_h node mask, seen edge mask, edges graph scalar",
)
DegreeHints = clrs.hints(DEGREES)


def out_degrees(A, isolated, sinks):
    """One step a node: which nodes turned out to have no edge out, the pairs looked at, and the number of edges so far."""
    n = A.shape[0]
    examined = np.zeros((n, n), np.int8)
    edges = 0.0
    for u in range(n):
        degree = 0
        for v in range(n):
            examined[u, v] = 1
            if A[u, v] != 0:
                degree += 1
        edges += degree
        if degree == 0:
            isolated[u] = 1
            sinks[0] += 1.0
        yield DegreeHints(u, isolated, examined, edges)


def draw_graph(rng, length, *, p=0.5):
    """A directed graph of independent edges."""
    return {"A": (rng.random((length, length)) < p).astype(int)}


numbers = itertools.count()


def fresh():
    """A name that no other test takes."""
    return f"own_algorithm_{next(numbers)}"


@pytest.fixture(scope="module", autouse=True)
def _own_algorithms():
    """The two above are known in this file only: what is registered here is forgotten after it."""
    names_before = set(clrs.names())
    clrs.register("own_selection_sort", SORT, selection_sort, draw_keys)
    clrs.register("own_out_degrees", DEGREES, out_degrees, draw_graph)
    yield
    for name in set(clrs.names()) - names_before:
        clrs.unregister(name)


# ---------- like the thirty


def test_a_registered_algorithm_is_known_by_name_and_the_thirty_stay_thirty():
    assert "own_selection_sort" in clrs.names() and list(clrs.names()) == sorted(clrs.names())
    assert len(clrs.ALGORITHMS) == 30 and "own_selection_sort" not in clrs.ALGORITHMS
    assert list(clrs.spec("own_selection_sort")) == ["pos", "key", "pred", "least", "pred_h", "i", "least_h"]
    assert clrs.spec("own_out_degrees")["seen"] == clrs.Probe("hint", "edge", "mask")


def test_hints_are_a_named_tuple_in_the_order_of_the_spec():
    assert SortHints._fields == ("pred_h", "i", "least_h") and DegreeHints._fields == (
        "u",
        "isolated_h",
        "seen",
        "edges",
    )


def test_a_registered_sort_is_traced_step_by_step():
    # keys 3, 1, 2: selected are nodes 1, 2, 0
    t = clrs.trace("own_selection_sort", {"key": [3.0, 1.0, 2.0]})
    assert (t.name, t.size, t.length) == ("own_selection_sort", 3, 3)
    assert t.hints["least_h"].tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert t.hints["i"].tolist() == np.eye(3).tolist()
    assert t.hints["pred_h"].tolist() == [[0, 1, 2], [0, 1, 1], [2, 1, 1]]
    assert t.outputs["pred"].tolist() == [2, 1, 1] and t.outputs["least"].tolist() == [0, 1, 0]
    assert t.inputs["pos"].tolist() == [0, 1 / 3, 2 / 3]
    assert [t.hints[k].dtype for k in ("pred_h", "i")] == [np.int32, np.int8] and t.outputs["least"].dtype == np.int8


def test_a_registered_graph_algorithm_is_traced_with_adj_derived():
    # 0 -> 0, 0 -> 1; 1 has no edge out
    t = clrs.trace("own_out_degrees", {"A": [[1, 1], [0, 0]]})
    assert t.inputs["adj"].tolist() == [[1, 1], [0, 1]]
    assert t.outputs["isolated"].tolist() == [0, 1] and t.outputs["sinks"] == 1.0 and t.outputs["sinks"].shape == ()
    assert t.hints["edges"].tolist() == [2.0, 2.0] and t.hints["isolated_h"].tolist() == [[0, 0], [0, 1]]
    assert t.hints["seen"].tolist() == [[[1, 1], [0, 0]], [[1, 1], [1, 1]]]


def test_outputs_start_from_zero_for_every_sample():
    for t in clrs.sample("own_out_degrees", length=5, count=40, seed=1, p=0.1):
        empty = ~t.inputs["A"].any(1)
        assert t.outputs["isolated"].tolist() == empty.tolist() and t.outputs["sinks"] == empty.sum()


def test_samples_repeat_by_seed_and_take_the_samplers_options():
    a, b, c = (clrs.sample("own_selection_sort", length=6, count=5, seed=seed, high=2.0) for seed in (1, 1, 2))
    keys = [[t.inputs["key"].tolist() for t in traces] for traces in (a, b, c)]
    assert keys[0] == keys[1] != keys[2] and len({tuple(k) for k in keys[0]}) == 5
    assert max(max(k) for k in keys[0]) > 1.0
    for t in a:
        assert t.outputs["least"].argmax() == t.inputs["key"].argmin()
    for p in (0.0, 1.0):
        assert all((t.inputs["A"] == p).all() for t in clrs.sample("own_out_degrees", length=4, count=3, p=p))


def test_a_dataset_mixes_registered_algorithms_with_the_thirty():
    data = clrs.dataset(
        ["own_selection_sort", "bfs", "own_out_degrees"],
        lengths=[4, 6],
        seed=0,
        count=30,
        options={"own_out_degrees": {"p": 1.0}},
    )
    assert {t.name for t in data} == {"own_selection_sort", "bfs", "own_out_degrees"}
    assert all(t.inputs["A"].all() for t in data if t.name == "own_out_degrees")
    alone = clrs.dataset("own_selection_sort", lengths=[6], seed=0)[0:5]
    among = [t for t in data if t.name == "own_selection_sort" and t.size == 6]
    assert len(among) == 5 and all(
        (a.inputs["key"] == b.inputs["key"]).all() for a, b in zip(alone, among, strict=True)
    )
    for i, t in enumerate(data):
        assert data[i].name == t.name and all(
            (data[i].inputs[probe] == value).all() for probe, value in t.inputs.items()
        )


def test_truncation_cuts_a_registered_samplers_floats():
    exact = clrs.sample("own_selection_sort", length=6, seed=3)[0].inputs["key"]
    cut = clrs.sample("own_selection_sort", length=6, seed=3, truncate_decimals=2)[0].inputs["key"]
    assert (cut == np.trunc(exact * 100) / 100).all()


def test_inputs_of_a_registered_algorithm_are_checked_as_those_of_the_thirty():
    for inputs, word in (
        ({"key": [1.0, float("nan")]}, "nan"),
        ({}, "'key'"),
        ({"kye": [1.0, 2.0]}, "did you mean 'key'"),
        ({"key": [[1.0], [2.0]]}, "(2, 1)"),
    ):
        refused(lambda inputs=inputs: clrs.trace("own_selection_sort", inputs), "own_selection_sort", word)
    refused(lambda: clrs.sample("own_selection_sort", 4, higher=3), "'higher'", "high")
    refused(lambda: clrs.sample("own_selection_sort", 0), "length", "0")


def test_a_mapping_of_probes_is_a_spec():
    name = fresh()
    clrs.register(name, dict(SORT), selection_sort, draw_keys)
    assert list(clrs.spec(name)) == list(SORT)
    assert clrs.trace(name, {"key": [2.0, 1.0]}).outputs["pred"].tolist() == [1, 1]


# ---------- refusals

MARK = clrs.Spec(
    "own", inputs="key node scalar", outputs="mark node pointer", hints="mark_h node pointer, i node mask_one"
)
MarkHints = clrs.hints(MARK)
Shorter = clrs.hints(
    clrs.Spec("own", inputs="key node scalar", outputs="mark node pointer", hints="mark_h node pointer")
)
Longer = clrs.hints(
    clrs.Spec(
        "own",
        inputs="key node scalar",
        outputs="mark node pointer",
        hints="mark_h node pointer, i node mask_one, j node mask_one",
    )
)


def refused(call, *words):
    """The call raises BadInput with one line that holds all the words."""
    with pytest.raises(BadInput) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and 20 < len(message) < 400, message
    for word in words:
        assert str(word) in message, f"{word!r} is not in: {message}"


def register_refused(algorithm, *words, spec=MARK, sampler=draw_keys, name=None):
    name = fresh() if name is None else name
    refused(lambda: clrs.register(name, spec, algorithm, sampler), "register", *words)
    assert name not in clrs.names() or name in clrs.ALGORITHMS


def mark(key, mark):
    yield MarkHints(mark, 0)


def too_few(key):
    yield MarkHints(key, 0)


def too_many(key, mark, more):
    yield MarkHints(mark, 0)


def with_default(key, mark, more=3):
    yield MarkHints(mark, 0)


def renamed(keys, mark):
    yield MarkHints(mark, 0)


def outputs_first(mark, key):
    yield MarkHints(mark, 0)


def returns(key, mark):
    return MarkHints(mark, 0)


async def asynchronous(key, mark):
    yield MarkHints(mark, 0)


class Callable:
    def method(self, key, mark):
        yield MarkHints(mark, 0)

    def __call__(self, key, mark):
        yield MarkHints(mark, 0)


def test_parameters_must_be_the_inputs_and_then_the_outputs():
    register_refused(too_few, "1", "2", "key", "mark")
    register_refused(too_many, "3", "2", "key, mark, more")
    register_refused(with_default, "3", "2")
    register_refused(renamed, "keys", "key")
    register_refused(outputs_first, "key", "order")
    register_refused(Callable().method, "3", "2")


@pytest.mark.parametrize(
    "thing",
    [returns, asynchronous, Callable(), Callable, len, None, "mark", 3],
    ids=lambda thing: getattr(thing, "__name__", repr(thing)[:20]),
)
def test_what_is_not_a_generator_function_is_refused(thing):
    register_refused(thing, "algorithm", "generator function")


def test_taken_names_are_refused_and_replaced_only_on_request():
    register_refused(mark, "'bfs'", "taken", name="bfs")
    name = fresh()
    clrs.register(name, MARK, mark, draw_keys)
    refused(lambda: clrs.register(name, MARK, mark, draw_keys), "register name", repr(name), "taken", "replace=True")
    clrs.register(name, SORT, selection_sort, draw_keys, replace=True)
    assert "least" in clrs.spec(name) and clrs.trace(name, {"key": [2.0, 1.0]}).length == 2
    refused(lambda: clrs.register("bfs", MARK, mark, draw_keys, replace=True), "'bfs'", "thirty")
    assert list(clrs.spec("bfs"))[:2] == ["pos", "s"]


def test_a_registered_algorithm_can_be_forgotten_and_the_thirty_cannot():
    name = fresh()
    clrs.register(name, MARK, mark, draw_keys)
    clrs.unregister(name)
    assert name not in clrs.names()
    refused(lambda: clrs.unregister(name), "unregister name", repr(name))
    refused(lambda: clrs.unregister("bfs"), "unregister name", "'bfs'")


@pytest.mark.parametrize("name", ["", "two words", "1st", "a-b", "bfs\n", None, 3], ids=repr)
def test_a_name_is_an_identifier(name):
    refused(lambda: clrs.register(name, MARK, mark, draw_keys), "register name", "identifier")


def test_a_name_too_long_for_the_name_of_a_file_is_refused():
    refused(lambda: clrs.register("x" * 300, MARK, mark, draw_keys), "register name")


@pytest.mark.parametrize("spec", [None, "sorting", 3, ["key"]], ids=repr)
def test_a_spec_is_a_spec_or_a_mapping_of_probes(spec):
    register_refused(mark, "spec", spec=spec)


def test_a_mapping_that_holds_no_probes_or_no_output_is_refused():
    refused(lambda: clrs.register(fresh(), {"key": 1}, mark, draw_keys), "spec", "key", "1", "Probe")
    refused(
        lambda: clrs.register(fresh(), {"key": clrs.Probe("input", "node", "scalar")}, mark, draw_keys),
        "spec outputs",
        "none",
    )


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ({"inputs": "key node", "outputs": "o node mask"}, ["'key node'", "name location type"]),
        ({"inputs": "key nod scalar", "outputs": "o node mask"}, ["location", "'nod'", "node"]),
        ({"inputs": "key node scaler", "outputs": "o node mask"}, ["type", "'scaler'", "scalar"]),
        ({"inputs": "key node scalar", "outputs": "key node mask"}, ["'key'", "twice"]),
        ({"inputs": "key node scalar", "outputs": ""}, ["outputs", "none"]),
        ({"inputs": "", "outputs": "o node mask"}, ["inputs", "none"]),
        ({"inputs": "adj edge mask, key node scalar", "outputs": "o node mask"}, ["'adj'", "A"]),
        ({"inputs": "key node categorical", "outputs": "o node mask"}, ["classes", "0"]),
        ({"inputs": "key node categorical -3", "outputs": "o node mask"}, ["'-3'"]),
        ({"inputs": "key node scalar 3", "outputs": "o node mask"}, ["classes", "3"]),
        ({"inputs": "key node scalar", "outputs": "o graph pointer"}, ["'pointer'", "graph"]),
        ({"inputs": "key node scalar", "outputs": "o graph mask_one"}, ["'mask_one'", "graph"]),
        ({"inputs": "my-key node scalar", "outputs": "o node mask"}, ["'my-key node scalar'"]),
    ],
    ids=lambda value: value.get("inputs", "") + " / " + value.get("outputs", "") if isinstance(value, dict) else "",
)
def test_a_spec_that_says_something_impossible_is_refused(lines, words):
    refused(lambda: clrs.Spec("own", **lines), *words)


def bad_sampler_one(rng):
    return {}


@pytest.mark.parametrize("sampler", [None, 3, "keys", bad_sampler_one], ids=lambda s: getattr(s, "__name__", repr(s)))
def test_a_sampler_takes_a_generator_and_a_length(sampler):
    register_refused(mark, "sampler", "rng, length", sampler=sampler)


def needs_more(rng, length, more):
    return {"key": rng.random(length)}


def test_a_sampler_parameter_without_a_default_is_refused_when_registering_or_when_sampling():
    name = fresh()

    def attempt():
        clrs.register(name, MARK, mark, needs_more)
        clrs.sample(name, 4)

    refused(attempt, "sampler", "more")


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda rng, length: None, ["sampler", "None", "dict"]),
        (lambda rng, length: rng.random(length), ["sampler", "dict"]),
        (lambda rng, length: {}, ["'key'", "missing"]),
        (lambda rng, length: {"keys": rng.random(length)}, ["'keys'", "did you mean 'key'"]),
        (lambda rng, length: {"key": rng.random((length, 2))}, ["key", "(4, 2)"]),
        (lambda rng, length: {"key": np.full(length, np.nan)}, ["key", "nan"]),
        (lambda rng, length: {"key": ["a"] * length}, ["key", "numbers"]),
    ],
    ids=["None", "an array", "an empty dict", "another name", "a matrix", "nan", "strings"],
)
def test_what_a_sampler_returns_is_checked(returned, words):
    name = fresh()
    clrs.register(name, MARK, mark, returned)
    refused(lambda: clrs.sample(name, 4), name, *words)
    refused(lambda: clrs.dataset([name], [4])[0], name, *words)


# What only shows when the algorithm first runs.


def marks(key, mark):
    yield MarkHints(mark, 0)


def yields_from(key, mark):
    yield from marks(key, mark)


def uses_what_yield_returns(key, mark):
    sent = yield MarkHints(mark, 0)
    mark[0] = sent


def bare_yield(key, mark):
    yield


def yields_an_array(key, mark):
    yield mark


def too_few_arguments(key, mark):
    yield MarkHints(mark)


def too_many_arguments(key, mark):
    yield MarkHints(mark, 0, 0)


def too_few_hints(key, mark):
    yield Shorter(mark)


def too_many_hints(key, mark):
    yield Longer(mark, 0, 0)


def a_matrix_for_a_node_hint(key, mark):
    yield MarkHints(np.zeros((len(key), len(key))), 0)


def an_array_for_a_one_hot(key, mark):
    yield MarkHints(mark, mark)


def unknown_name(key, mark):
    yield MarkHints(mark, nowhere)  # noqa: F821


def closing_over(offset):
    def closed(key, mark):
        yield MarkHints(mark, offset)

    return closed


def mixed_dictionary(key, mark):
    table = {"a": 1}
    table["b"] = "two"
    yield MarkHints(mark, 0)


#: What is wrong, and what its refusal must say.
AT_FIRST_RUN = {
    yields_from: ["yield from"],
    uses_what_yield_returns: ["yield"],
    bare_yield: ["yield"],
    yields_an_array: ["hint"],
    too_few_arguments: ["hint"],
    too_many_arguments: ["hint"],
    too_few_hints: ["hint"],
    too_many_hints: ["hint"],
    a_matrix_for_a_node_hint: ["hint"],
    an_array_for_a_one_hot: ["hint"],
    unknown_name: ["nowhere"],
    mixed_dictionary: ["compile"],
    closing_over(1): ["offset", "module level"],
}


@pytest.mark.parametrize("algorithm", AT_FIRST_RUN, ids=lambda f: f.__name__)
def test_an_algorithm_that_cannot_be_recorded_is_explained_in_one_sentence(algorithm):
    name = fresh()

    def attempt():
        clrs.register(name, MARK, algorithm, draw_keys)
        clrs.trace(name, {"key": [1.0, 2.0, 3.0]})

    refused(attempt, *AT_FIRST_RUN[algorithm])


def too_short_an_array(key, mark):
    yield MarkHints(mark[:2], 0)


def too_long_an_array(key, mark):
    yield MarkHints(np.zeros(len(key) + 1, np.int64), 0)


def index_beyond_the_nodes(key, mark):
    yield MarkHints(mark, len(key))


def half_an_index(key, mark):
    yield MarkHints(mark, 0.5)


def pointer_beyond_the_nodes(key, mark):
    mark[0] = len(key)
    yield MarkHints(mark, 0)


def no_step_at_all(key, mark):
    if len(key) > 1000:
        yield MarkHints(mark, 0)


@pytest.mark.parametrize("algorithm", [too_short_an_array, too_long_an_array], ids=lambda f: f.__name__)
def test_a_hint_of_another_length_than_its_probe_is_refused(algorithm):
    name = fresh()
    clrs.register(name, MARK, algorithm, draw_keys)
    with pytest.raises(ValueError, match=".{20}"):
        clrs.trace(name, {"key": [1.0, 2.0, 3.0]})


@pytest.mark.parametrize(
    "algorithm",
    [index_beyond_the_nodes, half_an_index, pointer_beyond_the_nodes, no_step_at_all],
    ids=lambda f: f.__name__,
)
def test_a_value_that_is_not_of_its_probes_kind_is_found_by_the_check(algorithm):
    name = fresh()
    clrs.register(name, MARK, algorithm, draw_keys)
    with pytest.raises(BadInput) as caught:
        clrs.check_algorithm(name)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_the_check_passes_an_algorithm_that_keeps_its_promises():
    assert clrs.check_algorithm("own_out_degrees")


def test_the_check_survives_a_hint_that_is_not_yet_the_chain_its_output_will_be():
    # in a process of its own: before its last step, pred_h of the selection sort has several heads, and nothing may
    # follow it out of the array
    script = "import test_register as t; t.clrs.register('own_sort', t.SORT, t.selection_sort, t.draw_keys); print(len(t.clrs.check_algorithm('own_sort')))"
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0 and int(run.stdout) > 0, f"return code {run.returncode}: {run.stderr[-300:]}"


def changes_its_input(key, mark):
    key[0] = 9.0
    yield MarkHints(mark, 0)


def test_an_algorithm_cannot_change_the_users_array():
    name, key = fresh(), np.array([1.0, 2.0, 3.0])
    clrs.register(name, MARK, changes_its_input, draw_keys)
    try:
        clrs.trace(name, {"key": key})
    except BadInput:
        pass  # refusing is as good
    assert key.tolist() == [1.0, 2.0, 3.0]


def raises(key, mark):
    yield MarkHints(mark, 0)
    if key[0] > 2.0:
        raise ValueError("the first key is above 2")


def test_an_error_raised_by_the_algorithm_reaches_the_caller():
    name = fresh()
    clrs.register(name, MARK, raises, draw_keys)
    assert clrs.trace(name, {"key": [1.0, 2.0]}).length == 1
    with pytest.raises(ValueError, match="above 2"):
        clrs.trace(name, {"key": [3.0, 2.0]})
