"""What one watches: films whose frames are the recording's, the terminal, and the story that is collected from runs."""

import io
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from outrange.core import atomic, metrics
from outrange.core.errors import BadInput
from outrange.core.run import Run
from outrange.exploration import watch
from outrange.exploration.envs.contract import Step
from outrange.exploration.envs.observations import MINIGRID_WIDTH
from outrange.exploration.evaluation import Recording, evaluate, record
from outrange.exploration.maps import maps_of, record_visits
from outrange.exploration.metrics import glossary
from outrange.exploration.presets import preset
from outrange.exploration.story import collect
from outrange.exploration.training import train
from outrange.report.explore import page

STEPS = 5


@pytest.fixture
def recording() -> Recording:
    """Five steps through a grid of 3 x 4 cells."""
    pictures = np.zeros((STEPS + 1, 3, 4, 3), np.uint8)
    pictures[:, 0] = (200, 30, 40)
    place = np.array([4, 5, 6, 10, 9, 8])
    pictures[np.arange(STEPS + 1), place // 4, place % 4] = (44, 200, 44)
    return Recording(
        env="outrange/RandomDiscoMaze-v0", mixture=0, pictures=pictures, place=place, action=np.array([3, 3, 1, 2, 2]),
        reward=np.array([0, 0, 1, 0, 0], np.float32), bonus=np.array([1, 2, 4, 0, 3], np.float32), points=np.zeros((STEPS, 2), np.float32),
        terminated=False, coverage=0.75, places=8,
    )  # fmt: skip


def frames_of(path: Path) -> list[np.ndarray]:
    with Image.open(path) as film:
        frames = []
        for k in range(film.n_frames):  # type: ignore[attr-defined]
            film.seek(k)
            frames.append(np.asarray(film.convert("RGB")))
        return frames


# ---------- films ----------


def test_a_gif_holds_every_picture_enlarged_and_the_bonus_as_a_bar(recording, tmp_path):
    path = tmp_path / "deep" / "episode.gif"
    watch.save(recording, path, scale=10, seconds_per_step=0.08)
    frames = frames_of(path)
    assert len(frames) == STEPS + 1 and frames[0].shape == (30 + 8, 40, 3)
    for t, frame in enumerate(frames):
        np.testing.assert_array_equal(frame[:30], recording.pictures[t].repeat(10, 0).repeat(10, 1))
        lit = int((frame[33] == watch.BONUS_COLOR).all(-1).sum())
        assert lit == (0 if t == 0 else round(40 * recording.bonus[t - 1] / 4))
    assert (frames[3][36] == watch.REWARD_COLOR).all() and (frames[4][36] == watch.GROUND_COLOR).all()
    assert list(path.parent.iterdir()) == [path]


def test_a_gif_shows_each_step_as_long_as_asked_stays_on_the_last_and_begins_again(recording, tmp_path):
    watch.to_gif(recording, tmp_path / "a.gif", seconds_per_step=0.08)
    with Image.open(tmp_path / "a.gif") as film:
        lasts = []
        for k in range(film.n_frames):  # type: ignore[attr-defined]
            film.seek(k)
            lasts.append(film.info["duration"])
        assert lasts == [80] * STEPS + [1000] and film.info["loop"] == 0
        assert film.size == (4 * 90, 3 * 90 + 2 * 6)


def test_a_gif_of_many_colours_is_close_to_its_pictures(recording, tmp_path):
    ramp = np.stack(np.meshgrid(np.arange(0, 256, 6), np.arange(0, 256, 6), [90], indexing="ij"), -1)[:, :, 0].astype(
        np.uint8
    )
    many = replace(
        recording,
        pictures=np.stack([ramp] * 3),
        place=recording.place[:3],
        bonus=recording.bonus[:2],
        reward=recording.reward[:2],
    )
    watch.to_gif(many, tmp_path / "a.gif", scale=1)
    assert np.abs(frames_of(tmp_path / "a.gif")[0][: len(ramp)].astype(int) - ramp).mean() < 12


def test_an_episode_without_bonus_or_steps_is_filmed(recording, tmp_path):
    still = replace(recording, pictures=recording.pictures[:1], bonus=recording.bonus[:0], reward=recording.reward[:0])
    watch.to_gif(still, tmp_path / "a.gif", scale=2)
    assert len(frames_of(tmp_path / "a.gif")) == 1
    watch.to_gif(replace(recording, bonus=np.zeros(STEPS, np.float32)), tmp_path / "b.gif", scale=2)
    assert len(frames_of(tmp_path / "b.gif")) == STEPS + 1


def test_a_film_that_cannot_be_finished_leaves_the_old_one(recording, tmp_path):
    path = tmp_path / "a.gif"
    path.write_bytes(b"old")

    def full(step: str, where: Path) -> None:
        if step == "before rename":
            raise OSError(28, os.strerror(28))

    atomic.watchers.append(full)
    try:
        with pytest.raises(BadInput, match=r"^out: .* cannot be written: no space is left on its disk$"):
            watch.save(recording, path)
    finally:
        atomic.watchers.remove(full)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("a.avi", {}, "out: 'a.avi' is not allowed; its name must end in .gif or .mp4"),
        ("a", {}, "out: 'a' is not allowed"),
        (
            "a.gif",
            {"scale": -1},
            "scale: -1 is not allowed; it must be a whole number, and pictures 4 x 3 times it at most 4,096",
        ),
        ("a.gif", {"scale": 2000}, "scale: 2000 is not allowed"),
        ("a.mp4", {"scale": 1.5}, "scale: 1.5 is not allowed"),
        ("a.gif", {"seconds_per_step": 0.01}, "seconds_per_step: 0.01 is not allowed; a GIF takes 0.02 to 10"),
        ("a.mp4", {"seconds_per_step": 0.0}, "seconds_per_step: 0.0 is not allowed; it must be between 0.004 and 10"),
    ],
)
def test_what_is_no_film_is_refused(recording, name, settings, message):
    with pytest.raises(BadInput) as refused:
        watch.save(recording, Path(name), **settings)
    assert str(refused.value).startswith(message)


