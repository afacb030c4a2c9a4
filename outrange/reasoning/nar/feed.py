"""Endless training batches of one algorithm (arXiv 2209.11142, section 3), and a thread that draws them ahead of time.

    Feed          feed[k] depends on (seed, algorithm, k) alone
    Background    draws what comes next while the model trains

Batches are drawn from ``clrs.dataset``, not from the published sampler's generator, so they differ from the published
ones but not their distribution.
"""

import queue
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from outrange.core.checks import whole
from outrange.reasoning import clrs
from outrange.reasoning.clrs.registry import get_algorithm
from outrange.reasoning.nar.samples import Samples, join_blocks, position_generator, prepare
from outrange.reasoning.nar.spec import task_spec


class Feed:
    """Training batches of one algorithm; ``feed[k]`` is that of step k and depends on (seed, algorithm, k) alone.

    Lengths take turns; every sample is fresh. By default lengths and sampler options are the generalist's (random edge
    probabilities and needles).

    Args:
        algorithm: one of ``clrs.names()``.
        batch_size: B.
        seed: 0 to 2**64 - 1.
        lengths: sampler lengths to take turns; None for the generalist's.
        options: of the algorithm's sampler; None for the generalist's.
        random_pos: whether positions are random.
        pred_as_input, permutations: as in ``spec.task_spec``.
    """

    def __init__(
        self,
        algorithm: str,
        batch_size: int = 32,
        seed: int = 0,
        lengths: Sequence[int] | None = None,
        options: Mapping[str, Any] | None = None,
        random_pos: bool = True,
        pred_as_input: bool | str = True,
        permutations: bool = True,
    ) -> None:
        registered = get_algorithm(algorithm)
        usual_lengths, usual_options = clrs.generalist(algorithm)
        self.algorithm = algorithm
        self.batch_size = whole("batch_size", batch_size, 1, 2**20)
        self.options = dict(usual_options if options is None else options)
        self.random_pos = random_pos
        self.spec_options: dict[str, Any] = dict(pred_as_input=pred_as_input, permutations=permutations)
        self.spec = task_spec(registered.spec, **self.spec_options)
        self.data = clrs.dataset(
            algorithm, usual_lengths if lengths is None else lengths, seed, options={algorithm: self.options}
        )
        self.seed, self.lengths = self.data.seed, tuple(length for _, length in self.data.cells)

    def __getitem__(self, k: int) -> Samples:
        round_, turn = divmod(whole("step", k, 0, 2**62), len(self.lengths))
        return self.draw(turn, round_, "positions", k)

    def draw(self, turn: int, round_: int, purpose: str, *numbers: int) -> Samples:
        """Samples ``round_ * B`` … of the length whose turn it is; positions come from the generator of this purpose
        and numbers.
        """
        blocks = list(self.data.cell_blocks(turn, round_ * self.batch_size, (round_ + 1) * self.batch_size))
        rng = position_generator(self.seed, f"{self.algorithm}/{purpose}", *numbers) if self.random_pos else None
        return prepare(join_blocks(blocks), random_pos=rng, **self.spec_options)


Item = TypeVar("Item", covariant=True)


class Indexed(Protocol[Item]):
    """What ``Background`` draws from: a ``Feed``, a ``ChunkedFeed``, or anything else with steps."""

    def __getitem__(self, k: int, /) -> Item: ...


class Background(Generic[Item]):
    """Yields (k, feed[k]) for k = start, start + 1, …, drawing up to ``ahead`` steps ahead in a thread.

    What the feed raises is raised by ``next``. Close it, or use it in a ``with``: no thread is left behind then. Nobody
    else may use a ChunkedFeed meanwhile.
    """

    def __init__(self, feed: Indexed[Item], start: int = 0, ahead: int = 2) -> None:
        self._items: queue.SimpleQueue = queue.SimpleQueue()
        self._free_places = threading.Semaphore(whole("ahead", ahead, 1, 2**20))
        stop_event = threading.Event()
        arguments = (feed, whole("start", start, 0, 2**62), self._items, self._free_places, stop_event)
        thread = threading.Thread(target=_draw_ahead, args=arguments, name="outrange-feed", daemon=True)
        # the thread knows nothing of this object, so that dropping it ends the thread
        self.close = weakref.finalize(self, _stop_drawing, stop_event, self._free_places, thread, self._items)
        thread.start()

    def __iter__(self) -> Iterator[tuple[int, Item]]:
        return self

    def __next__(self) -> tuple[int, Item]:
        if not self.close.alive:
            raise StopIteration
        k, item = self._items.get()
        self._free_places.release()
        if isinstance(item, BaseException):
            self.close()
            raise item
        if k < 0:  # another thread has closed it meanwhile
            raise StopIteration
        return k, item

    def __enter__(self) -> "Background[Item]":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _draw_ahead(
    feed: Indexed, k: int, items: queue.SimpleQueue, free_places: threading.Semaphore, stop_event: threading.Event
) -> None:
    while True:
        free_places.acquire()
        if stop_event.is_set():
            return
        try:
            item = feed[k]
        except BaseException as error:
            items.put((k, error))
            return
        items.put((k, item))
        del item  # else this thread would keep a batch alive while it waits
        k += 1


def _stop_drawing(
    stop_event: threading.Event, free_places: threading.Semaphore, thread: threading.Thread, items: queue.SimpleQueue
) -> None:
    stop_event.set()
    free_places.release()  # it may be waiting for one
    if thread is not threading.current_thread():
        thread.join()
    items.put((-1, None))  # for one who waits meanwhile
