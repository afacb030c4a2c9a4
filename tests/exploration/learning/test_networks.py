"""Encoders: shapes, where the crop looks, the order of axes, what fits what. The Q network: its inputs, its dueling heads, rows one by one. Embedding and RND."""

import numpy as np
import pytest
import torch

from outrange.core.errors import BadInput
from outrange.exploration.learning.encoders import ENCODERS, PALETTE, Encoder, one_hot
from outrange.exploration.learning.networks import QNetwork
from outrange.exploration.novelty.episodic import InverseDynamics
from outrange.exploration.novelty.lifelong import RND

pytestmark = pytest.mark.usefixtures("own_draws")

# name, shape of an observation, codes, bytes or not; sides that differ, so that an exchange of axes is seen
FITTING = [
    ("crop", (9, 11), 7, True), ("cells", (9, 12), 7, True), ("cells-paper", (8, 11), 3, True), ("pixels", (40, 52), 0, True), ("pixels", (36, 84, 3), 0, True),
    ("objects", (7, 7, 4), 0, True), ("objects", (5, 7, 4), 0, True), ("vector", (3, 5), 0, False), ("vector", (3, 8), 5, True), ("vector", (4,), 0, True),
]  # fmt: skip


def shown(shape, codes, byte, *ahead):
    values = torch.randint(codes or (4 if shape[-1:] == (4,) and len(shape) == 3 else 256), (*ahead, *shape))
    return values.to(torch.uint8) if byte else values.float()


@pytest.mark.parametrize(("name", "shape", "codes", "byte"), FITTING)
def test_an_encoder_takes_any_leading_axes_and_judges_each_observation_alone(name, shape, codes, byte):
    encoder = Encoder(name, shape, codes, byte, 6)
    x = shown(shape, codes, byte, 2, 3)
    out = encoder(x)
    assert out.shape == (2, 3, 6) and out.dtype == torch.float32 and bool((out < 0).any())
    for t in range(2):
        for b in range(3):
            torch.testing.assert_close(encoder(x[t, b]), out[t, b], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder(x.transpose(0, 1)), out.transpose(0, 1), rtol=1e-4, atol=1e-5)


def test_every_encoder_is_among_those_tried_here():
    assert {name for name, *_ in FITTING} == set(ENCODERS)


def test_a_grid_is_put_into_convolutions_with_rows_before_columns_and_a_channel_for_each_code():
    encoder = Encoder("cells", (7, 9), 4, True, 5)
    x = torch.randint(4, (7, 9), dtype=torch.uint8)
    channels = torch.zeros(1, 4, 7, 9)
    for row in range(7):
        for column in range(9):
            channels[0, int(x[row, column]), row, column] = 1
    torch.testing.assert_close(encoder(x), encoder.body.layer(encoder.body.convolutions(channels))[0])
    first, second = encoder.body.convolutions[0], encoder.body.convolutions[2]
    assert (first.out_channels, first.kernel_size, first.stride) == (16, (3, 3), (2, 2)) and (
        second.out_channels,
        second.stride,
    ) == (32, (2, 2))
    paper = Encoder("cells-paper", (7, 9), 4, True, 5).body
    assert (
        paper.convolutions[0].stride == paper.convolutions[2].stride == (1, 1) and paper.layer.in_features == 32 * 7 * 9
    )


def test_images_go_through_the_convolutions_of_dqn_between_0_and_1_with_their_channels_first():
    encoder = Encoder("pixels", (40, 52, 3), 0, True, 5)
    x = torch.randint(256, (2, 40, 52, 3), dtype=torch.uint8)
    image = torch.tensor(np.ascontiguousarray(x.numpy().transpose(0, 3, 1, 2)) / 255, dtype=torch.float32)
    torch.testing.assert_close(encoder(x), encoder.body.layer(encoder.body.convolutions(image)), rtol=1e-4, atol=1e-5)
    layers = [m for m in encoder.body.convolutions if isinstance(m, torch.nn.Conv2d)]
    assert [(m.out_channels, m.kernel_size[0], m.stride[0]) for m in layers] == [(32, 8, 4), (64, 4, 2), (64, 3, 1)]
    grey, coloured = Encoder("pixels", (40, 52), 0, True, 5), Encoder("pixels", (40, 52, 1), 0, True, 5)
    coloured.load_state_dict(grey.state_dict())
    torch.testing.assert_close(grey(x[..., 0]), coloured(x[..., :1]), rtol=1e-4, atol=1e-5)


