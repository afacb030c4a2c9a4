"""What environments look like to an agent. It is saved with a run, so that a policy can be loaded without its
environments."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from outrange.exploration.envs.contract import Envs


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Observations and actions of an environment; ``core.config.to_json`` and ``from_json`` write and read it."""

    shape: tuple[int, ...]
    """the shape of one observation"""
    dtype: str
    """the numpy type of an observation's numbers, by name"""
    codes: int
    """how many cell codes there are where an observation is a grid of codes, else 0"""
    actions: int
    """how many actions there are"""
    action_names: tuple[str, ...]
    """what the actions are called"""

    @classmethod
    def of(cls, envs: "Envs") -> "Spec":
        """The spec of environments."""
        return cls(
            shape=tuple(envs.shape),
            dtype=np.dtype(envs.dtype).name,
            codes=envs.codes,
            actions=envs.actions,
            action_names=tuple(envs.action_names),
        )

    @property
    def of_bytes(self) -> bool:
        """Whether an observation's numbers are bytes."""
        return self.dtype == "uint8"
