"""Small language models: equal beginnings, exact resumption, perplexity in closed form and beyond the training's length, the comparison of schemes."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from outrange.core.config import from_json, to_json
from outrange.core.errors import BadInput
from outrange.core.run import NonFinite, Run
from outrange.core.seeding import SeedTree
from outrange.lm.comparison import compare_schemes, spread, summarise
from outrange.lm.config import ModelConfig, Rotary, TrainConfig, preset, sized
from outrange.lm.evaluation import perplexity, perplexity_by_length
from outrange.lm.model import build_model, export_model, hf_config, load_model, weights
from outrange.lm.published import BASE, ROWS
from outrange.lm.tokenizer import prepare_corpus
from outrange.lm.training import Trainer, draw_windows, learning_rate, resume, train

WORDS = "the cat and dog sat on a mat while rain fell over old hills near some quiet river".split()


def write_stories(place, count=60, words=60):
    place.mkdir(parents=True)
    for k in range(count):
        rng = np.random.default_rng(k)
        (place / f"{k:02}.txt").write_text(f"Story {k}. " + " ".join(rng.choice(WORDS, words)) + ".\n")
    return place


@pytest.fixture(scope="module", autouse=True)
def stories(tmp_path_factory):
    place = tmp_path_factory.mktemp("lm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTRANGE_CACHE", str(place / "cache"))
        yield write_stories(place / "stories")


def tiny(stories, **changes):
    given = dict(
        model=sized(1),
        vocab_size=300,
        context_length=16,
        batch_size=4,
        steps=8,
        warmup_steps=2,
        evaluate_every=3,
        evaluate_tokens=128,
        checkpoint_every=4,
        log_every=1,
    )
    return TrainConfig(text=(str(stories),), **given | changes)


def with_scheme(config, **scheme):
    return replace(config, model=replace(config.model, rotary=Rotary(**scheme)))


@pytest.fixture(scope="module")
def corpus(stories):
    return prepare_corpus(tiny(stories))


@pytest.fixture(scope="module")
def whole(stories, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "run"
    train(tiny(stories), path)
    return path


def newest(path):
    return Run.open(path).load()


def same(a, b):
    assert a.step == b.step and a.state == b.state and a.tensors.keys() == b.tensors.keys()
    for part, tensors in a.tensors.items():
        assert tensors.keys() == b.tensors[part].keys()
        for name, tensor in tensors.items():
            assert torch.equal(tensor, b.tensors[part][name]), f"{part}/{name}"


def test_all_schemes_begin_with_equal_weights_and_another_seed_with_others(stories, corpus):
    first = Trainer(tiny(stories), corpus)
    before = torch.random.get_rng_state()
    for row in ROWS.values():
        other = Trainer(replace(tiny(stories), model=replace(sized(1), rotary=row.scheme)), corpus)
        ours, theirs = weights(first.model), weights(other.model)
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(torch.random.get_rng_state(), before)
    fresh = weights(Trainer(tiny(stories, seed=1), corpus).model)
    assert not torch.equal(fresh["model.embed_tokens.weight"], weights(first.model)["model.embed_tokens.weight"])


def test_the_windows_of_a_step_are_stretches_of_the_text_that_depend_on_seed_and_step_alone():
    tokens, seeds = np.arange(1000, dtype=np.uint16), SeedTree(3)
    windows = draw_windows(tokens, 5, 16, seeds, 7)
    assert windows.shape == (5, 17) and windows.dtype == torch.int64
    assert bool((windows.diff(dim=1) == 1).all())
    draw_windows(tokens, 5, 16, seeds, 8)
    assert torch.equal(draw_windows(tokens, 5, 16, SeedTree(3), 7), windows)
    assert not torch.equal(draw_windows(tokens, 5, 16, seeds, 8), windows) and not torch.equal(
        draw_windows(tokens, 5, 16, SeedTree(4), 7), windows
    )
    assert {int(w[0]) for w in draw_windows(tokens[:18], 200, 16, seeds, 0)} == {
        0,
        1,
    }  # the first and the last place are drawn, none beyond


def test_the_learning_rate_rises_then_falls_on_a_cosine_to_a_tenth():
    config = TrainConfig(text=("x",), learning_rate=1.0, warmup_steps=10, steps=110)
    assert [learning_rate(config, k) for k in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert learning_rate(config, 60) == pytest.approx(0.55)
    assert learning_rate(config, 110) == pytest.approx(0.1)


@pytest.mark.parametrize(("share", "kind"), [(1.0, "rope"), (0.0, "nope")])
def test_p_rope_at_its_ends_trains_as_rope_and_as_nope_to_the_bit(stories, corpus, share, kind):
    a, b = (
        Trainer(with_scheme(tiny(stories), **scheme), corpus)
        for scheme in (dict(kind="p-rope", p=share), dict(kind=kind))
    )
    assert [a.advance() for _ in range(3)] == [b.advance() for _ in range(3)]
    assert all(torch.equal(value, weights(b.model)[name]) for name, value in weights(a.model).items())


def test_the_schemes_are_different_models_after_a_step(stories, corpus):
    losses = set()
    for row in ROWS.values():
        trainer = Trainer(replace(tiny(stories), model=replace(sized(1), rotary=row.scheme)), corpus)
        trainer.advance()
        losses.add(trainer.advance()["loss"])
    assert len(losses) == len(ROWS)


def test_a_fresh_model_s_loss_is_about_the_logarithm_of_the_vocabulary(stories, corpus):
    assert Trainer(tiny(stories), corpus).advance()["loss"] == pytest.approx(math.log(corpus.vocab_size), rel=0.02)


def test_windows_computed_a_few_at_a_time_make_the_same_step(stories, corpus):
    at_once, in_parts = Trainer(tiny(stories), corpus), Trainer(tiny(stories, micro_batch_size=3), corpus)
    a, b = at_once.advance(), in_parts.advance()
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-6) and a["gradient_norm"] == pytest.approx(
        b["gradient_norm"], rel=1e-5
    )


def test_stopped_and_gone_on_in_a_fresh_process_is_the_same_tensor_for_tensor_and_byte_for_byte(
    stories, whole, tmp_path
):
    parts = tmp_path / "parts"

    def stop_at_five(values):
        if values["step"] == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    first = train(tiny(stories), parts, stop_at_five)
    assert first["stopped"] and first["steps"] == 5 and newest(parts).step == 5
    code = "import sys, json; from pathlib import Path; from outrange.lm.training import resume; print(json.dumps(resume(Path(sys.argv[1]))))"
    environment = os.environ | {
        "OUTRANGE_CACHE": str(tmp_path / "cache")
    }  # so that the tokenizer is trained anew there too, and is the same
    done = subprocess.run(
        [sys.executable, "-c", code, str(parts)], capture_output=True, text=True, timeout=240, env=environment
    )
    assert done.returncode == 0, done.stderr
    second = json.loads(done.stdout.splitlines()[-1])
    assert second["steps"] == 8 and second["new_steps"] == 3 and not second["stopped"]
    same(newest(whole), newest(parts))
    assert (whole / "metrics.jsonl").read_bytes() == (parts / "metrics.jsonl").read_bytes()


def test_a_killed_training_goes_on_from_its_last_checkpoint_to_the_same_end(stories, whole, tmp_path):
    class Killed(BaseException):
        pass

    def kill_at_seven(values):
        if values["step"] == 7:
            raise Killed

    with pytest.raises(Killed):
        train(tiny(stories), tmp_path / "run", kill_at_seven)
    assert newest(tmp_path / "run").step == 4
    resume(tmp_path / "run")
    same(newest(whole), newest(tmp_path / "run"))
    assert (whole / "metrics.jsonl").read_bytes() == (tmp_path / "run/metrics.jsonl").read_bytes()


def test_the_loss_falls(stories, corpus):
    trainer = Trainer(tiny(stories, steps=60, batch_size=8, learning_rate=1e-2), corpus)
    losses = [trainer.advance()["loss"] for _ in range(60)]
    assert np.mean(losses[-5:]) < 0.75 * losses[0]


def test_a_loss_that_is_not_finite_is_stopped_before_the_update(stories, corpus):
    trainer = Trainer(tiny(stories), corpus)
    with torch.no_grad():
        next(trainer.model.parameters())[0] = float("nan")  # the embeddings are the head too, so every logit row has it
    before = weights(trainer.model)
    with pytest.raises(NonFinite, match=r"^loss is nan at step 0; nothing was updated"):
        trainer.advance()
    assert all(
        torch.equal(value.nan_to_num(), before[name].nan_to_num()) for name, value in weights(trainer.model).items()
    )
    assert all(not held["exp_avg"].any() for held in trainer.optimizer.optimizer.state.values())


def test_a_run_whose_text_has_changed_is_not_gone_on_with(tmp_path):
    place = write_stories(tmp_path / "stories")
    config = tiny(place, steps=2)
    train(replace(config, steps=2), tmp_path / "run")
    (place / "00.txt").write_text("Changed.")
    with pytest.raises(BadInput, match="is not what the run was begun with"):
        resume(tmp_path / "run")


def test_a_run_of_an_earlier_version_is_read_by_the_names_that_settings_had_then(stories, whole, tmp_path):
    former = {
        **{"vocab": "vocab_size", "length": "context_length", "batch": "batch_size", "micro": "micro_batch_size"},
        **{"warmup": "warmup_steps", "clip": "max_grad_norm"},
    }
    former_model = {
        **{"layers": "num_layers", "width": "hidden_size", "heads": "num_heads", "kv_heads": "num_kv_heads"},
        **{"ffn": "intermediate_size", "window": "sliding_window"},
    }
    config = to_json(tiny(stories))
    model = config.pop("model")
    earlier = {former_name: config.pop(name) for former_name, name in former.items()} | config
    earlier["model"] = {former_name: model.pop(name) for former_name, name in former_model.items()} | model
    assert from_json(TrainConfig, earlier) == tiny(stories)

    # A run that an earlier version began, and this one goes on with.
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(whole / "run.json", run)
    (run / "config.json").write_text(json.dumps(earlier))
    train(tiny(stories), run)
    assert load_model(run)[2] == tiny(stories)
    same(newest(whole), newest(run))


def test_another_configuration_is_refused_naming_what_differs(stories, whole):
    with pytest.raises(BadInput, match=r'model.rotary.kind "rope", now "nope"'):
        train(with_scheme(tiny(stories), kind="nope"), whole)


def test_too_little_text_for_a_window_is_refused_and_leaves_no_run(stories, tmp_path):
    with pytest.raises(
        BadInput, match=r"its held-out part has [\d,]+ tokens, and one window of context_length needs 4,097"
    ):
        train(tiny(stories, context_length=4096), tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Fake:
    """A model that knows every token at some positions of a window and nothing at the others."""

    training, device = False, torch.device("cpu")

    def __init__(self, vocab, knows):
        self.vocab, self.knows = vocab, knows

    def eval(self): ...

    def train(self, mode): ...

    def __call__(self, input_ids, use_cache):
        logits = torch.zeros(*input_ids.shape, self.vocab)
        following = (input_ids + 1) % self.vocab  # the text counts upwards
        for position in range(input_ids.shape[1]):
            if self.knows(position, input_ids.shape[1]):
                logits[torch.arange(len(input_ids)), position, following[:, position]] = 1e4
        return types.SimpleNamespace(logits=logits)


def test_the_perplexity_of_a_uniform_model_is_its_vocabulary(stories, corpus):
    model = Trainer(tiny(stories), corpus).model
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    for found in (perplexity(model, corpus.validation, 16, 128), perplexity(model, corpus.validation, 64)):
        assert found == pytest.approx((corpus.vocab_size, corpus.vocab_size), rel=1e-6)


def test_perplexity_is_over_windows_side_by_side_and_its_last_quarter_over_their_last_positions():
    tokens = (np.arange(101) % 7).astype(np.uint16)
    whole, last = perplexity(Fake(7, lambda i, n: i >= 3 * n // 4), tokens, 20)  # pyright: ignore[reportArgumentType]
    assert whole == pytest.approx(7**0.75) and last == pytest.approx(1.0)
    assert perplexity(Fake(7, lambda i, n: i % 2), tokens, 20, 40) == pytest.approx(
        (7**0.5, 7**0.4)
    )  # of the last five positions two are even


def test_beyond_the_length_the_same_tokens_are_predicted_at_each_length():
    tokens = (np.arange(200) % 7).astype(np.uint16)
    found = perplexity_by_length(Fake(7, lambda i, n: i < 8), tokens, 8, limit=100)  # pyright: ignore[reportArgumentType]
    assert [(m, v["length"], v["tokens"]) for m, v in found.items()] == [
        (1, 8, 64),
        (2, 16, 64),
        (4, 32, 64),
        (8, 64, 64),
    ]
    assert [v["perplexity"] for v in found.values()] == pytest.approx([1, 7**0.5, 7**0.75, 7**0.875])
    with pytest.raises(BadInput, match=r"a window needs 513; give more text, or smaller multiples"):
        perplexity_by_length(Fake(7, lambda i, n: True), tokens, 64)  # pyright: ignore[reportArgumentType]


def test_a_trained_model_is_evaluated_at_eight_times_its_length(whole, corpus):
    model, _, config, step = load_model(whole)
    found = perplexity_by_length(model, corpus.validation, config.context_length, limit=256)
    assert step == 8 and [v["length"] for v in found.values()] == [16, 32, 64, 128]
    assert all(1 < v["perplexity"] < 3 * corpus.vocab_size and math.isfinite(v["last_quarter"]) for v in found.values())
    last = json.loads((whole / "metrics.jsonl").read_text().splitlines()[-1])
    assert perplexity(model, corpus.validation, 16, 128)[0] == pytest.approx(last["val"])


@pytest.mark.parametrize(
    "scheme", [dict(kind="rope"), dict(kind="p-rope", p=0.25), dict(kind="reversed"), dict(kind="partial")]
)
def test_an_exported_model_loads_with_from_pretrained_and_says_the_same(stories, corpus, tmp_path, scheme):
    train(with_scheme(tiny(stories, steps=1), **scheme), tmp_path / "run", corpus=corpus)
    export_model(tmp_path / "run", tmp_path / "model")
    ours = load_model(tmp_path / "run")[0]
    theirs, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tmp_path / "model"),
        AutoTokenizer.from_pretrained(tmp_path / "model"),
    )
    tokens = torch.tensor([tokenizer("the cat sat on a mat")["input_ids"]])
    with torch.no_grad():
        assert torch.allclose(ours(tokens).logits, theirs(tokens).logits, atol=1e-5)
    assert theirs.config.eos_token_id == tokenizer.eos_token_id == 0
    with pytest.raises(BadInput, match="is not empty"):
        export_model(tmp_path / "run", tmp_path / "model")


def test_the_paper_s_preset_is_gemma_2b():
    config = preset("paper", ("x",))
    shape = hf_config(config.model, 256_000, config.context_length)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape)
    layer = 2 * 2048 * 2048 + 2 * 2048 * 256 + 3 * 2048 * 16_384 + 2 * 2048
    assert sum(p.numel() for p in model.parameters()) == 256_000 * 2048 + 18 * layer + 2048 == 2_506_172_416
    assert (config.steps, config.batch_size, config.context_length, config.model.rotary.theta) == (
        10_000,
        512,
        8192,
        10_000,
    )
    assert from_json(TrainConfig, to_json(config)) == config


def test_one_dial_gives_a_shape():
    assert sized(4) == ModelConfig(
        num_layers=4, hidden_size=128, num_heads=4, num_kv_heads=4, head_dim=32, intermediate_size=352
    )
    small = ModelConfig(
        family="gemma", num_layers=2, hidden_size=32, num_heads=2, num_kv_heads=1, head_dim=16, intermediate_size=64
    )
    model = build_model(hf_config(small, 300, 16), 0)
    assert type(model).__name__ == "GemmaForCausalLM" and model(torch.tensor([[1, 2, 3]])).logits.shape == (1, 3, 300)
    for wrong, said in (
        (dict(num_heads=4, num_kv_heads=3), "must be a divisor of the 4 heads"),
        (dict(head_dim=7), "must be even"),
        (dict(hidden_size=0), "model.hidden_size"),
    ):
        with pytest.raises(BadInput, match=said):
            ModelConfig(**wrong)
    for wrong, said in (
        (dict(p=1.5), "rotary.p"),
        (dict(theta=1.0), "rotary.theta"),
        (dict(kind="rpoe"), "did you mean 'rope'"),
    ):
        with pytest.raises(BadInput, match=said):
            Rotary(**wrong)


def test_a_summary_by_hand():
    def seen(*values):
        return {
            seed: {
                "1": dict(length=8, perplexity=v, last_quarter=v),
                "2": dict(length=16, perplexity=2 * v, last_quarter=v),
            }
            for seed, v in enumerate(values)
        }

    found = summarise(seen(10.0, 12.0), seen(11.0, 11.0, 11.0))
    assert found["perplexity"] == dict(mean=11.0, std=pytest.approx(2**0.5), values=[10.0, 12.0])
    assert found["difference"] == dict(mean=0.0, std=pytest.approx(2**0.5), values=[-1.0, 1.0])
    assert found["beyond"]["2"]["length"] == 16 and found["beyond"]["2"]["perplexity"]["mean"] == 22.0
    assert spread([]) == dict(mean=None, std=None, values=[]) and spread([3.0])["std"] is None


def test_a_comparison_that_is_stopped_goes_on_and_ends_as_one_that_was_not(stories, tmp_path):
    config, names = tiny(stories, steps=2), ("nope", BASE)

    def stop_in_the_second(values):
        if values["number"] == 2 and values["step"] == 1:
            os.kill(os.getpid(), signal.SIGINT)

    first = compare_schemes(config, 2, tmp_path / "runs", names, (2,), stop_in_the_second)
    assert first["stopped"] and first["trainings"] == 1 and first["rows"]["nope"]["difference"]["mean"] is None
    second = compare_schemes(config, 2, tmp_path / "runs", names, (2,))
    assert second == compare_schemes(config, 2, tmp_path / "other", names, (2,))
    assert not second["stopped"] and second["trainings"] == 4
    assert second["rows"][BASE]["difference"]["values"] == [0.0, 0.0] and second["rows"]["nope"]["wiki"] == 4.8594
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == sorted(
        f"{name}-seed{seed}" for name in names for seed in (0, 1)
    )
    with pytest.raises(BadInput, match="a window of 4096 x 16"):
        compare_schemes(config, 1, tmp_path / "runs", names, (4096,))
    with pytest.raises(BadInput, match="did you mean 'rope-10k'"):
        compare_schemes(config, 1, tmp_path / "runs", ("rope-10",))


def test_a_window_is_trained_with_exported_and_refused_in_gemma(stories, corpus, tmp_path):
    config = tiny(stories, steps=2)
    config = replace(config, model=replace(config.model, sliding_window=4))
    train(config, tmp_path / "run", corpus=corpus)
    model = load_model(tmp_path / "run")[0]
    ids = torch.randint(3, 200, (1, 12), generator=torch.Generator().manual_seed(0))
    other = ids.clone()
    other[0, 7] += 1  # one layer, four tokens: the last position reads 8 to 11
    with torch.no_grad():
        assert torch.equal(model(ids).logits[0, -1], model(other).logits[0, -1]) and not torch.equal(
            model(ids).logits[0, 10], model(other).logits[0, 10]
        )
    export_model(tmp_path / "run", tmp_path / "out")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").config.sliding_window == 4
    for wrong, family in ((-1, "llama"), (4, "gemma")):
        with pytest.raises(BadInput, match=f"model.sliding_window: {wrong} is not allowed in the {family} family"):
            ModelConfig(family=family, sliding_window=wrong)