def test_minigrids_cells_are_sums_of_three_vectors_through_two_convolutions_beside_one_of_four_directions():
    encoder = Encoder("objects", (5, 6, 4), 0, True, 6)
    x = torch.zeros(2, 5, 6, 4, dtype=torch.uint8)
    for k, top in enumerate((11, 6, 3)):
        x[..., k] = torch.randint(top, (2, 5, 6))
    x[0, ..., 3], x[1, ..., 3] = 2, 3
    first, second = (encoder.body.convolutions[k] for k in (0, 2))

    def convolved(cells, layer):  # (columns, rows, channels), position by position
        size = [n - 2 for n in cells.shape[:2]]
        weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)
        return torch.stack(
            [
                torch.stack([cells[i : i + 3, j : j + 3].flatten() @ weight + layer.bias for j in range(size[1])])
                for i in range(size[0])
            ]
        ).relu()

    rows = []
    for b in range(2):
        cells = sum(table.weight[x[b, ..., k].long()] for k, table in enumerate(encoder.body.tables))
        seen = convolved(convolved(cells, first), second)
        rows.append(
            torch.cat([seen.movedim(-1, 0).flatten(), torch.tensor([float(int(x[b, 0, 0, 3]) == n) for n in range(4)])])
        )
    torch.testing.assert_close(encoder(x), encoder.body.layer(torch.stack(rows)), rtol=1e-4, atol=1e-5)
    other = x.clone()
    other[..., 3] = 0
    assert not torch.isclose(encoder(x), encoder(other)).all(1).any()


def test_a_vector_of_bytes_is_scaled_and_one_of_codes_or_numbers_is_not():
    for byte, codes, scale in ((True, 0, 1 / 255), (True, 5, 1.0), (False, 0, 1.0)):
        encoder = Encoder("vector", (2, 3), codes, byte, 4)
        x = shown((2, 3), codes, byte, 7)
        torch.testing.assert_close(
            encoder(x), encoder.body.layer(torch.relu(encoder.body.first(x.reshape(7, 6).float() * scale)))
        )


@pytest.mark.parametrize("at", [(0, 0), (0, 12), (9, 0), (9, 12), (5, 6), (1, 11), (8, 4)])
def test_the_crop_shows_what_lies_around_the_agent_even_in_a_corner(at):
    rng = np.random.default_rng(1)
    x = rng.choice([0, 2, 3, 4, 5], size=(10, 13)).astype(np.uint8)
    x[at] = 1
    encoder = Encoder("crop", x.shape, 6, True, 3 * 81)
    with torch.no_grad():  # the layer as a window, so that what it is given is what comes out
        encoder.body.layer.weight.copy_(torch.eye(3 * 81))
        encoder.body.layer.bias.zero_()
    seen = encoder(torch.from_numpy(np.stack([np.where(x == 1, 0, x), x])[1:]))[0].detach().numpy().reshape(9, 9, 3)
    colours = np.array(PALETTE, np.float32)
    assert len(np.unique(colours, axis=0)) == len(colours) and colours[:2].tolist() == [[0, 0, 0], [0, 1, 0]]
    for i in range(9):
        for j in range(9):
            row, column = at[0] + i - 4, at[1] + j - 4
            inside = 0 <= row < 10 and 0 <= column < 13
            wanted = (
                colours[x[row, column]] if inside else encoder.body.palette[6].numpy()
            )  # one colour for all that lies outside
            assert seen[i, j].tolist() == wanted.tolist(), (i, j)
    assert seen[4, 4].tolist() == [0, 1, 0]


def test_the_crop_of_each_of_many_grids_is_its_own():
    x = torch.randint(2, 6, (4, 3, 8, 10), dtype=torch.uint8)
    for t in range(4):
        for b in range(3):
            x[t, b, (t + b) % 8, (2 * t + 3 * b) % 10] = 1
    encoder = Encoder("crop", (8, 10), 6, True, 5)
    torch.testing.assert_close(
        encoder(x), torch.stack([torch.stack([encoder(x[t, b]) for b in range(3)]) for t in range(4)])
    )


