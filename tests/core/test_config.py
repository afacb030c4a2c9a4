"""Configurations go to JSON and back without loss, and every malformed one is a sentence that names the setting."""

import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import pytest

from outrange.core import config
from outrange.core.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Model:
    hidden: int = 128
    kind: Literal["wide", "deep"] = "wide"


@dataclass(frozen=True, kw_only=True)
class Training:
    names: tuple[str, ...]
    model: Model = field(default_factory=Model)
    rate: float = 1e-3
    lengths: tuple[int, ...] | None = None
    pair: tuple[int, float] = (1, 2.0)
    gate: bool = True
    note: str | None = None
    device: Literal["cpu"] | int = "cpu"
    depth: Literal[1, 2] = 1

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise BadInput(f"training.rate: {self.rate} is not allowed; it must be above 0")


ONE = Training(names=("bfs",), lengths=(4, 7), model=Model(hidden=8, kind="deep"), note="é", device=3)


def test_a_configuration_comes_back_from_json_as_it_was():
    assert config.from_json(Training, json.loads(json.dumps(config.to_json(ONE)))) == ONE


def test_what_json_leaves_out_takes_its_default():
    assert config.from_json(Training, {"names": ["bfs"]}) == Training(names=("bfs",))


def test_a_whole_number_is_taken_for_a_float_and_has_the_same_digest():
    assert type(config.from_json(Training, {"names": [], "rate": 1}).rate) is float
    assert config.digest(Training(names=(), rate=1)) == config.digest(Training(names=(), rate=1.0))


