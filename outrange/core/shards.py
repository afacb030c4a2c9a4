"""Datasets on disk, written shard by shard: resumable after any kind of death, byte-stable, by several processes on
request.

A directory holds ``plan.json`` (what it is to become; written first), the shards (each complete or absent), and, when
all are there, ``README.md`` and ``manifest.json`` with rows and SHA-256 of each. A shard's bytes depend on its task
alone, so it does not matter which process wrote it, or when.
"""

import fcntl
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from outrange.core.atomic import replaced, writable, write_text
from outrange.core.errors import BadInput


class Task(Protocol):
    """One shard: where it goes below the directory, how many rows it will have, and how to write it."""

    path: str
    rows: int

    def write(self, target: Path) -> None: ...


Progress = Callable[[int, int], None]  # rows written so far, of how many


def export(
    target: Path,
    plan: Mapping[str, Any],
    tasks: Sequence[Task],
    card: Callable[[dict], str],
    workers: int = 1,
    report_progress: Progress | None = None,
) -> dict:
    """Write all shards that are not there yet; returns the manifest.

    Args:
        target: the directory, made if absent. One that holds another plan is refused.
        plan: everything the bytes depend on, as JSON.
        tasks: one a shard; with ``workers`` above 1 they must pickle.
        card: from the manifest to the text of ``README.md``.
        report_progress: called with the rows done and to do, also once at the start with what was there already.
    """
    with writable("target", target):
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()) and not (target / "plan.json").exists():
            raise BadInput(
                f"target: {str(target)!r} is not empty and holds no export; give a new or an empty directory"
            )
        with _locked(target):
            _refuse_other_plan(target, plan)
            for leftover in target.rglob(".*.partial"):  # of processes that died while writing
                leftover.unlink()
            missing = [task for task in tasks if not (target / task.path).exists()]
            total = sum(task.rows for task in tasks)
            done = total - sum(task.rows for task in missing)
            if report_progress:
                report_progress(done, total)
            for task in _write_all(target, missing, workers):
                done += task.rows
                if report_progress:
                    report_progress(done, total)
            # only a directory with all its shards has a manifest and a README
            manifest = {"plan": dict(plan), "rows": total, "files": [_entry(target, task) for task in tasks]}
            manifest["sha256"] = hashlib.sha256(
                "".join(entry["sha256"] for entry in manifest["files"]).encode()
            ).hexdigest()
            write_text(target / "README.md", card(manifest))
            write_text(target / "manifest.json", json.dumps(manifest, indent=1) + "\n")
            return manifest


def _refuse_other_plan(target: Path, plan: Mapping[str, Any]) -> None:
    path, text = target / "plan.json", json.dumps(plan, indent=1, sort_keys=True) + "\n"
    if not path.exists():
        write_text(path, text)
    elif path.read_text(encoding="utf-8") != text:
        difference = _difference(json.loads(path.read_text(encoding="utf-8")), dict(plan))
        raise BadInput(
            f"target: {str(target)!r} holds another export ({difference}); give a new directory, or the same arguments to resume it"
        )


def _difference(before: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """The first key in which two plans differ, with the value of each."""
    for key in sorted(before.keys() | plan.keys()):
        if before.get(key) != plan.get(key):
            return f"{key} {json.dumps(before.get(key))[:60]}, now {json.dumps(plan.get(key))[:60]}"
    return "written differently"


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    handle = os.open(target, os.O_RDONLY)  # the directory itself is locked, so nothing is left behind
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BadInput(
            f"target: {str(target)!r} is being written by another process; wait for it or give another directory"
        ) from None
    finally:
        os.close(handle)


def _write_all(target: Path, tasks: Sequence[Task], workers: int) -> Iterator[Task]:
    """Write the tasks' shards, yielding each task when its shard is complete."""
    if workers <= 1 or len(tasks) <= 1:
        for task in tasks:
            _write(task, target)
            yield task
        return
    context = multiprocessing.get_context("spawn")  # forked workers would share locks and threads that may hang them
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context) as pool:
        waiting, running = list(reversed(tasks)), {}  # a bounded queue: a plan may have many thousand shards
        try:
            while waiting or running:
                while waiting and len(running) < 2 * workers:
                    task = waiting.pop()
                    running[pool.submit(_write, task, target)] = task
                finished: set[Future] = wait(running, return_when=FIRST_COMPLETED).done
                for future in finished:
                    future.result()  # raises what the worker met
                    yield running.pop(future)
        except BrokenProcessPool:
            raise BadInput(
                "workers: a worker process died, perhaps for want of memory; run the same command again to go on, with fewer workers"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _write(task: Task, target: Path) -> None:
    path = target / task.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as partial:
        task.write(partial)


def _entry(target: Path, task: Task) -> dict[str, Any]:
    with open(target / task.path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": task.path, "rows": task.rows, "bytes": (target / task.path).stat().st_size, "sha256": digest}
