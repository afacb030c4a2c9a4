"""The contract of environments (contract.py), executable: ``check_envs`` plays at random and says every breach in a
sentence.

For a new adapter or environment of one's own; an empty list means that none was found. Each kind of breach is said
once, with the first step that shows it.
"""

import dataclasses

import numpy as np

from outrange.core.errors import BadInput
from outrange.core.seeding import SeedTree
from outrange.exploration.envs.contract import Envs, Step

_FLAGS = ("terminated", "truncated", "started", "valid", "broken")


def check_envs(envs: Envs, *, steps: int = 200, seed: int = 0, twin: Envs | None = None) -> list[str]:
    """Breaches of the contract, as sentences.

    Args:
        envs: they are reset, stepped and, where exact, brought back to an earlier state.
        steps: how many; episodes must end within them.
        seed: of the actions.
        twin: a second set made with the same seed, to be compared with; neither may have been reset before.
    """
    breaches = _Breaches(envs.name)
    _check_attributes(breaches, envs)
    random = SeedTree(seed).child("check").numpy()
    actions = random.integers(envs.actions, size=(steps, envs.count))
    observation, place = envs.reset()
    _check_observation(breaches, envs, "observation of reset", observation)
    breaches.add(_unlike(place, (envs.count,), np.int64), "the place of reset is {}")
    if twin is not None:
        other, other_place = twin.reset()
        breaches.add(
            not (_same(observation, other) and _same(place, other_place)),
            "a second one with the same seed begins otherwise",
        )
    due = np.zeros(envs.count, bool)  # where an episode has ended and the next one has not begun
    ends, before = 0, None
    for t, chosen in enumerate(actions):
        breaches.at = f" (step {t})"
        kept = chosen.copy()  # to see whether the step writes into what it is given
        step = envs.step(chosen)
        breaches.add(not _same(kept, chosen), "step writes into the actions that it is given")
        if before is not None:
            breaches.add(_difference(*before), "step writes into {} of the step before")
        if not _check_types(breaches, envs, step):
            return list(breaches.said.values())  # nothing else can be said of such a step
        before = step, _copy(step)
        _check_step(breaches, step)
        due = _check_boundaries(breaches, step, due)
        ends += int((step.terminated | step.truncated).sum())
        if twin is not None:
            breaches.add(
                _difference(step, twin.step(chosen)), "a second one with the same seed and actions differs in {}"
            )
    breaches.at = ""
    breaches.add(
        ends == 0,
        f"no episode ended within {steps} steps, so what happens there was not seen; give more steps or shorter "
        f"episodes",
    )
    if envs.exact:
        _check_load_state_dict(breaches, envs, actions[: max(steps // 2, 1)])
    _check_rest(breaches, envs)
    return list(breaches.said.values())


class _Breaches:
    def __init__(self, name: str) -> None:
        self.name, self.at, self.said = name, "", {}

    def add(self, wrong: object, sentence: str) -> None:
        """Say a sentence if something is wrong, what it is in the place of {}; each sentence once."""
        if wrong and sentence not in self.said:
            self.said[sentence] = f"{self.name}: {sentence.format(wrong)}{self.at}"


def _unlike(value: object, shape: tuple[int, ...], dtype: type | np.dtype) -> str:
    """What is wrong with the type or shape of an array; "" if nothing is."""
    if not isinstance(value, np.ndarray):
        return f"{type(value).__name__}, not an array"
    if value.shape != shape or value.dtype != dtype:
        return f"{value.dtype} of shape {value.shape} instead of {np.dtype(dtype)} of shape {shape}"
    return ""


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _difference(a: Step, b: Step) -> str:
    """The first field in which two steps differ."""
    return next(
        (field.name for field in dataclasses.fields(Step) if not _same(getattr(a, field.name), getattr(b, field.name))),
        "",
    )


def _copy(step: Step) -> Step:
    return Step(**{field.name: getattr(step, field.name).copy() for field in dataclasses.fields(Step)})


def _check_attributes(breaches: _Breaches, envs: Envs) -> None:
    breaches.add(
        len(envs.action_names) != envs.actions,
        f"it has {envs.actions} actions and {len(envs.action_names)} names for them",
    )
    breaches.add(not isinstance(envs.dtype, np.dtype), "its dtype is not a numpy dtype")
    breaches.add(envs.codes and envs.dtype != np.uint8, "it shows codes of cells in another type than uint8")
    breaches.add(envs.places().shape != (envs.count,) or envs.places().dtype != np.int64, "places is not (B,) int64")


def _check_observation(breaches: _Breaches, envs: Envs, what: str, value: np.ndarray) -> bool:
    unlike = _unlike(value, (envs.count, *envs.shape), envs.dtype)
    breaches.add(unlike, f"the {what} is {{}}")
    if not unlike:
        breaches.add(not np.isfinite(value).all(), f"the {what} is not finite")
        breaches.add(envs.codes and int(value.max()) >= envs.codes, f"the {what} holds a code beyond {envs.codes - 1}")
    return not unlike


def _check_types(breaches: _Breaches, envs: Envs, step: Step) -> bool:
    """Whether the arrays of a step are of the shapes and types that they must be."""
    right = _check_observation(breaches, envs, "observation", step.observation)
    right &= _check_observation(breaches, envs, "final observation", step.final)
    for name, dtype in {
        "reward": np.float32,
        **dict.fromkeys(_FLAGS, bool),
        "place": np.int64,
        "start_place": np.int64,
    }.items():
        unlike = _unlike(getattr(step, name), (envs.count,), dtype)
        breaches.add(unlike, f"{name} is {{}}")
        right &= not unlike
    return right


def _check_step(breaches: _Breaches, step: Step) -> None:
    breaches.add(not np.isfinite(step.reward).all(), "a reward is not finite")
    breaches.add(
        (step.terminated & step.truncated).any(), "an episode is both terminated and truncated; terminated wins"
    )
    # a step that is no transition has nothing in it but a beginning
    idle = ~step.valid
    breaches.add((idle & (step.terminated | step.truncated)).any(), "an episode ends in a step that is not valid")
    breaches.add((idle & (step.reward != 0)).any(), "a step that is not valid has a reward")
    breaches.add((idle & ~step.started).any(), "a step is not valid though no episode begins in it")
    breaches.add((step.broken & step.valid).any(), "a step is broken and valid")
    breaches.add((step.broken & ~step.started).any(), "an environment is broken and does not begin anew")
    # within an episode the two observations, and the two places, are one
    going = ~step.started
    breaches.add(
        not _same(step.final[going], step.observation[going]),
        "within an episode the final observation is not what is shown",
    )
    breaches.add(
        not _same(step.place[going], step.start_place[going]),
        "within an episode the place is not where the observation is",
    )
    breaches.add(
        not step.started.any() and step.final is not step.observation,
        "the final observation is another array though no episode began",
    )


def _check_boundaries(breaches: _Breaches, step: Step, due: np.ndarray) -> np.ndarray:
    """``due``: where an episode ended and the next one has not begun; returns it for the next step."""
    ended = step.terminated | step.truncated
    breaches.add((due & ~step.started).any(), "an episode ended, and the step after begins no other")
    breaches.add((due & step.valid).any(), "the step between two episodes is a valid transition")
    breaches.add((step.started & ~ended & ~due & ~step.broken).any(), "an episode begins though none ended")
    return ended & ~step.started


def _check_load_state_dict(breaches: _Breaches, envs: Envs, actions: np.ndarray) -> None:
    state = envs.state_dict()
    breaches.add(
        [name for name, array in state.items() if not isinstance(array, np.ndarray)],
        "state holds what is not an array: {}",
    )
    kept = {name: array.copy() for name, array in state.items()}
    steps = [_copy(envs.step(chosen)) for chosen in actions]
    breaches.add(
        [name for name in kept if not _same(kept[name], state[name])],
        "going on writes into a state that was handed out: {}",
    )
    envs.load_state_dict(kept)
    for t, (chosen, step) in enumerate(zip(actions, steps, strict=True)):
        breaches.at = f" (step {t} after load_state_dict)"
        breaches.add(
            _difference(step, envs.step(chosen)),
            "it says that it is exact; after load_state_dict and the same actions it differs in {}",
        )
    breaches.at = ""


def _check_rest(breaches: _Breaches, envs: Envs) -> None:
    picture = envs.picture(0)
    breaches.add(
        picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3, "picture is not (H, W, 3) uint8"
    )
    for wrong in (
        np.full(envs.count, envs.actions),
        np.full(envs.count, -1),
        np.zeros(envs.count + 1, np.int64),
        np.zeros(envs.count),
    ):
        try:
            envs.step(wrong)
            breaches.add(True, "step takes actions that do not exist, instead of raising BadInput")
        except BadInput:  # as it must
            pass
