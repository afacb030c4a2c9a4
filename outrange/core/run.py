"""A run is a directory: what it is, its configuration, where it ran, its numbers over time, its checkpoints.

Everything else reads these files.

``run.json`` (kind, schema, when) · ``config.json`` · ``environment.json`` (versions, processor, threads, command) ·
``metrics.jsonl`` · ``timing.jsonl`` · ``checkpoints/``. Nothing here imports torch until something is saved or loaded.
"""

import fcntl
import json
import logging
import math
import os
import platform
import re
import shlex
import signal
import sys
import threading
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from outrange.core import checkpoint, config, sealed
from outrange.core.atomic import Unwritable, writable, write_text
from outrange.core.checkpoint import Checkpoint
from outrange.core.errors import BadInput, brief
from outrange.core.metrics import MetricsLog

if TYPE_CHECKING:
    from outrange.core.sealed import Tensors

SCHEMA = 1
T = TypeVar("T")
log = logging.getLogger("outrange")


class Failed(RuntimeError):
    """A run cannot go on; the message is one sentence, and its checkpoints are as they were."""


class NonFinite(Failed):
    """A number that must be finite is not; the message is one sentence that names it."""


def check_finite(value: float, what: str, step: int | None = None) -> None:
    """Raise NonFinite unless a number is finite; called before anything is updated from it."""
    if not math.isfinite(value):
        when = "" if step is None else f" at step {step}"
        raise NonFinite(
            f"{what} is {float(value)}{when}; nothing was updated; go on from the last checkpoint with a lower learning rate or a smaller clip"
        )


def default(kind: str, name: str) -> Path:
    """Where a run goes if nobody says: below ``runs/``."""
    return Path("runs") / f"{kind}-{re.sub('[^A-Za-z0-9_.+-]+', '-', name)[:80]}"