def test_the_digest_does_not_depend_on_the_order_of_keys_but_on_every_value():
    data = config.to_json(ONE)
    assert config.digest(ONE) == config.digest(dict(reversed(data.items())))
    assert (
        len(
            {
                config.digest(c)
                for c in (ONE, replace(ONE, gate=False), replace(ONE, model=Model()), replace(ONE, lengths=None))
            }
        )
        == 4
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nmaes": 1}, "config.nmaes: 'nmaes' is not a setting of config; did you mean 'names'?"),
        (
            {"model": {"hiden": 1}},
            "config.model.hiden: 'hiden' is not a setting of config.model; did you mean 'hidden'?",
        ),
        (
            {"model": {"hidden": "many"}},
            "config.model.hidden: 'many' is not allowed; it must be a whole number of at most 64 bits",
        ),
        ({"model": {"hidden": True}}, "config.model.hidden: True is not allowed"),
        ({"model": {"hidden": 1.0}}, "config.model.hidden: 1.0 is not allowed"),
        ({"model": {"hidden": 1 << 64}}, "config.model.hidden: 18446744073709551616 is not allowed"),
        ({"model": {"kind": "wied"}}, "config.model.kind: 'wied' is not allowed; did you mean 'wide'?"),
        ({"model": {"kind": 1}}, "config.model.kind: 1 is not allowed; it must be one of 'wide', 'deep'"),
        ({"model": [1]}, "config.model: [1] is not allowed; it must be an object"),
        ({"model": None}, "config.model: None is not allowed; it must be an object"),
        ({"names": "bfs"}, "config.names: 'bfs' is not allowed; it must be a list, each item text"),
        ({"names": ["bfs", 3]}, "config.names[1]: 3 is not allowed; it must be text"),
        ({"names": ["\ud800"]}, "config.names[0]: '\\ud800' is not allowed"),
        ({"lengths": [4, None]}, "config.lengths[1]: None is not allowed"),
        (
            {"pair": [1]},
            "config.pair: [1] is not allowed; it must be a list of 2: a whole number of at most 64 bits, a finite number",
        ),
        ({"rate": float("nan")}, "config.rate: nan is not allowed; it must be a finite number"),
        ({"rate": float("inf")}, "config.rate: inf is not allowed"),
        ({"rate": True}, "config.rate: True is not allowed"),
        ({"rate": 10**400}, "config.rate: "),
        ({"rate": -1}, "training.rate: -1.0 is not allowed; it must be above 0"),
        ({"gate": 1}, "config.gate: 1 is not allowed; it must be true or false"),
        ({"depth": True}, "config.depth: True is not allowed; it must be one of 1, 2"),
        ({"note": 1}, "config.note: 1 is not allowed; it must be text"),
        ({"device": "gpu"}, "config.device: 'gpu' is not allowed; it must be one of 'cpu' or a whole number"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence_with_its_whole_path(change, message):
    with pytest.raises(BadInput) as refused:
        config.from_json(Training, {"names": ["bfs"]} | change)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_a_missing_setting_is_named():
    with pytest.raises(BadInput, match=r"^config.names: is missing; it must be a list, each item text$"):
        config.from_json(Training, {})


def test_a_wrong_type_in_a_configuration_made_in_python_is_found_before_it_is_written():
    with pytest.raises(BadInput, match=r"^config.model.hidden: '8' is not allowed"):
        config.to_json(replace(ONE, model=Model(hidden="8")))  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"^config.rate: nan"):
        config.to_json(replace(ONE, rate=float("nan")))


def test_a_file_is_read(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(config.to_json(ONE)))
    assert config.load(Training, tmp_path / "c.json") == ONE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON: Expecting value at line 1, column 1"),
        (b'{"names": []', "is not JSON: "),
        (b"\xef\xbb\xbf{}", "begins with a byte-order mark"),
        ('{"names": []}'.encode("utf-16"), "begins with a byte-order mark"),
        (b'{"note": "\xff"}', "is not UTF-8 at byte 10"),
        (b'{"names": [], "names": []}', "has the key 'names' twice"),
        (b'{"model": {"hidden": 1, "hidden": 2}}', "has the key 'hidden' twice"),
        (b'{"rate": NaN}', "NaN is not JSON"),
        (b'{"rate": -Infinity}', "-Infinity is not JSON"),
        (b'{"rate": ' + b"1" * 5000 + b"}", "holds a number that is not allowed"),
        (b'{"rate": 1e999, "names": []}', "config.rate: inf is not allowed"),
        (b"[" * 500_000, "is nested more than 64 deep"),
        (b"[" * 70 + b"]" * 70, "is nested more than 64 deep"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "is nested more than 64 deep"),
        (b"[1, 2]", "does not hold an object, but [1, 2]"),
        (b" " * (1 << 20) + b"{}", "is larger than 1,048,576 bytes"),
    ],
)
def test_a_malformed_file_is_refused_in_one_short_sentence(tmp_path, content, message):
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(BadInput) as refused:
        config.load(Training, tmp_path / "c.json")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_hundred_megabytes_are_not_read(tmp_path):
    with open(tmp_path / "c.json", "wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(BadInput, match="is larger than 1,048,576 bytes"):
        config.load(Training, tmp_path / "c.json")


def test_what_is_no_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "absent.json"):
        with pytest.raises(BadInput, match="is not a file"):
            config.load(Training, path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"model": {"hidden": 8, "kind": "wide"}}, 'model.kind "deep", now "wide"'),
        ({"rate": 2.0, "gate": False}, "rate 0.001, now 2.0"),
        ({"gate": 1}, "gate true, now 1"),
        ({"new": 1}, "new absent, now 1"),
        ({"lengths": None}, "lengths [4, 7], now null"),
    ],
)
def test_the_first_difference_is_named_with_both_values(change, said):
    data = config.to_json(ONE)
    assert config.differing(data, data | change) == said


def test_configurations_load_no_torch():
    code = "import sys, outrange.core.config, outrange.core.run, outrange.core.runs, outrange.core.metrics; print([m for m in ('torch', 'numpy', 'safetensors') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# ------------------------------------------------------------------------------------------------------------------------------ dotted changes