@pytest.mark.parametrize(
    ("name", "shape", "codes", "byte", "said"),
    [
        ("crop", (21, 21), 0, True, "grid of cell codes"), ("crop", (3, 53), 5, True, "at least 7 x 7"), ("cells", (84, 84, 1), 0, True, "grid of cell codes"),
        ("cells-paper", (6, 9), 3, True, "at least 7 x 7"), ("pixels", (21, 21), 7, True, "with 7 codes"), ("pixels", (35, 84), 0, True, "at least 36 x 36"),
        ("pixels", (84, 84), 0, False, "image of bytes"), ("pixels", (4,), 0, True, "image of bytes"), ("objects", (7, 7, 3), 0, True, r"\(7, 7, 4\)"),
        ("objects", (21, 21), 7, True, "MiniGrid"), ("objects", (7, 7, 4), 0, False, "MiniGrid"), ("objects", (3, 3, 4), 0, True, "MiniGrid"),
    ],
)  # fmt: skip
def test_an_encoder_that_cannot_read_what_is_shown_says_so_in_one_sentence(name, shape, codes, byte, said):
    with pytest.raises(BadInput, match=said) as caught:
        Encoder(name, shape, codes, byte, 8)
    message = str(caught.value)
    assert message.startswith(f"encoder: '{name}'") and str(shape) in message and "\n" not in message
    fits = "pixels" if shape == (84, 84, 1) else "vector"
    assert message.endswith(f"what fits is --network.encoder {fits} --bonus.encoder {fits}")
    Encoder(fits, shape, codes, byte, 8)


def test_an_unknown_encoder_names_the_nearest():
    with pytest.raises(BadInput, match="did you mean 'pixels'"):
        Encoder("pixel", (84, 84), 0, True, 8)


def test_a_one_hot_is_all_zero_for_an_index_that_is_none():
    assert one_hot(torch.tensor([[-1, 0], [2, 3]], dtype=torch.int16), 3).tolist() == [
        [[0, 0, 0], [1, 0, 0]],
        [[0, 0, 1], [0, 0, 0]],
    ]


# the Q network


def q_network(mixtures=3, shape=(4,)):
    return QNetwork(Encoder("vector", shape, 0, False, 6), 5, mixtures, 7, 8)


def rows(steps, batch, mixtures=3, seed=0):
    rng = np.random.default_rng(seed)
    first = rng.random((steps, batch)) < 0.3
    action = np.where(first, -1, rng.integers(5, size=(steps, batch))).astype(np.int16)
    reward, bonus = (np.where(first, 0, rng.normal(size=(steps, batch))).astype(np.float32) for _ in range(2))
    x = rng.normal(size=(steps, batch, 4)).astype(np.float32)
    mixture = rng.integers(mixtures, size=(steps, batch)).astype(np.int16)
    state = tuple(torch.from_numpy(rng.normal(size=(batch, 7)).astype(np.float32)) for _ in range(2))
    return [torch.from_numpy(a) for a in (x, action, reward, bonus, mixture, first)], state


