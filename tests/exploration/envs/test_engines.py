"""MiniGrid and Atari, in C++ and in Python, where their packages are installed; and what is said where they are not."""

import subprocess
import sys

import numpy as np
import pytest

from outrange.core.errors import BadInput
from outrange.exploration.envs import make
from outrange.exploration.envs.atari import AtariSettings, rooms
from outrange.exploration.envs.check import check_envs
from outrange.exploration.envs.observations import minigrid_place, rgb, with_direction
from tests.exploration.envs.walker import solved

MONTEZUMA = "ALE/MontezumaRevenge-v5"
NOOP = np.zeros(3, np.int64)


def ends(envs, steps: int) -> list[list[int]]:
    """By environment, the lengths of its episodes, in valid transitions."""
    envs.reset()
    lengths = [[0] for _ in range(envs.count)]
    for _ in range(steps):
        step = envs.step(np.zeros(envs.count, np.int64))
        for i in range(envs.count):
            lengths[i][-1] += int(step.valid[i])
            if step.terminated[i] or step.truncated[i]:
                lengths[i].append(0)
    return lengths


def test_pool_levels_keep_the_contract_and_are_cut_at_the_cap():
    pytest.importorskip("envpool")
    envs, twin = (make("MiniGrid-DoorKey-5x5-v0", 3, 2, "envpool", cap=20) for _ in range(2))
    assert (envs.engine, envs.shape, envs.dtype, envs.actions, envs.exact, envs.codes) == (
        "envpool",
        (7, 7, 4),
        np.uint8,
        7,
        False,
        0,
    )
    assert check_envs(envs, steps=60, twin=twin) == []
    assert ends(envs, 62) == [[20, 20, 20, 0]] * 3  # 60 transitions and two dummy steps between them
    envs.close()


def test_the_view_of_a_level_is_its_image_and_the_direction_of_the_agent():
    pytest.importorskip("envpool")
    envs = make("MiniGrid-Empty-5x5-v0", 2, 0, "envpool")
    observation, place = envs.reset()
    assert (observation[..., 3] == 0).all() and place.tolist() == [33, 33]  # x 1, y 1, facing right
    step = envs.step(np.array([1, 2]))  # turn right, go forward
    assert (step.observation[0, ..., 3] == 1).all() and step.place.tolist() == [33, 34]
    assert (
        envs.picture().shape == (7, 7, 3)
        and envs.places().tolist() == [0, 0]
        and envs.action_names[1:3] == ("right", "forward")
    )
    first_observation, copy = step.observation, step.observation.copy()
    for _ in range(20):
        envs.step(np.array([1, 1]))
    assert (first_observation == copy).all()


def test_the_pool_and_python_show_the_same_empty_room():
    pytest.importorskip("envpool")
    pytest.importorskip("minigrid")
    pool, python = make("MiniGrid-Empty-6x6-v0", 2, 0, "envpool"), make("MiniGrid-Empty-6x6-v0", 2, 0)
    assert (
        python.engine == "gymnasium"
        and python.exact
        and python.action_names == pool.action_names
        and python.shape == pool.shape
    )
    (a, a_place), (b, b_place) = pool.reset(), python.reset()
    assert (a == b).all() and (a_place == b_place).all()
    for action in (2, 2, 1, 2, 2, 2, 0, 2, 5, 1, 2):  # through the room to the goal, and on
        a, b = pool.step(np.array([action, 6])), python.step(np.array([action, 6]))
        going = ~(b.started | a.started)
        assert (
            (a.final == b.final).all()
            and (a.place == b.place).all()
            and a.reward == pytest.approx(b.reward)
            and (a.terminated == b.terminated).all()
        )
        if not going.all():
            break
    assert b.terminated[0] and a.reward[0] > 0.9
    a = pool.step(np.array([2, 6]))
    assert (
        a.started[0]
        and not a.valid[0]
        and (a.observation[0] == b.observation[0]).all()
        and a.start_place[0] == b.start_place[0]
    )


