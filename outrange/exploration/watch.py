"""What one watches of an agent: an episode as a film or in the terminal.

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
_GROUND, _BONUS, _REWARD = (38, 44, 49), (255, 155, 82), (255, 214, 90)  # of the bar
_RAMP = " .:-=+*#%"  # dark to light
_LARGE = 360  # pixels of a film's longer side, about


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
    scale = _scale(recording, scale)
    pictures, palette = to_palette(recording.pictures, 253)
    colours = np.concatenate([palette, np.array([_GROUND, _BONUS, _REWARD], np.uint8)])
    images = (
        Image.fromarray(frame) for frame in _frames(recording, pictures, scale, *range(len(palette), len(palette) + 3))
    )
    images = (_coloured(image, colours) for image in images)
    each = round(100 * seconds_per_step) * 10
    durations = [each] * (len(pictures) - 1) + [max(each, 1000)]  # the last picture stays a moment
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
    scale = _scale(recording, scale)
    program = shutil.which("ffmpeg")
    if program is None:
        raise BadInput(
            f"out: {str(path)!r} needs the program ffmpeg, which is not on the PATH; install it, or write a .gif"
        )
    colours = np.array([_GROUND, _BONUS, _REWARD], np.uint8)
    frames = _frames(recording, recording.pictures, scale, *colours)
    first = next(frames)
    height, width = (size + size % 2 for size in first.shape[:2])  # the format wants even sides
    command = [program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    command += ["-framerate", f"{1 / seconds_per_step:.6g}", "-i", "-", "-an"]
    command += [
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-crf",
        "18",
        "-pix_fmt",
        "yuv420p",
        "-threads",
        "1",
        "-movflags",
        "+faststart",
    ]
    command += ["-fflags", "+bitexact", "-map_metadata", "-1", "-f", "mp4"]
    with writable("out", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as partial, tempfile.TemporaryFile() as said:
            process = subprocess.Popen(  # noqa: S603 - ffmpeg, found on the PATH
                [*command, str(partial)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
            )
            assert process.stdin is not None
            try:
                for frame in itertools.chain([first], frames):
                    process.stdin.write(
                        np.pad(frame, ((0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0))).tobytes()
                    )
            except BrokenPipeError:  # it says why below
                pass
            except BaseException:
                process.kill()
                raise
            finally:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                code = process.wait()
            if code:
                said.seek(0)
                why = " ".join(said.read(2000).decode(errors="replace").split()) or f"it ended with {code}"
                raise BadInput(
                    f"out: {str(path)!r} was not written: ffmpeg said: {brief(why, 200)}; write a .gif instead"
                )


def _scale(recording: Recording, scale: int) -> int:
    height, width = recording.pictures.shape[1:3]
    if scale == 0:
        return max(1, round(_LARGE / max(height, width)))
    if not isinstance(scale, int) or not 0 < scale * max(height, width) <= 4096:
        raise BadInput(
            f"scale: {brief(scale)} is not allowed; it must be a whole number, and pictures {width} x {height} "
            f"times it at most 4,096 wide and high"
        )
    return scale


def _frames(
    recording: Recording, pictures: np.ndarray, scale: int, ground: Any, bonus: Any, reward: Any
) -> Iterator[np.ndarray]:
    """Pictures (N + 1, H, W, …) enlarged, with the bar under them; its colours are of the pictures' kind: indices, or
    RGB."""
    height, width = (size * scale for size in pictures.shape[1:3])
    thick = max(4, height // 40)
    shares = np.clip(recording.bonus / max(float(recording.bonus.max(initial=0.0)), 1e-9), 0, 1)
    for t, picture in enumerate(pictures):
        frame = np.empty((height + 2 * thick, width, *picture.shape[2:]), np.uint8)
        frame[:height] = picture.repeat(scale, 0).repeat(scale, 1)
        frame[height:] = ground
        if t:
            if recording.reward[t - 1] != 0:
                frame[height + thick // 2 :] = reward
            frame[height + thick // 2 : height + thick // 2 + thick, : round(float(shares[t - 1]) * width)] = bonus
        yield frame


def _coloured(image: Any, colours: np.ndarray) -> Any:
    image.putpalette(colours.tobytes())
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
    if not (stream.isatty() and _writes(stream, "▀█·")):
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


def _writes(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _numbers(recording: Recording, t: int, between: str) -> str:
    """What one wants to know after t steps."""
    parts = [f"step {t}/{len(recording.bonus)}"]
    if t:
        parts.append(f"bonus {recording.bonus[t - 1]:.2f} (mean {recording.bonus[:t].mean():.2f})")
    parts.append(f"reward {recording.reward[:t].sum():g}")
    seen = recording.place[: t + 1]
    if (seen >= 0).any():
        count = len(np.unique(seen[seen >= 0]))
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
        line, before = [], None
        for above, below in zip(upper, lower, strict=True):
            if (above, below) != before:
                line.append("\x1b[38;2;{};{};{}m\x1b[48;2;{};{};{}m".format(*above, *below))
                before = (above, below)
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