def test_rows_at_once_are_rows_one_by_one_with_the_state_carried_as_acting_does():
    net, (inputs, state) = q_network(), rows(9, 4)
    assert inputs[-1][1:].any() and not inputs[-1].all()
    q, after = net(*inputs, state)
    assert q.shape == (9, 4, 5)
    for t in range(9):
        row, state = net(*(part[t : t + 1] for part in inputs), state)
        torch.testing.assert_close(row[0], q[t], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(state, after, rtol=1e-5, atol=1e-6)


def test_the_lstm_is_given_features_action_rewards_and_the_mixtures_index_as_aone_hot():
    net, (inputs, state) = q_network(), rows(2, 3)
    given = []
    net.lstm.register_forward_pre_hook(lambda module, values: given.append(values))
    net(*inputs, state)
    features = torch.relu(net.encoder(inputs[0]))
    for t in range(2):
        for b in range(3):
            action, mixture = int(inputs[1][t, b]), int(inputs[4][t, b])
            wanted = [
                *features[t, b].tolist(),
                *(float(a == action) for a in range(5)),
                float(inputs[2][t, b]),
                float(inputs[3][t, b]),
            ]
            assert given[0][0][t, b].tolist() == pytest.approx([*wanted, *(float(m == mixture) for m in range(3))])
    assert given[0][2] is inputs[5]


def test_one_mixture_alone_is_no_input():
    assert (
        q_network(1).lstm.input_weight.shape[1] == 6 + 5 + 2
        and q_network(2).lstm.input_weight.shape[1] == 6 + 5 + 2 + 2
    )
    net, (inputs, state) = q_network(1), rows(3, 2, 1)
    other = [*inputs]
    other[4] = inputs[4] + 1
    assert torch.equal(net(*inputs, state)[0], net(*other, state)[0])


@pytest.mark.parametrize("k", range(5))
def test_every_input_changes_the_values_of_its_row_and_of_later_ones_but_not_of_earlier_ones(k):
    net, (inputs, state) = q_network(), rows(4, 2)
    inputs[5][:] = False
    changed = [part.clone() for part in inputs]
    changed[k][2] = (changed[k][2] + 1) % 3
    q, other = net(*inputs, state)[0], net(*changed, state)[0]
    assert torch.equal(q[:2], other[:2])
    assert not torch.isclose(q[2:], other[2:], rtol=1e-6, atol=1e-8).all(-1).any()


def test_the_advantages_are_those_above_their_mean_so_the_mean_of_q_is_the_value():
    net, (inputs, state) = q_network(), rows(3, 2)
    q = net(*inputs, state)[0]
    with torch.no_grad():
        net.advantage[2].bias.add_(7.0)  # a constant in the advantages is none of the value's
    torch.testing.assert_close(net(*inputs, state)[0], q, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        net.value[2].bias.add_(2.0)
    torch.testing.assert_close(net(*inputs, state)[0], q + 2, rtol=1e-5, atol=1e-5)
    hidden = []
    net.lstm.register_forward_hook(lambda module, values, out: hidden.append(out[0]))
    mean = net(*inputs, state)[0].mean(-1)
    torch.testing.assert_close(mean, net.value(hidden[0])[..., 0], rtol=1e-5, atol=1e-5)


# the embedding and RND


def test_the_action_is_told_from_the_states_before_and_after_in_this_order():
    net = InverseDynamics(Encoder("vector", (4,), 0, False, 3), 5)
    before, after, count = torch.randn(6, 4), torch.randn(6, 4), torch.arange(6)
    logits = net(torch.cat([before, after]), count, count + 6)
    assert logits.shape == (6, 5) and net.head[0].in_features == 6 and net.head[0].out_features == 128
    f = [torch.relu(net.encoder(x)) for x in (before, after)]
    torch.testing.assert_close(logits, net.head(torch.cat(f, 1)), rtol=1e-5, atol=1e-6)
    assert not torch.isclose(net(torch.cat([after, before]), count, count + 6), logits).all(1).any()


def test_rnd_is_a_squared_distance_to_a_network_that_never_learns():
    net = RND(lambda: Encoder("vector", (4,), 0, False, 3))
    x = torch.randn(5, 4)
    error = net(x)
    assert error.shape == (5,) and (error > 0).all()
    torch.testing.assert_close(error, ((net.predictor(x) - net.target(x)) ** 2).sum(1))
    assert not any(p.requires_grad for p in net.target.parameters()) and all(
        p.requires_grad for p in net.predictor.parameters()
    )
    with torch.no_grad():
        net.predictor.load_state_dict(net.target.state_dict())
    assert net(x).tolist() == [0.0] * 5


def test_the_crop_shows_what_lies_outside_the_grid_as_something_else_than_an_empty_cell():
    # in a grid without walls of its own (DeepSea, RandomCoin) the agent otherwise sees the same wherever it is
    x = torch.zeros(2, 11, 11, dtype=torch.uint8)
    x[0, 0, 0] = x[1, 5, 5] = 1
    seen = Encoder("crop", (11, 11), 2, True, 16)(x)
    assert not torch.equal(seen[0], seen[1])