def test_python_levels_keep_the_contract_and_what_the_pool_lacks_is_made_in_python():
    pytest.importorskip("minigrid")
    options = {"engine": "gymnasium", "max_steps": 12}
    assert (
        check_envs(
            make("MiniGrid-DoorKey-5x5-v0", 2, 2, **options),
            steps=30,
            twin=make("MiniGrid-DoorKey-5x5-v0", 2, 2, **options),
        )
        == []
    )
    envs, fresh = make("MiniGrid-MultiRoom-N4-S5-v1", 2, 3), make("MiniGrid-MultiRoom-N4-S5-v1", 2, 4)
    assert envs.engine == "gymnasium"
    envs.reset()
    random = np.random.default_rng(0)
    for _ in range(15):
        envs.step(random.integers(7, size=2))
    fresh.load_state_dict(envs.state_dict())
    for _ in range(15):
        actions = random.integers(7, size=2)
        a, b = envs.step(actions), fresh.step(actions)
        assert (a.observation == b.observation).all() and (a.place == b.place).all()


def test_levels_with_three_moves_have_three_actions():
    pytest.importorskip("envpool")
    envs = make("MiniGrid-Dynamic-Obstacles-5x5-v0", 1, 0)
    assert envs.actions == 3 and envs.action_names == ("left", "right", "forward")


@pytest.mark.parametrize("engine", ["envpool", "ale"])
def test_consoles_keep_the_contract_and_are_cut_after_their_frames(engine):
    pytest.importorskip("envpool" if engine == "envpool" else "ale_py")
    envs, twin = (make(MONTEZUMA, 2, 2, engine=engine, frames=60, noops=1) for _ in range(2))
    assert (envs.engine, envs.shape, envs.dtype, envs.actions, envs.exact) == (engine, (84, 84, 1), np.uint8, 18, False)
    assert check_envs(envs, steps=40, twin=twin) == []
    first = ends(envs, 40)[0][:2]
    assert all(14 <= length <= 15 for length in first)  # 60 frames; ale-py counts the no-ops of the start among them
    assert envs.picture().shape == (84, 84, 3)
    envs.close()


def emulated(game: str, actions: np.ndarray, noops: int) -> list[tuple[bytes, float]]:
    """What the emulator itself gives, preprocessed by hand as table 8 of the paper says."""
    ale_py, cv2 = pytest.importorskip("ale_py"), pytest.importorskip("cv2")
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(ale_py.roms.get_rom_path(game))
    ale.reset_game()
    for _ in range(noops):
        ale.act(0)
    frames_seen = []
    for action in actions:
        reward, frames = 0, []
        for _ in range(4):
            reward += ale.act(action)
            frames.append(ale.getScreenGrayscale())
        frames_seen.append(
            (
                cv2.resize(np.maximum(frames[-1], frames[-2]), (84, 84), interpolation=cv2.INTER_AREA).tobytes(),
                float(reward),
            )
        )
    return frames_seen


@pytest.mark.parametrize("engine", ["envpool", "ale"])
@pytest.mark.parametrize(("name", "game"), [("ALE/MsPacman-v5", "ms_pacman"), ("ALE/Breakout-v5", "breakout")])
def test_consoles_play_as_the_emulator_does_with_the_settings_of_the_paper(engine, name, game):
    pytest.importorskip("envpool" if engine == "envpool" else "ale_py")
    actions = np.random.default_rng(0).integers(18, size=100)
    envs = make(name, 1, 0, engine=engine, noops=1)
    envs.reset()
    played = [
        (step.final.tobytes(), float(step.reward[0])) for step in (envs.step(np.array([action])) for action in actions)
    ]
    assert played in [emulated(game, actions, noops) for noops in (0, 1)]
    assert game == "breakout" or max(reward for _, reward in played) == 10  # not clipped to 1