def test_settings_change_by_their_dotted_names_and_the_rest_stays():
    after = config.changed(ONE, {"model.hidden": 9, "lengths": (5,), "names": ["bfs", "dfs"], "rate": 1})
    assert after == replace(ONE, model=replace(ONE.model, hidden=9), lengths=(5,), names=("bfs", "dfs"), rate=1.0)
    assert config.changed(ONE, {}) == ONE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.hiden": 1}, "set: 'model.hiden' is not a setting; did you mean 'model.hidden'?"),
        ({"modle.hidden": 1}, "set: 'modle.hidden' is not a setting; did you mean 'model.hidden'?"),
        ({"model": 1}, "set: 'model' is not a setting"),
        ({"names.first": 1}, "set: 'names.first' is not a setting"),
        ({"model.hidden": "many"}, "config.model.hidden: 'many' is not allowed; it must be a whole number"),
        ({"rate": 0.0}, "training.rate: 0.0 is not allowed; it must be above 0"),
    ],
)
def test_a_change_of_what_is_not_there_or_does_not_fit_is_refused(changes, message):
    with pytest.raises(BadInput) as refused:
        config.changed(ONE, changes, "set")
    assert str(refused.value).startswith(message)


# ------------------------------------------------------------------------------------------------------------------ what earlier versions wrote


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    learning_rate: float = 1e-3
    batch_size: int = 32


@dataclass(frozen=True, kw_only=True)
class Trial:
    RENAMED: ClassVar = {"rate": "optimisation.learning_rate", "learner.batch": "optimisation.batch_size", "n": "steps"}
    REMOVED: ClassVar = {"gate": "the model decides it", "learner.clip": "nothing is cut"}

    steps: int = 10
    optimisation: Optimisation = field(default_factory=Optimisation)
    kind: str = "plain"

    @staticmethod
    def upgrade(data):
        data.pop("learner_kind", None)
        if data.get("kind") == "simple":
            data["kind"] = "plain"
        return data


def test_former_names_are_read_as_those_of_today_also_where_they_lay_elsewhere():
    data = {"rate": 0.5, "learner": {"batch": 4}, "n": 3, "kind": "simple", "learner_kind": 1}
    before = json.loads(json.dumps(data))
    assert config.from_json(Trial, data) == Trial(steps=3, optimisation=Optimisation(learning_rate=0.5, batch_size=4))
    assert data == before, "what was read has changed"
    with pytest.raises(BadInput, match="config.learner: 'learner' is not a setting"):
        config.from_json(Trial, {"learner": {"batch": 4, "btach": 4}})
    assert config.to_json(Trial()) == {
        "steps": 10,
        "optimisation": {"learning_rate": 1e-3, "batch_size": 32},
        "kind": "plain",
    }


def test_a_name_that_is_there_twice_and_one_that_is_gone_are_refused():
    with pytest.raises(BadInput, match=r"^config.steps: is there twice, also under its former name 'n'; keep one$"):
        config.from_json(Trial, {"n": 3, "steps": 3})
    gone = r"^config.gate: there is no such setting any more; the model decides it$"
    with pytest.raises(BadInput, match=gone):
        config.from_json(Trial, {"gate": False})
    with pytest.raises(BadInput, match=r"^config.learner.clip: there is no such setting any more; nothing is cut$"):
        config.from_json(Trial, {"learner": {"clip": 1}})


def test_a_name_may_pass_from_one_setting_to_another_and_a_section_must_be_one():
    @dataclass(frozen=True, kw_only=True)
    class Passed:
        RENAMED: ClassVar = {"width": "hidden", "hidden": "depth"}
        hidden: int = 1
        depth: int = 2

    assert config.from_json(Passed, {"width": 3, "hidden": 4}) == Passed(hidden=3, depth=4)
    with pytest.raises(BadInput, match=r"^config.optimisation: is not an object, and 'rate' belongs into it"):
        config.from_json(Trial, {"rate": 0.5, "optimisation": 3})
