"""The actor in a process of its own, so that acting and learning take a core each.

The networks that act lie in shared memory and are those that the learner moves. The actor may be ``acting.steps_ahead``
steps of its environments in front of the learner; 0 is lock-step: it waits for the learner after each step, and the run
is the same, number for number, as with the actor inline.
"""

import signal
from collections import deque
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from torch import Tensor

from outrange.core.errors import BadInput
from outrange.core.run import Failed
from outrange.core.seeding import SeedTree
from outrange.exploration import agents
from outrange.exploration.acting.actor import Actor, Arrays, RowSink, environments, process_settings
from outrange.exploration.agents.contract import Agent
from outrange.exploration.config import TrainConfig
from outrange.exploration.spec import Spec

PATIENCE = 5.0  #: seconds that the process has to end by itself


class Remote:
    """What ``Actor`` is, spoken to through a pipe. ``replay`` gets the rows as they come."""

    def __init__(self, config: TrainConfig, agent: Agent, replay: RowSink) -> None:
        self.replay, self.steps_ahead, self.requested = replay, config.acting.steps_ahead, 0
        context = torch.multiprocessing.get_context("spawn")
        self._pipe, other_end = context.Pipe()
        arguments = (other_end, config, shared_tensors(agent))
        self._process = context.Process(target=serve, args=arguments, daemon=True, name="actor")
        self._process.start()
        other_end.close()  # so that a process that dies is noticed at this end
        self._steps: deque[tuple[int, list[Any]]] = deque()
        self._receive()  # it is there, or says why not

    def advance(self, uniform: bool = False) -> int:
        """One step of all environments; the process is asked for ``acting.steps_ahead`` more of them."""
        # keep the process busy: while the learner learns, it takes the next steps
        while self.requested < 1 + (0 if uniform else self.steps_ahead):
            self._send("advance", uniform)
            self.requested += 1
        return self._take_step()

    def restart(self) -> None:
        """See ``Actor.restart``."""
        self._ask("restart")

    def refresh(self) -> None:
        """See ``Actor.refresh``."""
        self._ask("refresh")

    def report(self) -> dict[str, float]:
        """See ``Actor.report``."""
        return self._ask("report")

    def state_dict(self) -> tuple[dict[str, Arrays], dict[str, Any]]:
        """See ``Actor.state_dict``; call ``drain`` first, or steps that were taken ahead are lost."""
        return self._ask("state_dict")

    def load_state_dict(self, groups: Mapping[str, Mapping[str, np.ndarray]], counters: Mapping[str, Any]) -> None:
        """See ``Actor.load_state_dict``."""
        self._ask("load_state_dict", groups, counters)

    def drain(self) -> int:
        """Take in all steps that were asked for, so that nothing is under way; returns how many transitions they
        were."""
        transitions = 0
        while self.requested:
            transitions += self._take_step()
        return transitions

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

    def _take_step(self) -> int:
        """The oldest step that was asked for: its rows go to the replay; returns how many transitions it was."""
        transitions, rows = self._steps.popleft() if self._steps else self._receive()
        self.requested -= 1
        for method, *arguments in rows:
            getattr(self.replay, method)(*arguments)
        return transitions

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
        # answers come in order, so the steps under way come first
        for _ in range(self.requested - len(self._steps)):
            self._steps.append(self._receive())
        return self._receive()


class Outbox:
    """A replay that only notes what is to be done to the real one."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def append(self, columns: Mapping[str, np.ndarray], mask: np.ndarray, state: np.ndarray) -> None:
        self.rows.append(("append", dict(columns), mask, state))

    def drop(self, mask: np.ndarray, lengths: np.ndarray) -> None:
        self.rows.append(("drop", mask, lengths.copy()))


def shared_tensors(agent: Agent) -> dict[str, dict[str, Tensor]]:
    """The tensors of everything that acts, in shared memory from now on."""
    modules = agent.acting_modules()
    return {name: dict(module.share_memory().state_dict(keep_vars=False)) for name, module in modules.items()}


def serve(pipe: Connection, config: TrainConfig, weights: dict[str, dict[str, Tensor]]) -> None:
    """The process: an actor that does what it is asked for, until it is asked to close or the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the learner decides when to stop
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with process_settings(config):
        _serve(pipe, config, weights)


def _serve(pipe: Connection, config: TrainConfig, weights: dict[str, dict[str, Tensor]]) -> None:
    envs = None
    try:
        seeds, outbox = SeedTree(config.seed), Outbox()
        envs = environments(config, seeds.child("env"))
        agent = agents.make(config, Spec.of(envs), seeds)
        # from here on this agent's networks are the learner's
        for name, module in agent.acting_modules().items():
            for key, tensor in module.state_dict(keep_vars=True).items():
                tensor.data = weights[name][key]
        parts = agents.acting_parts(config, agent, envs.count, seeds.child("actor").numpy())
        actor = Actor(config, envs, agent, parts, outbox)
        pipe.send(("done", None))
        while True:
            method, *arguments = pipe.recv()
            if method == "close":
                break
            answer = getattr(actor, method)(*arguments)
            if method == "advance":
                answer, outbox.rows = (answer, outbox.rows), []
            pipe.send(("done", answer))
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the learner is gone: nobody is left to answer
        pass
    except BadInput as error:
        pipe.send(("bad", str(error)))
    except Failed as error:
        pipe.send(("failed", str(error)))
    finally:
        if envs is not None:
            envs.close()