def test_both_habits_of_ale_give_the_same_transitions():
    pytest.importorskip("ale_py")
    from outrange.exploration.envs.ale import Ale

    rows_by_habit = {}
    for next_step in (False, True):
        envs, rows = Ale("ALE/Pong-v5", 1, 3, AtariSettings(frames=100), next_step), []
        observation = envs.reset()[0]
        for _ in range(60):
            step = envs.step(np.zeros(1, np.int64))
            if step.valid[0]:
                rows.append(
                    (observation.tobytes(), step.final.tobytes(), float(step.reward[0]), bool(step.truncated[0]))
                )
            observation = step.observation
        rows_by_habit[next_step] = rows
        envs.close()
    assert (
        rows_by_habit[False][: len(rows_by_habit[True])] == rows_by_habit[True]
        and 50 < len(rows_by_habit[True]) < 60
        and sum(row[3] for row in rows_by_habit[True]) >= 2
    )


def test_rooms_are_read_from_memory_where_they_are_known():
    memory = np.zeros((2, 128), np.uint8)
    memory[:, 3], memory[1, 57] = (1, 5), 2
    assert (
        rooms(MONTEZUMA, memory, 2).tolist() == [1, 53]
        and rooms("ALE/Pong-v5", memory, 2).tolist() == [-1, -1] == rooms(MONTEZUMA, None, 2).tolist()
    )
    pytest.importorskip("envpool")
    for name, start in ((MONTEZUMA, 1), ("ALE/Pitfall-v5", 0xC4)):
        envs = make(name, 3, 0)
        assert (
            envs.engine == "envpool"
            and envs.reset()[1].tolist() == [start] * 3
            and envs.step(NOOP).place.tolist() == [start] * 3
        )
        envs.close()


def test_auto_takes_ale_where_no_room_is_known():
    pytest.importorskip("ale_py")
    envs = make("ALE/Pong-v5", 1, 0)
    assert (
        envs.engine == "ale" and envs.reset()[1].tolist() == [-1] and len(set(envs.action_names)) == 18 == envs.actions
    )


def test_seeds_differ_between_environments_and_after_a_restore():
    pytest.importorskip("envpool")
    envs = make("MiniGrid-MultiRoom-N6-v0", 3, 0, "envpool")
    first, place = envs.reset()
    assert len({view.tobytes() for view in first}) == 3
    envs.load_state_dict(envs.state_dict())
    step = envs.step(NOOP)
    assert step.broken.all() and step.started.all() and not step.valid.any() and (step.observation != first).any()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "MiniGrid-DoorKey-5x6-v0",
            {"engine": "envpool"},
            "is not a level of envpool's; engine 'gymnasium' may have it; did you mean 'MiniGrid-DoorKey-",
        ),
        (
            "MiniGrid-DoorKey-5x5-v0",
            {"engine": "envpool", "caps": 3},
            "option: 'caps' is not an option of it; did you mean 'cap'",
        ),
        ("MiniGrid-DoorKey-5x5-v0", {"engine": "envpool", "cap": 0}, "option cap: 0"),
        (MONTEZUMA, {"frames": 0}, "option frames: 0"),
        (MONTEZUMA, {"sticky": 1.0}, "option sticky: 1.0"),
        (MONTEZUMA, {"stacks": 2}, "did you mean 'stack'"),
        ("ALE/MontezumaRevenge-v4", {"engine": "envpool"}, "did you mean 'ALE/MontezumaRevenge-v5'"),
        ("ALE/Pang-v5", {}, "'ALE/Pang-v5' is not a game of ale-py"),
        ("CartPole-v1", {"engine": "envpool"}, "engine: 'envpool' does not run 'CartPole-v1'"),
    ],
)
def test_what_an_engine_does_not_have_is_said(name, options, message):
    pytest.importorskip("envpool")
    pytest.importorskip("ale_py")
    with pytest.raises(BadInput, match=message):
        make(name, 1, 0, **options)