class Run:
    """A run's directory. ``with run:`` takes it for this process alone, which writing needs; reading does not."""

    def __init__(self, path: Path) -> None:
        """Use ``create`` or ``open``."""
        self.path = path
        about = config.read_object(path / "run.json", "run")
        if about.get("schema") != SCHEMA:
            raise BadInput(
                f"run: {str(path)!r} has schema {brief(about.get('schema'))}; this version reads {SCHEMA}; use the version that wrote it"
            )
        if not isinstance(about.get("kind"), str):
            raise BadInput(f"run: {str(path / 'run.json')!r} names no kind; put back a copy")
        self.kind, self.created = about["kind"], str(about.get("created", ""))
        self.config = config.read_object(path / "config.json", "run")
        self.digest = config.digest(self.config)
        self._logs: tuple[MetricsLog, MetricsLog] | None = None
        self._unsaved: Unwritable | None = None

    @classmethod
    def create(cls, path: Path, kind: str, settings: Any) -> "Run":
        """Begin a run, or go on with the one of the same kind and configuration that the directory holds.

        Raises:
            BadInput: the directory holds something else, or cannot be written, or another process writes to it.
        """
        path, settings_json = Path(path), config.to_json(settings)
        if path.exists() and not path.is_dir():
            raise BadInput(f"run: {str(path)!r} is not a directory; give a new directory")
        with writable("run", path):
            path.mkdir(parents=True, exist_ok=True)
            lock = _lock_directory(path)  # against a second process that begins the same run now
            try:
                if not (path / "run.json").exists():
                    if any(inner.name != ".run.json.partial" for inner in path.iterdir()):
                        raise BadInput(
                            f"run: {str(path)!r} is not empty and holds no run; give a new or an empty directory"
                        )
                    about = {"kind": kind, "schema": SCHEMA, "created": datetime.now(UTC).isoformat(timespec="seconds")}
                    write_text(
                        path / "run.json", _dump(about)
                    )  # first, so that a directory left by a death in between is known for what it is
                if not (path / "config.json").exists():
                    write_text(path / "config.json", _dump(settings_json))
                run = cls(path)
                run._refuse_other(kind, settings, settings_json)
                run._note_environment()
                return run
            finally:
                os.close(lock)

    @classmethod
    def open(cls, path: Path) -> "Run":
        """The run that a directory holds."""
        path = Path(path)
        if not (path / "run.json").is_file():
            what = "holds no run: it has no run.json" if path.is_dir() else "is not a directory"
            raise BadInput(f"run: {str(path)!r} {what}; `outrange run list` shows the runs")
        return cls(path)

    @staticmethod
    def configuration(path: Path, cls: type[T]) -> T:
        """The configuration of a run, as an instance of its class.

        Raises:
            BadInput: the run is of another kind than the class is for (its ``KIND``, where it has one).
        """
        run = Run.open(path)
        run.require_kind(getattr(cls, "KIND", run.kind))
        return config.from_json(cls, run.config)

    def require_kind(self, kind: str) -> None:
        """Raise ``BadInput`` if this is a run of another kind."""
        if self.kind != kind:
            raise BadInput(
                f"run: {str(self.path)!r} holds a run of kind {self.kind!r}; this is for runs of `outrange {kind} train`"
            )

    def _refuse_other(self, kind: str, settings: Any, settings_json: Mapping[str, Any]) -> None:
        if self.kind != kind:
            raise BadInput(
                f"run: {str(self.path)!r} holds a run of kind {self.kind!r}, not {kind!r}; give a new directory"
            )
        # as of this version: settings added since then take their defaults, former names are those of today
        own = config.from_json(type(settings), self.config, f"run {str(self.path)!r} config")
        own_json = config.to_json(own)
        if own_json != settings_json:
            difference = config.differing(own_json, settings_json)
            raise BadInput(
                f"run: {str(self.path)!r} holds a run with another configuration ({difference}); "
                "give a new directory, or the same settings to go on with it"
            )

    def _note_environment(self) -> None:
        """Where the run was begun, and, if it went on elsewhere, where it is now and was before."""
        path, current = self.path / "environment.json", environment()
        last = config.read_object(path, "run") if path.is_file() else {}
        earlier = last.pop("earlier", [])
        if last != current:
            write_text(path, _dump(current | {"earlier": [*earlier, last][-20:] if last else []}))

    def __enter__(self) -> "Run":
        with writable("run", self.path):
            # held until the run is left; the system lets go of it if the process dies
            self._lock = _lock_directory(self.path)
            try:
                self._note_environment()
                self._logs = MetricsLog(self.path / "metrics.jsonl"), MetricsLog(self.path / "timing.jsonl")
            except BaseException:
                os.close(self._lock)
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        logs, self._logs = self._logs or (), None
        unsaved, self._unsaved = self._unsaved, None
        try:
            for metrics_log in logs:
                try:
                    metrics_log.close()
                except Unwritable as error:
                    unsaved = unsaved or error
        finally:
            os.close(self._lock)
        if unsaved and kind is None:  # another error is on its way already
            raise unsaved

    @property
    def metrics(self) -> MetricsLog:
        """What a resumed run repeats exactly."""
        return self._open_logs()[0]

    @property
    def timing(self) -> MetricsLog:
        """What a clock said."""
        return self._open_logs()[1]

    def _open_logs(self) -> tuple[MetricsLog, MetricsLog]:
        if self._logs is None:
            raise RuntimeError("a run is written to inside `with run:` only")
        return self._logs

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def save(
        self,
        step: int,
        tensors: "Mapping[str, Tensors]",
        state: Mapping[str, Any],
        keep: int = 2,
        protect: Collection[int] = (),
        must: bool = False,
    ) -> Path | None:
        """Save a checkpoint; see ``checkpoint.save``.

        A disk that cannot take it is said loudly and the training goes on, returning None; if no later save succeeds,
        the run ends with that error. With ``must`` it is raised at once.
        """
        try:
            for metrics_log in self._open_logs():
                metrics_log.sync()  # a checkpoint must not outlive the lines before it
            path = checkpoint.save(
                self.checkpoints, step, tensors, state, digest=self.digest, keep=keep, protect=protect
            )
        except Unwritable as error:
            if must:
                raise
            log.warning("%s; step %s was not saved, the run goes on", error, step)
            self._unsaved = error
            return None
        self._unsaved = None
        return path

    def load(self, step: int | None = None, only: Collection[str] | None = None) -> Checkpoint | None:
        """The newest whole checkpoint, or that of a step; None if there is none yet.

        Says on the log what was passed over.

        Inside ``with run:`` the metrics go back to that step as well. ``only`` names the groups of tensors to read, see
        ``checkpoint.load``.
        """
        newest = None
        if step is not None or checkpoint.steps(self.checkpoints):
            newest = checkpoint.load(self.checkpoints, digest=self.digest, step=step, only=only)
            for reason in newest.skipped:
                log.warning("run: %s: %s", self.path, reason)
            if self._logs:
                self._warn_of_other_versions(newest)
        if not newest and any(metrics_log.path.stat().st_size for metrics_log in self._logs or ()):
            log.warning("run: %s has metrics and no checkpoint; it begins anew, and its metrics with it", self.path)
        for metrics_log in self._logs or ():
            metrics_log.rewind(newest.step if newest else -1)
        return newest

    def _warn_of_other_versions(self, loaded: Checkpoint) -> None:
        """Numbers repeat to the bit with the same threads and versions only."""
        written_with, current = (
            {"threads": side["threads"], **(side["versions"] or {})} for side in (loaded.written_with, environment())
        )
        if difference := config.differing(written_with, current):
            log.warning(
                "run: %s: checkpoint %s was written with %s; what follows may differ in the last digits",
                self.path,
                loaded.step,
                difference,
            )


def environment() -> dict[str, Any]:
    """Where this process runs: versions, processor, threads, command."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    name = Path(sys.argv[0]).name.replace("__main__.py", "outrange")
    return {
        "versions": sealed.versions(),
        "cpu": _processor(),
        "system": platform.system(),
        "threads": threads,
        "command": shlex.join([name, *sys.argv[1:]]),
    }


class Stopping:
    """While it is entered, SIGTERM and SIGINT only set ``requested``, so that a trainer finishes its step, saves and
    ends; a second one ends at once.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stopping":
        if threading.current_thread() is threading.main_thread():  # elsewhere Python sets no handlers
            self._before = {
                number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)
            }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _on_signal(self, number: int, _: object) -> None:
        if self.requested:
            if sys.stderr.isatty():
                os.write(2, b"\x1b[?25h")  # a progress bar may have hidden the cursor
            # the second time: die of it, as if nobody had listened
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.requested = True
        os.write(2, b"stopping after this step; once more to stop at once\n")  # print may be in the middle of a line


def _lock_directory(path: Path) -> int:
    """Lock a directory until the handle is closed; the directory itself, so that nothing is left behind."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise BadInput(
            f"run: {str(path)!r} is being written by another process; wait for it or give another directory"
        ) from None
    return handle


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        models = []
    return (models[0] if models else "") or platform.processor() or platform.machine()


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1) + "\n"