def program(folder: Path, body: str) -> None:
    """A program called ffmpeg, in a folder of its own."""
    folder.mkdir()
    path = folder / "ffmpeg"
    path.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_without_ffmpeg_there_is_no_mp4_and_it_is_said(recording, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        BadInput,
        match=r"^out: .*a.mp4' needs the program ffmpeg, which is not on the PATH; install it, or write a .gif$",
    ):
        watch.save(recording, tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_ffmpeg_is_given_every_frame_with_even_sides(recording, tmp_path, monkeypatch):
    program(
        tmp_path / "bin", "open(sys.argv[-1], 'wb').write(repr(sys.argv).encode() + b'|' + sys.stdin.buffer.read())"
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    watch.save(recording, tmp_path / "a.mp4", scale=5, seconds_per_step=0.04)
    arguments, _, raw = (tmp_path / "a.mp4").read_bytes().partition(b"|")
    assert b"'-s', '20x24'" in arguments and b"'-framerate', '25'" in arguments
    frames = np.frombuffer(raw, np.uint8).reshape(STEPS + 1, 24, 20, 3)
    np.testing.assert_array_equal(frames[:, :15], recording.pictures.repeat(5, 1).repeat(5, 2))
    assert (frames[3, 18, :20] == watch.BONUS_COLOR).all() and not frames[:, 23].any()


@pytest.mark.parametrize(
    "body", ["sys.exit('Unknown encoder')", "sys.stdin.buffer.read(); sys.exit('Unknown encoder')"]
)
def test_what_ffmpeg_says_is_passed_on(recording, tmp_path, monkeypatch, body):
    program(tmp_path / "bin", body)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    large = replace(recording, pictures=recording.pictures.repeat(50, 1).repeat(50, 2))
    with pytest.raises(BadInput, match=r"was not written: ffmpeg said: 'Unknown encoder'; write a .gif instead$"):
        watch.save(large, tmp_path / "a.mp4", scale=5)
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


@pytest.mark.skipif(shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None, reason="there is no ffmpeg")
def test_the_real_ffmpeg_makes_a_film_of_as_many_frames(recording, tmp_path):
    watch.save(recording, tmp_path / "a.mp4", scale=9, seconds_per_step=0.1)
    asked = [
        "ffprobe",
        "-v",
        "error",
        "-count_frames",
        "-show_entries",
        "stream=width,height,nb_read_frames",
        "-of",
        "csv=p=0",
        str(tmp_path / "a.mp4"),
    ]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() == "36,36,6"


# ---------- the terminal ----------


class Terminal(io.StringIO):
    """A stream that says it is a terminal, of no known size."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self.spoken = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.spoken

    def isatty(self) -> bool:
        return True


def test_a_terminal_is_shown_every_picture_in_half_blocks_and_gets_its_cursor_back(recording):
    stream = Terminal()
    watch.to_terminal(recording, stream, delay=0)
    text = stream.getvalue()
    assert text.startswith("\x1b[?25l") and text.endswith("\x1b[0m\x1b[?25h")
    assert (
        text.count("\x1b[7A") == STEPS
    )  # six lines of blocks and one of numbers: 3 pixels, 4 times as large, two a line
    first = text.split("\x1b[7A")[0].split("\n")
    assert first[0].count("▀") == 16
    assert first[0].startswith("\x1b[?25l\x1b[38;2;200;30;40m\x1b[48;2;200;30;40m▀")
    assert first[2].startswith("\x1b[38;2;44;200;44m\x1b[48;2;44;200;44m▀▀▀▀\x1b[38;2;0;0;0m")
    assert "step 5/5 · bonus 3.00 (mean 2.00) · reward 1 · places 6/8 = 75%\x1b[K" in text


def test_the_cursor_comes_back_when_the_film_is_broken_off(recording, monkeypatch):
    stream = Terminal()

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        watch.to_terminal(recording, stream)
    assert stream.getvalue().endswith("\x1b[?25h")


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal("ascii")])
def test_elsewhere_the_last_picture_is_printed_in_plain_characters(recording, stream):
    watch.to_terminal(recording, stream, delay=0)
    assert stream.getvalue().split("\n") == [
        "::::::::",
        "",
        "@@",
        "step 5/5 | bonus 3.00 (mean 2.00) | reward 1 | places 6/8 = 75%",
        "",
    ]


def test_large_pictures_are_made_to_fit(recording):
    large = replace(
        recording,
        pictures=recording.pictures.repeat(60, 1).repeat(60, 2),
        env="ALE/Pong-v5",
        place=np.full(STEPS + 1, -1),
        places=0,
    )
    stream = Terminal()
    watch.to_terminal(large, stream, delay=0)
    lines = stream.getvalue().split("\n")
    assert max(line.count("▀") for line in lines) <= 80 and stream.getvalue().count("\x1b[") > 0
    assert len(stream.getvalue().split("A\x1b[38")[0].split("\n")) <= 24
    plain = io.StringIO()
    watch.to_terminal(large, plain, delay=0)
    assert max(map(len, plain.getvalue().split("\n"))) <= 78 and "places" not in plain.getvalue()


def test_a_delay_that_is_none_is_refused(recording):
    with pytest.raises(BadInput, match=r"^delay: -1 is not allowed; it must be between 0 and 60$"):
        watch.to_terminal(recording, io.StringIO(), delay=-1)


# ---------- the story of runs ----------


def trained(path: Path, agent: str = "ngu", **changes) -> Path:
    small = preset("smoke", agent)
    settings = {
        "env": replace(small.env, count=4, options=("size=7", "cap=12")), "acting": replace(small.acting, greedy_actors=1), "steps": 160, "log_every": 40, "checkpoint_every": 160,
        "replay": replace(small.replay, capacity=400, min_sequences=4, trace_length=8, period=8), "learner": replace(small.learner, batch_size=4),
        "bonus": replace(small.bonus, warmup_updates=min(small.bonus.warmup_updates, 2)),
    }  # fmt: skip
    train(replace(small, **settings | changes), path)
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    wide = preset("smoke").bonus
    return {
        "ngu": trained(folder / "ngu"),
        "again": trained(folder / "again", seed=1),
        "rnd": trained(folder / "rnd", "rnd"),
        "two": trained(folder / "two", bonus=replace(wide, mixtures=2, warmup_updates=2)),
        "young": trained(folder / "young", steps=0),
    }


def test_a_story_of_a_run_makes_a_page(runs):
    story = collect([runs["ngu"]], episodes=4, maps=3, command="outrange explore page RUN")
    assert story.title == "ngu in RandomDiscoMaze-v0" and story.subtitle == "size=7 cap=12 · seed 0"
    assert story.runs[0].metrics == metrics.read(runs["ngu"] / "metrics.jsonl") and story.runs[0].group == ""
    assert [mark.name for mark in story.references] == ["uniform", "to and fro", "legal", "onward", "wall follower"]
    assert story.references[0].value < story.references[2].value < story.references[4].value
    text = page(story)
    for part in ("episode", "maps", "evaluation", "settings"):
        assert f'id="{part}"' in text


def test_the_episode_of_a_story_is_the_one_that_record_gives(runs):
    story, plain = collect([runs["ngu"]], episodes=4, maps=2, seed=3, references=False), record(runs["ngu"], seed=3)
    for part in ("bonus", "reward", "place", "pictures", "points", "action"):
        np.testing.assert_array_equal(getattr(story.episode, part), getattr(plain, part))
    assert story.episode is not None
    assert story.episode.grid == (7, 7) and story.episode.action_names == ["up", "down", "left", "right"]
    rows = evaluate(runs["ngu"], 4, 3)
    assert story.evaluation == [rows | {"run": "ngu, seed 0"}]
    assert story.references == []


def test_the_maps_of_a_story_count_what_was_visited(runs):
    story = collect([runs["ngu"]], episodes=4, maps=3, references=False)
    assert len(story.maps) == 3 and story.episode is not None
    for visited in story.maps:
        visits, first = visited.visits, visited.first
        steps = int(visited.name.split(": ")[1].split()[0])
        assert visits.shape == (7, 7) and np.isnan(visits[0]).all() and (~np.isnan(visits)).sum() == 17
        assert steps <= np.nansum(visits) <= steps + 1  # the step into a wall visits nothing
        assert ((visits > 0) == ~np.isnan(first)).all() and first[visits > 0].min() == 0
    place = story.episode.place  # environment 0 is the same, so the first map is the episode's
    expected = np.bincount(place[place >= 0], minlength=49).reshape(7, 7)
    np.testing.assert_array_equal(np.nan_to_num(story.maps[0].visits), expected)


def test_runs_that_differ_in_their_seed_are_one_group_and_others_are_compared(runs):
    same = collect([runs["ngu"], runs["again"]], episodes=0)
    assert [run.group for run in same.runs] == ["", ""] and same.subtitle.endswith("seeds 0, 1")
    assert same.evaluation == [] and same.episode is None
    other = collect([runs["ngu"], runs["again"], runs["rnd"], runs["two"]], episodes=0)
    groups = [run.group for run in other.runs]
    assert groups == ["ngu mixtures=1", "ngu mixtures=1", "rnd", "ngu mixtures=2"]
    page(other)


def test_every_mixture_has_its_row_and_the_one_that_explores_most_is_watched(runs):
    progress: list[tuple[int, int]] = []
    story = collect(
        [runs["two"]], episodes=4, maps=1, references=False, report_progress=lambda *counts: progress.append(counts)
    )
    assert [row["mixture"] for row in story.evaluation] == [0, 1]
    assert story.episode is not None and story.episode.name == "ngu, seed 0, mixture 1 of 2"
    assert progress[-1] == (8, 8) and progress == sorted(progress)
    exploiting = collect([runs["two"]], episodes=4, maps=0, mixture=0, references=False)
    assert exploiting.episode is not None and exploiting.episode.name.endswith("mixture 0 of 2")
    assert exploiting.maps == []


@pytest.mark.parametrize("which", ["ngu", "two", "rnd"])
def test_the_glossary_knows_every_number_that_a_run_logs(runs, which):
    lines = metrics.read(runs[which] / "metrics.jsonl") + metrics.read(runs[which] / "timing.jsonl")
    assert {name for line in lines for name in line} <= set(glossary(2))
    assert set(glossary(2 if which == "two" else 1)) == set(collect([runs[which]], episodes=0).glossary)


def test_a_run_without_a_checkpoint_is_told_by_its_log(runs, tmp_path):
    copy = tmp_path / "running"
    shutil.copytree(runs["ngu"], copy, ignore=shutil.ignore_patterns("checkpoints"))
    story = collect([copy], episodes=4)
    assert story.episode is None and "There is no checkpoint yet, so there is no episode to show." in story.notes
    page(story)


def test_a_run_that_has_logged_nothing_is_left_out_or_refused(runs):
    story = collect([runs["young"], runs["ngu"]], episodes=0)
    assert len(story.runs) == 1 and any("has logged nothing yet" in note for note in story.notes)
    with pytest.raises(BadInput, match=r"has logged nothing yet; wait for the first line of its metrics.jsonl$"):
        collect([runs["young"]])


def test_a_torn_line_is_noted(runs, tmp_path):
    copy = tmp_path / "torn"
    shutil.copytree(runs["ngu"], copy)
    with open(copy / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 99')
    assert any("was torn off" in note for note in collect([copy], episodes=0).notes)


def test_runs_of_different_environments_are_refused(runs, tmp_path):
    other = trained(
        tmp_path / "other",
        env=replace(preset("smoke").env, count=4, options=("size=9", "cap=12")),
        steps=40,
        log_every=40,
    )
    with pytest.raises(
        BadInput,
        match=r"is of outrange/RandomDiscoMaze-v0 size=9 cap=12, and .* of outrange/RandomDiscoMaze-v0 size=7 cap=12; give runs in one env",
    ):
        collect([runs["ngu"], other])


def test_what_is_no_run_of_this_kind_is_refused(runs, tmp_path):
    with pytest.raises(BadInput, match=r"^runs: \[\] is not allowed; give at least one run's directory$"):
        collect([])
    with pytest.raises(BadInput, match=r"^run: .*missing.* is not a directory"):
        collect([tmp_path / "missing"])
    with pytest.raises(BadInput, match=r"^maps: -1 is not allowed; it must be at least 0$"):
        collect([runs["ngu"]], maps=-1)
    Run.create(tmp_path / "lm", "lm", preset("smoke"))
    with pytest.raises(BadInput, match=r"holds a run of kind 'lm'; this is for runs of `outrange explore train`$"):
        collect([tmp_path / "lm"])


class Walk:
    """An actor that says where two environments are at each step: a place, or a letter for how an episode ends there."""

    def __init__(self, places: list[list[int]], ends: list[str]) -> None:
        self.places, self.ends, self.t = np.array(places), ends, 0
        self.place, self.last = self.places[0], None

    def advance(self) -> None:
        self.t += 1
        place = self.places[self.t]
        end = np.array(list(self.ends[self.t - 1]))
        none = np.zeros(len(place), bool)
        self.last = (
            Step(
                observation=place, final=place, reward=np.zeros(len(place), np.float32), terminated=end == "T", truncated=none, started=end != ".",
                valid=end != "B", broken=end == "B", place=place, start_place=np.zeros_like(place),
            ),
            place, np.zeros(len(place)),
        )  # fmt: skip


def test_the_map_of_a_level_of_unknown_walls_is_cut_to_what_was_visited_and_broken_episodes_have_none():
    # x 9 and 10 of row 5, x 10 of row 6
    walk = Walk([[169, 0], [170, 1], [202, 2], [170, 3], [1, 4]], ["..", ".B", "T.", ".."])
    recorded = record_visits(walk, MINIGRID_WIDTH, MINIGRID_WIDTH, max_steps=100)
    maps = maps_of(recorded, walls=None)
    assert [visited.name for visited in maps] == ["episode 1: 3 steps"]
    np.testing.assert_array_equal(maps[0].visits, [[0, 0, 0, 0], [0, 1, 2, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    assert walk.t == 3


def test_a_walk_that_does_not_end_is_cut():
    walk = Walk([[33], [34], [35], [36], [37]], ["."] * 4)
    maps = maps_of(record_visits(walk, MINIGRID_WIDTH, MINIGRID_WIDTH, max_steps=3), walls=None)
    assert maps[0].name == "episode 1: 3 steps" and maps[0].first is not None
    np.testing.assert_array_equal(maps[0].visits, [[0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(maps[0].first[1, 1:5], [0, 1, 2, 3])


def test_walls_are_cut_out_of_a_map_and_places_beyond_the_grid_are_not_counted():
    walk = Walk([[0, 3], [1, -1], [7, 2]], ["..", "TT"])
    walls = np.zeros((2, 2, 2), bool)
    walls[0, 1, 1] = True
    first, second = maps_of(record_visits(walk, 2, 2, max_steps=9), walls)
    np.testing.assert_array_equal(first.visits, [[1, 1], [0, np.nan]])
    np.testing.assert_array_equal(second.visits, [[0, 0], [1, 1]])


def test_where_places_are_no_cells_there_is_no_map(tmp_path):
    """A Gymnasium environment that shows numbers has no grid."""
    small = preset("smoke", "r2d2")
    path = trained(
        tmp_path / "cart",
        "r2d2",
        env=replace(small.env, name="CartPole-v1", count=2, options=()),
        network=replace(small.network, encoder="vector"),
        steps=40,
        log_every=40,
        checkpoint_every=40,
    )
    story = collect([path], episodes=1, maps=2, max_steps=5)
    assert story.maps == [] and story.episode is not None and story.episode.grid is None
