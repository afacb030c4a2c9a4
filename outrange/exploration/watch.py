"""One episode of an agent to look at: as a film, or in the terminal.

A film shows the environment's pictures enlarged by a whole number, and a bar under them: the bonus of the step that led
here, as a share of the episode's largest (the novelty that Never Give Up rewards, arXiv 2002.06038, section 3); where
the step earned a reward the bar's ground lights up.
"""

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from outrange.core.atomic import replaced, writable
from outrange.core.errors import BadInput, brief
from outrange.exploration.evaluation import Recording
from outrange.report.palette import to_palette

SUFFIXES = (".gif", ".mp4")
GROUND_COLOR, BONUS_COLOR, REWARD_COLOR = (38, 44, 49), (255, 155, 82), (255, 214, 90)
"""RGB of the bar under a film: of its ground, of the bonus, and of the ground where there is a reward"""
_RAMP = " .:-=+*#%"  # dark to light
_LONGER_SIDE = 360  # pixels of a film, about


def save(recording: Recording, path: Path, scale: int = 0, seconds_per_step: float = 0.05) -> None:
    """Write a film of the kind that the name's end says: .gif, or .mp4, which needs ffmpeg. See ``to_gif`` and
    ``to_mp4``.

    Raises:
        BadInput: another ending, or what those refuse.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(f"out: {str(path)!r} is not allowed; its name must end in {' or '.join(SUFFIXES)}")
    (to_gif if suffix == ".gif" else to_mp4)(recording, path, scale, seconds_per_step)


def to_gif(recording: Recording, path: Path, scale: int = 0, seconds_per_step: float = 0.05) -> None:
    """Write a film as a GIF that begins again when it ends. It is complete or not there.

    Args:
        recording: one episode.
        path: the file.
        scale: screen pixels for a pixel of the pictures; 0: as many as make the longer side about 360.
        seconds_per_step: in hundredths, and at least 0.02, as nothing plays a GIF faster.

    Raises:
        BadInput: scale or pace is not allowed, or the file cannot be written.
    """
    from PIL import Image

    if not 0.02 <= seconds_per_step <= 10:
        raise BadInput(f"seconds_per_step: {seconds_per_step} is not allowed; a GIF takes 0.02 to 10")
    scale = _chosen_scale(recording, scale)
    # a GIF has 256 colours: three are the bar's
    pictures, palette = to_palette(recording.pictures, 253)
    colors = np.concatenate([palette, np.array([GROUND_COLOR, BONUS_COLOR, REWARD_COLOR], np.uint8)])
    bar_indices = range(len(palette), len(palette) + 3)
    frames = _frames(recording, pictures, scale, *bar_indices)
    images = (_with_palette(Image.fromarray(frame), colors) for frame in frames)
    duration = round(100 * seconds_per_step) * 10  # ms, in the hundredths of a second that the format counts
    durations = [duration] * (len(pictures) - 1) + [max(duration, 1000)]  # the last picture stays a moment
    with writable("out", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as partial:
            next(images).save(
                partial,
                "GIF",
                save_all=True,
                append_images=images,
                duration=durations,
                loop=0,
                optimize=False,
                disposal=1,
            )


def to_mp4(recording: Recording, path: Path, scale: int = 0, seconds_per_step: float = 0.05) -> None:
    """Write a film as H.264 in an MP4, by the program ffmpeg. It is complete or not there. Arguments and errors as for
    ``to_gif``; any pace from 0.004 s on.

    Raises:
        BadInput: there is no ffmpeg, or it refuses.
    """
    if not 0.004 <= seconds_per_step <= 10:
        raise BadInput(f"seconds_per_step: {seconds_per_step} is not allowed; it must be between 0.004 and 10")
    scale = _chosen_scale(recording, scale)
    program = shutil.which("ffmpeg")
    if program is None:
        raise BadInput(
            f"out: {str(path)!r} needs the program ffmpeg, which is not on the PATH; install it, or write a .gif"
        )
    colors = np.array([GROUND_COLOR, BONUS_COLOR, REWARD_COLOR], np.uint8)
    frames = _frames(recording, recording.pictures, scale, *colors)
    first = next(frames)
    height, width = (size + size % 2 for size in first.shape[:2])  # the format wants even sides
    padding = ((0, height - first.shape[0]), (0, width - first.shape[1]), (0, 0))
    padded = (np.pad(frame, padding) for frame in itertools.chain([first], frames))
    with writable("out", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as partial:
            message = _encode(_ffmpeg_command(program, width, height, seconds_per_step, partial), padded)
            if message:
                raise BadInput(
                    f"out: {str(path)!r} was not written: ffmpeg said: {brief(message, 200)}; write a .gif instead"
                )


def _ffmpeg_command(program: str, width: int, height: int, seconds_per_step: float, out: Path) -> list[str]:
    """What makes a film of raw RGB frames that come by the standard input. The same frames give the same bytes."""
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    source += ["-framerate", f"{1 / seconds_per_step:.6g}", "-i", "-", "-an"]
    codec = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p", "-threads", "1"]
    container = ["-movflags", "+faststart", "-fflags", "+bitexact", "-map_metadata", "-1", "-f", "mp4"]
    return [program, "-y", "-loglevel", "error", *source, *codec, *container, str(out)]


def _encode(command: list[str], frames: Iterator[np.ndarray]) -> str:
    """Run ffmpeg over the frames; returns what it says if it fails, else ""."""
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(  # noqa: S603 - ffmpeg, found on the PATH
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=messages
        )
        assert process.stdin is not None
        try:
            for frame in frames:
                process.stdin.write(frame.tobytes())
        except BrokenPipeError:  # it ended early, and says why below
            pass
        except BaseException:
            process.kill()
            raise
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            code = process.wait()
        if not code:
            return ""
        messages.seek(0)
        return " ".join(messages.read(2000).decode(errors="replace").split()) or f"it ended with {code}"


def _chosen_scale(recording: Recording, scale: int) -> int:
    """Pixels of the film for each of the pictures': as asked, or as many as make a film of a usual size."""
    height, width = recording.pictures.shape[1:3]
    if scale == 0:
        return max(1, round(_LONGER_SIDE / max(height, width)))
    if not isinstance(scale, int) or not 0 < scale * max(height, width) <= 4096:
        raise BadInput(
            f"scale: {brief(scale)} is not allowed; it must be a whole number, and pictures {width} x {height} times "
            "it at most 4,096 wide and high"
        )
    return scale