def test_without_the_packages_the_rest_works_and_says_what_to_install():
    code = """
import sys
for package in ("minigrid", "ale_py", "envpool"):
    sys.modules[package] = None
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in ("minigrid", "ale_py", "envpool") else found(name, *rest)
from outrange.exploration.envs import make
make("outrange/TwoDoors-v0", 1, 0).reset()
for name, options in (("MiniGrid-Empty-5x5-v0", {}), ("ALE/Pong-v5", {}), ("ALE/Pong-v5", {"engine": "envpool"}), ("ALE/Pong-v5", {"engine": "gymnasium"}), ("MiniGrid-Empty-5x5-v0", {"engine": "envpool"})):
    try:
        make(name, 1, 0, **options)
    except ValueError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert [line.split("install it: ")[1] for line in done.stdout.splitlines()] == [
        f"pip install {name}" for name in ("minigrid", "ale-py", "envpool", "ale-py", "envpool")
    ]
    assert "env: MiniGrid-Empty-5x5-v0: it needs the package minigrid, which cannot be imported" in done.stdout


def test_directions_places_and_pictures_of_minigrid():
    image = np.zeros((2, 7, 7, 3), np.uint8)
    image[0, 1, 2], image[0, 0, 0] = (5, 4, 0), (1, 0, 0)  # a yellow key, an empty cell
    grid = with_direction(image, np.array([3, 1], np.int32))
    assert (
        grid.shape == (2, 7, 7, 4)
        and (grid[0, ..., 3] == 3).all()
        and (grid[1, ..., 3] == 1).all()
        and (grid[..., :3] == image).all()
    )
    picture = rgb(grid[0], minigrid=True)
    assert (
        picture[1, 2].tolist() == [255, 255, 0]
        and picture[0, 0].tolist() == [0, 0, 0]
        and picture[6, 6].tolist() == [20, 20, 20]
    )
    assert (
        minigrid_place(np.array([[2, 3], [0, 1]])).tolist() == [98, 32] and minigrid_place(np.array([2, 3]), 50) == 152
    )


def test_pictures_of_other_observations():
    colour = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert (
        (rgb(colour) == colour).all()
        and (rgb(colour[..., :1]) == colour[..., :1]).all()
        and (rgb(colour[..., 0])[..., 2] == colour[..., 0]).all()
    )
    assert (
        rgb(np.array([-1.0, 0.0, 1.0], np.float32))[0, :, 0].tolist() == [0, 127, 255]
        and (rgb(np.ones(3, np.float32)) == 0).all()
    )


# whether levels can be solved at all


LEVELS = (
    "MiniGrid-MultiRoom-N2-S4-v0",
    "MiniGrid-MultiRoom-N4-S5-v0",
    "MiniGrid-MultiRoom-N6-v0",
    "MiniGrid-FourRooms-v0",
)


@pytest.mark.parametrize("name", LEVELS)
def test_python_s_levels_can_be_solved_by_going_everywhere(name):
    pytest.importorskip("minigrid")
    envs = make(name, 12, 1, max_steps=3000)
    assert envs.engine == "gymnasium" and solved(envs) == [True] * 12
    envs.close()


@pytest.mark.parametrize(
    ("name", "all_of_them"),
    [("MiniGrid-MultiRoom-N4-S5-v0", False), ("MiniGrid-MultiRoom-N6-v0", False), ("MiniGrid-FourRooms-v0", True)],
)
def test_most_of_envpool_s_multi_room_levels_cannot_which_is_why_auto_does_not_take_it(name, all_of_them):
    pytest.importorskip("envpool")
    envs = make(name, 24, 1, "envpool", cap=3000)
    outcomes = solved(envs)
    assert None not in outcomes and (all(outcomes) if all_of_them else 0 < sum(outcomes) < 18)
    envs.close()
