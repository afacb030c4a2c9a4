"""Models side by side: rows from curves, what a window makes of two runs of one token, variants trained alike."""

import numpy as np
import pytest
import torch

from outrange.attention.glasses.variants import VARIANTS, ModelCollapse, compare_models, train_variants, window_reach
from outrange.core.errors import BadInput
from outrange.lm.config import TrainConfig, sized
from outrange.lm.opening import OpenedModel, open_config, open_model
from tests.attention.families import model
from tests.attention.letters import letters


def row(relative, name="one"):
    return ModelCollapse(
        model=name, lengths=(8, 16, 32), relative_distance=np.array(relative), signal_over_blur=np.ones(3)
    )


def test_what_is_kept_is_the_last_distance_over_the_first_and_louder_is_a_median_of_ratios():
    base, second = row([0.4, 0.2, 0.1]), row([0.4, 0.6, 0.2])
    assert (
        base.remaining_share == pytest.approx(0.25)
        and second.times_as_far(base) == pytest.approx(2)
        and base.times_as_far(base) == 1
    )
    assert row([0.0, 0.0, 0.0]).remaining_share == 0 and row([0.0, 0.0, 0.0]).times_as_far(base) == 0
    assert row([0.0, 0.0, 0.0]).times_as_far(row([0.0, 0.0, 0.0])) == 1 and np.isinf(
        base.times_as_far(row([0.0, 0.0, 0.0]))
    )


def test_rows_are_the_curves_of_each_model_in_float32_and_signal_over_blur_in_bfloat16():
    from outrange.attention.glasses.collapse import collapse_curves
    from outrange.attention.glasses.families import FAMILIES

    opened = [OpenedModel(name, model(name, max_position_embeddings=128), letters()) for name in ("llama", "mistral")]
    rows = compare_models(opened, lengths=(4, 9))
    assert [row.model for row in rows] == ["llama", "mistral"] and all(row.lengths == (4, 9) for row in rows)
    for row, model_opened in zip(rows, opened, strict=True):
        exact, rounded = collapse_curves(
            model_opened.model, model_opened.tokenizer, [FAMILIES["copy ones"]], lengths=(4, 9), neighbours=3
        )
        assert (
            np.array_equal(row.relative_distance, exact.relative_distance)
            and (exact.relative_distance > 1e-4).all()
            and np.array_equal(row.signal_over_blur, rounded.signal_over_blur)
        )
    with pytest.raises(BadInput, match=r"family: 'copy' is not a family of pairs"):
        compare_models(opened, family="copy")


def test_through_windows_the_last_position_reads_so_many_tokens_and_no_more():
    watched = model("mistral", sliding_window=3, num_hidden_layers=4, max_position_embeddings=128).double()
    reach = window_reach(4, 3)
    assert reach == 9
    ids = torch.randint(3, 40, (1, 30), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = watched.model(ids).last_hidden_state[0, -1]
        for changed, same in ((30 - reach - 1, True), (30 - reach, False)):
            changed_ids = ids.clone()
            changed_ids[0, changed] = 50
            assert torch.equal(watched.model(changed_ids).last_hidden_state[0, -1], before) == same


def test_behind_a_window_two_long_runs_of_one_token_are_one_input():
    watched = model("mistral", sliding_window=3, num_hidden_layers=2, max_position_embeddings=128)
    (windowed,) = compare_models([OpenedModel("m", watched, letters())], lengths=(2, window_reach(2, 3), 40))
    assert (
        windowed.relative_distance[0] > 1e-3 and (windowed.relative_distance[1:] == 0).all()
    )  # but for rounding of angles at other positions
    (full,) = compare_models(
        [OpenedModel("l", model("llama", max_position_embeddings=128), letters())], lengths=(2, window_reach(2, 3), 40)
    )
    assert (full.relative_distance > 1e-5).all()


@pytest.fixture(scope="module")
def stories(tmp_path_factory):
    place = tmp_path_factory.mktemp("variants")
    words = "0 1 2 3 4 5 6 7 8 9 , the number of cats can you copy following".split()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTRANGE_CACHE", str(place / "cache"))
        for k in range(40):
            (place / f"{k:02}.txt").write_text(" ".join(np.random.default_rng(k).choice(words, 80)) + "\n")
        yield place


def test_variants_are_trained_alike_kept_and_opened_by_their_runs(stories, tmp_path):
    config = TrainConfig(
        text=(str(stories),),
        model=sized(1),
        vocab_size=300,
        context_length=128,
        batch_size=2,
        steps=2,
        warmup_steps=1,
        evaluate_tokens=128,
    )
    runs = train_variants(config, tmp_path, seed=3)
    assert list(runs) == list(VARIANTS) and all(path.name.endswith("-seed3") for path in runs.values())
    before = {
        name: sorted((file, file.stat().st_mtime_ns) for file in path.rglob("*.safetensors"))
        for name, path in runs.items()
    }
    assert train_variants(config, tmp_path, seed=3) == runs
    assert before == {
        name: sorted((file, file.stat().st_mtime_ns) for file in path.rglob("*.safetensors"))
        for name, path in runs.items()
    }
    opened = {name: open_model(str(path)) for name, path in runs.items()}
    assert (
        opened["RoPE, window 16"].model.config.sliding_window == 16
        and opened["NoPE"].model.config.rope_parameters["partial_rotary_factor"] == 0
    )
    rows = compare_models(list(opened.values()), lengths=(4, 24))
    assert (
        all((row.relative_distance >= 0).all() for row in rows)
        and len({float(row.relative_distance[0]) for row in rows}) > 1
    )
    assert (
        open_config(str(runs["RoPE, window 16"])).model_type == "mistral"
        and open_model(str(runs["RoPE"]), "bfloat16").model.dtype == torch.bfloat16
    )
    with pytest.raises(BadInput, match=r"variants: 'ropes' is not a variant.*RoPE"):
        train_variants(config, tmp_path, names=("ropes",))
