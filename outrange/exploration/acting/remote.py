"""The actor in a process of its own, so that acting and learning take a core each.

The networks that act lie in shared memory and are those that the learner moves. The actor may be ``ahead`` steps of its environments in front of the
learner; 0 is lock-step: it waits for the learner after each step, and the run is the same, number for number, as with the actor inline.
"""

import signal
from collections import deque
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from outrange.core.errors import BadInput
from outrange.core.run import Failed
from outrange.core.seeding import SeedTree
from outrange.exploration.acting.actor import Actor, Rows, environments, settled
from outrange.exploration.agents.ngu import NGU
from outrange.exploration.config import TrainConfig

PATIENCE = 5.0  #: seconds that the process has to end by itself


class Remote:
    """What ``Actor`` is, spoken to through a pipe. ``replay`` gets the rows as they come."""

    def __init__(self, config: TrainConfig, agent: NGU, replay: Rows) -> None:
        self.replay, self.ahead, self.asked = replay, config.acting.ahead, 0
        context = torch.multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, config, shared(agent)), daemon=True, name="actor")
        self._process.start()
        theirs.close()
        self._waiting: deque[tuple[int, list[Any]]] = deque()
        self._receive()  # it is there, or says why not

    def advance(self, uniform: bool = False) -> int:
        """One step of all environments; the process is asked for ``ahead`` more of them."""
        while self.asked < 1 + (0 if uniform else self.ahead):
            self._send("advance", uniform)
            self.asked += 1
        done, rows = self._waiting.popleft() if self._waiting else self._receive()
        self.asked -= 1
        for method, *given in rows:
            getattr(self.replay, method)(*given)
        return done

    def restart(self) -> None:
        """See ``Actor.restart``."""
        self._ask("restart")

    def refresh(self) -> None:
        """Give the actor the embedding as it is now."""
        self._ask("refresh")

    def report(self) -> dict[str, float]:
        """See ``Actor.report``."""
        return self._ask("report")

    def arrays(self) -> dict[str, np.ndarray]:
        """See ``Actor.arrays``. Steps that were taken ahead are kept for the next ``advance``, and belong to what is saved as rows yet to come."""
        return self._ask("arrays")

    def counters(self) -> dict[str, Any]:
        """See ``Actor.counters``."""
        return self._ask("counters")

    def restore(self, arrays: dict[str, np.ndarray], counters: dict[str, Any]) -> None:
        """See ``Actor.restore``."""
        self._ask("restore", arrays, counters)

    def drain(self) -> int:
        """Take in all steps that were asked for, so that nothing is under way; returns how many transitions they were."""
        done = 0
        while self.asked:
            step, rows = self._waiting.popleft() if self._waiting else self._receive()
            self.asked -= 1
            done += step
            for method, *given in rows:
                getattr(self.replay, method)(*given)
        return done

    def close(self) -> None:
        """End the process."""
        if self._process.is_alive():
            try:
                self._pipe.send(("close",))
                self._process.join(PATIENCE)
            except OSError:  # it went away by itself
                pass
        if self._process.is_alive():
            self._process.kill()  # it does not hear anything softer
            self._process.join(PATIENCE)
        self._pipe.close()

    def _send(self, *message: Any) -> None:
        try:
            self._pipe.send(message)
        except OSError:
            raise Failed("the actor's process ended; go on from the last checkpoint") from None

    def _receive(self) -> Any:
        try:
            kind, value = self._pipe.recv()
        except (EOFError, OSError):
            raise Failed("the actor's process ended; go on from the last checkpoint") from None
        if kind == "bad":
            raise BadInput(value)
        if kind == "failed":
            raise Failed(value)
        return value

    def _ask(self, *message: Any) -> Any:
        """Send a question; steps that come before its answer are kept."""
        self._send(*message)
        for _ in range(self.asked - len(self._waiting)):
            self._waiting.append(self._receive())
        return self._receive()


class Outbox:
    """A replay that only notes what it is told."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def append(self, columns: Mapping[str, np.ndarray], where: np.ndarray, state: np.ndarray) -> None:
        self.rows.append(("append", dict(columns), where, state))

    def drop(self, where: np.ndarray, lengths: np.ndarray) -> None:
        self.rows.append(("drop", where, lengths.copy()))


def shared(agent: NGU) -> dict[str, dict[str, Tensor]]:
    """The tensors of everything that acts, in shared memory from now on."""
    return {name: dict(module.share_memory().state_dict(keep_vars=False)) for name, module in _acting(agent).items()}


def _acting(agent: NGU) -> dict[str, nn.Module]:
    names = ["online"] + ["embedding"] * agent.bonus.embeds + ["rnd"] * agent.bonus.distils
    return {name: getattr(agent, name) for name in names}


def serve(pipe: Connection, config: TrainConfig, weights: dict[str, dict[str, Tensor]]) -> None:
    """The process: an actor that does as it is told, until it is told to close or the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the learner decides when to stop
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with settled(config):
        _serve(pipe, config, weights)


def _serve(pipe: Connection, config: TrainConfig, weights: dict[str, dict[str, Tensor]]) -> None:
    envs = None
    try:
        seeds, outbox = SeedTree(config.seed), Outbox()
        envs = environments(config, seeds.child("env"))
        agent = NGU(config, envs, seeds)
        for name, module in _acting(agent).items():
            for key, tensor in module.state_dict(keep_vars=True).items():
                tensor.data = weights[name][key]
        agent.refresh()
        actor = Actor(config, envs, agent, outbox, seeds)
        pipe.send(("done", None))
        while True:
            what, *given = pipe.recv()
            if what == "close":
                break
            if what == "advance":
                done = actor.advance(*given)
                rows, outbox.rows = outbox.rows, []
                pipe.send(("done", (done, rows)))
            else:
                pipe.send(("done", getattr(agent if what == "refresh" else actor, what)(*given)))
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the learner is gone: nobody is left to tell
        pass
    except BadInput as error:
        pipe.send(("bad", str(error)))
    except Failed as error:
        pipe.send(("failed", str(error)))
    finally:
        if envs is not None:
            envs.close()