def _frames(
    recording: Recording, pictures: np.ndarray, scale: int, ground: Any, bonus: Any, reward: Any
) -> Iterator[np.ndarray]:
    """Pictures (N + 1, H, W, …) enlarged, with the bar under them.

    ``ground``, ``bonus`` and ``reward`` are the bar's colours, of the pictures' kind: indices, or RGB.
    """
    height, width = (size * scale for size in pictures.shape[1:3])
    thickness = max(4, height // 40)
    top, bottom = height + thickness // 2, height + thickness // 2 + thickness  # of the bar, amid its ground
    largest_bonus = max(float(recording.bonus.max(initial=0.0)), 1e-9)
    shares = np.clip(recording.bonus / largest_bonus, 0, 1)
    for t, picture in enumerate(pictures):
        frame = np.empty((height + 2 * thickness, width, *picture.shape[2:]), np.uint8)
        frame[:height] = picture.repeat(scale, 0).repeat(scale, 1)
        frame[height:] = ground
        if t:  # nothing led to the first picture
            if recording.reward[t - 1] != 0:
                frame[top:] = reward
            frame[top:bottom, : round(float(shares[t - 1]) * width)] = bonus
        yield frame


def _with_palette(image: Any, colors: np.ndarray) -> Any:
    image.putpalette(colors.tobytes())
    return image


# ---------- the terminal ----------


def to_terminal(recording: Recording, stream: TextIO, delay: float = 0.05) -> None:
    """Play an episode in a terminal of 24-bit colours: two pixels a character, and a line of numbers under them.

    Where the stream is no terminal, or cannot write the half block, the last picture is printed in plain characters,
    and the line.

    Args:
        recording: one episode.
        stream: where to write.
        delay: seconds between pictures.
    """
    if not 0 <= delay <= 60:
        raise BadInput(f"delay: {delay} is not allowed; it must be between 0 and 60")
    last = len(recording.pictures) - 1
    if not (stream.isatty() and _can_write(stream, "▀█·")):
        stream.write("\n".join([*_plain(recording), _numbers(recording, last, " | ")]) + "\n")
        return
    size = os.get_terminal_size(stream.fileno()) if _has_size(stream) else os.terminal_size((80, 24))
    columns, rows = max(10, size.columns), max(4, size.lines - 2)
    stream.write("\x1b[?25l")  # no cursor while it plays
    try:
        for t, picture in enumerate(recording.pictures):
            lines = _blocks(_resized(picture, columns, 2 * rows))
            if t:
                time.sleep(delay)
                stream.write(f"\x1b[{len(lines) + 1}A")
            text = _numbers(recording, t, " · ")[: columns - 1]
            stream.write("".join(f"{line}\x1b[0m\x1b[K\n" for line in lines) + f"{text}\x1b[K\n")
            stream.flush()
    finally:
        stream.write("\x1b[0m\x1b[?25h")
        stream.flush()


def _has_size(stream: TextIO) -> bool:
    try:
        os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return False
    return True


def _can_write(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _numbers(recording: Recording, t: int, between: str) -> str:
    """Step, bonus, reward and places after t steps, in one line."""
    parts = [f"step {t}/{len(recording.bonus)}"]
    if t:
        parts.append(f"bonus {recording.bonus[t - 1]:.2f} (mean {recording.bonus[:t].mean():.2f})")
    parts.append(f"reward {recording.reward[:t].sum():g}")
    places = recording.place[: t + 1]
    if (places >= 0).any():
        count = len(np.unique(places[places >= 0]))
        parts.append(
            f"places {count}" + (f"/{recording.places} = {count / recording.places:.0%}" if recording.places else "")
        )
    return between.join(parts)


def _resized(picture: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """A picture that fits: enlarged by a whole number, at most 4, or made smaller by taking the pixel in the middle of
    each cell."""
    height, width = picture.shape[:2]
    factor = min(columns // width, rows // height, 4)
    if factor >= 1:
        return picture.repeat(factor, 0).repeat(factor, 1)
    shrink = max(width / columns, height / rows)
    y, x = (
        ((np.arange(max(1, int(size / shrink))) + 0.5) * shrink).astype(int).clip(0, size - 1)
        for size in (height, width)
    )
    return picture[y][:, x]


def _blocks(picture: np.ndarray) -> list[str]:
    """(H, W, 3) as lines of half blocks, colours only where they change."""
    if len(picture) % 2:
        picture = np.concatenate([picture, np.zeros((1, *picture.shape[1:]), np.uint8)])
    lines = []
    for upper, lower in zip(picture[0::2].tolist(), picture[1::2].tolist(), strict=True):
        line, previous = [], None
        for above, below in zip(upper, lower, strict=True):
            if (above, below) != previous:
                # the half block shows the upper pixel as its own colour and the lower one as the background
                line.append("\x1b[38;2;{};{};{}m\x1b[48;2;{};{};{}m".format(*above, *below))
                previous = (above, below)
            line.append("▀")
        lines.append("".join(line))
    return lines


def _plain(recording: Recording) -> list[str]:
    """The last picture as lines of ASCII, lighter pixels as denser letters, twice as wide as high, at most 78 wide; in
    our grids the agent is @."""
    picture, place = recording.pictures[-1], recording.place[recording.place >= 0]
    height, width = picture.shape[:2]
    small = max(height, width) <= 39
    light = (picture if small else _resized(picture, 39, 39)).astype(np.float64) @ (0.299, 0.587, 0.114)
    letters = np.array(list(_RAMP))[np.minimum(light / 256 * len(_RAMP), len(_RAMP) - 1).astype(int)]
    if small and recording.env.startswith("outrange/") and len(place) and place[-1] < height * width:
        letters[divmod(place[-1], width)] = "@"
    return ["".join(2 * letter for letter in row).rstrip() for row in letters.tolist()]
