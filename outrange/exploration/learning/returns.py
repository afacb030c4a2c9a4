"""What a value is trained towards: Retrace under a rescaling of values (arXiv 2002.06038, section 2 and appendix E) and
R2D2's n-step returns.

Tensors have time first and the batch second, (T, B), on any device; no gradient passes through anything here. Row t
holds x_t, the action a_t taken there, the reward r_t it brought, and d_t, the discount of what follows: gamma, or 0
where a_t ended the episode.

    h(x)     = sign(x) (sqrt(|x| + 1) - 1) + epsilon x
    c_t      = lambda min(1, pi(a_t | x_t) / mu(a_t | x_t))
    G_t      = r_t + d_t (E_pi Q(x_{t+1}, .) + c_{t+1} (G_{t+1} - Q(x_{t+1}, a_{t+1})))

with Q the target network's values, rescaling undone, pi the (nearly) greedy policy of the online network, and mu the
probability stored when acting. The target of the network is h(G). The backward form equals the paper's forward sum.

Where the paper disagrees with itself: epsilon of h is 1e-3 (its table; its appendix prints 1e-2), and the inverse
carries the square that its text lacks.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from outrange.core.errors import BadInput, brief, unknown

TRANSFORMS = ("rescale", "identity")


@torch.no_grad()
def rescale(x: Tensor, epsilon: float = 1e-3) -> Tensor:
    """h(x), of any shape; written without the difference that loses digits near 0. ``epsilon`` 0 is allowed."""
    return x / ((x.abs() + 1).sqrt() + 1) + epsilon * x


@torch.no_grad()
def unrescale(z: Tensor, epsilon: float = 1e-3) -> Tensor:
    """The x with h(x) = z.

    With v = sqrt(|x| + 1) - 1 the equation |z| = h(|x|) reads epsilon v^2 + (1 + 2 epsilon) v = |z|, and |x| = v (v +
    2): the published form, in which the root of the quadratic is taken so that nothing cancels.
    """
    size, slope = z.abs(), 1 + 2 * epsilon
    # the root of the quadratic in v
    v = 2 * size / ((slope * slope + 4 * epsilon * size).sqrt() + slope)
    return torch.copysign(v * (v + 2), z)


@dataclass(frozen=True, kw_only=True)
class Transform:
    """How the network's outputs stand for values: ``of`` goes from a value to what the network says, ``back`` the other
    way."""

    name: Literal["rescale", "identity"] = "rescale"
    epsilon: float = 1e-3
    """of h; unused by identity"""

    def __post_init__(self) -> None:
        if self.name not in TRANSFORMS:
            raise unknown("transform.name", self.name, TRANSFORMS, "a transform of values")
        if not 0 <= self.epsilon < math.inf:
            raise BadInput(f"transform.epsilon: {brief(self.epsilon)} is not allowed; it must be 0 or above, as 0.001")

    def of(self, x: Tensor) -> Tensor:
        """What the network should say for values ``x``; carries no gradient."""
        return rescale(x, self.epsilon) if self.name == "rescale" else x.detach()

    def back(self, z: Tensor) -> Tensor:
        """The values that the network's outputs ``z`` stand for; carries no gradient."""
        return unrescale(z, self.epsilon) if self.name == "rescale" else z.detach()


@torch.no_grad()
def greedy(q: Tensor, epsilon: float | Tensor) -> Tensor:
    """Probabilities of the epsilon-greedy policy: 1 - epsilon + epsilon / A for the first maximum, epsilon / A for all
    others.

    A random draw may hit the greedy action, so what was drawn at random has the same probability as what was chosen.

    Args:
        q: values (..., A).
        epsilon: one number, or one for each row, broadcast to (...).
    """
    if not isinstance(epsilon, Tensor) and not 0 <= epsilon <= 1:
        raise BadInput(f"epsilon: {brief(epsilon)} is not allowed; it must lie in 0..1")
    # every action has an equal part of the random share, the first maximum also the rest
    share = torch.as_tensor(epsilon, dtype=q.dtype, device=q.device).expand(q.shape[:-1])[..., None]
    random_probability = share / q.shape[-1]
    greedy_probability = 1 - share + random_probability
    best_action = q.argmax(-1, keepdim=True)
    return random_probability.expand(q.shape).scatter(-1, best_action, greedy_probability)


@torch.no_grad()
def taken(probabilities: Tensor, actions: Tensor) -> Tensor:
    """Of (..., A), the entries of the actions (...)."""
    return probabilities.gather(-1, actions.long()[..., None])[..., 0]


@torch.no_grad()
def traces(pi_taken: Tensor, mu: Tensor, lam: float, acted: Tensor | None = None) -> Tensor:
    """c_t = lambda min(1, pi / mu), between 0 and lambda however small mu is.

    Args:
        pi_taken: pi(a_t | x_t), (T, B).
        mu: the probability with which a_t was taken, (T, B).
        lam: lambda.
        acted: (T, B) bool, where an action was taken; given, mu is looked at there, for which the device is waited for.

    Raises:
        BadInput: lambda is not in 0..1, or a mu that was looked at is not above 0.
    """
    if not 0 <= lam <= 1:
        raise BadInput(f"lambda: {brief(lam)} is not allowed; it must lie in 0..1")
    if acted is not None and bool((acted & ~(mu > 0)).any()):
        worst = float(mu[acted & ~(mu > 0)][0])
        raise BadInput(f"mu: {worst} is not allowed; an action that was taken had a probability above 0")
    # without the division where the ratio is cut to 1 anyway: mu may be tiny
    return lam * torch.where(pi_taken >= mu, torch.ones_like(pi_taken), pi_taken / mu)


@torch.no_grad()
def retrace(value_taken: Tensor, expected: Tensor, reward: Tensor, discount: Tensor, trace: Tensor) -> Tensor:
    """Retrace(lambda) returns G, (T, B); all arguments are (T, B).

    Args:
        value_taken: Q(x_t, a_t) of the target network, rescaling undone.
        expected: E_pi Q(x_{t+1}, .) of the target network: row t already speaks of the next observation.
        reward: r_t, of the mixture that is trained.
        discount: gamma, 0 where a_t ended the episode.
        trace: c_t, 0 in rows that do not go on from the row before (the first of an episode, fillers). Row 0 is never
            used. Past the last row it is 0, so the returns end in an expected value.

    Raises:
        BadInput: the shapes differ.
    """
    _alike(value_taken=value_taken, expected=expected, reward=reward, discount=discount, trace=trace)
    # G - Q obeys (G - Q)_t = delta_t + d_t c_{t+1} (G - Q)_{t+1}: one operation a step
    excess = reward + discount * expected - value_taken
    # from the last row back, in place
    rows, weights = excess.unbind(), (discount[:-1] * trace[1:]).unbind()
    for t in range(len(weights) - 1, -1, -1):
        rows[t].addcmul_(weights[t], rows[t + 1])
    return value_taken + excess


@torch.no_grad()
def n_step(reward: Tensor, discount: Tensor, bootstrap: Tensor, n: int, continues: Tensor | None = None) -> Tensor:
    """n-step returns, (T, B): n discounted rewards and what is expected after them; all arguments are (T, B).

        G^1_t = r_t + d_t V_{t+1};   G^m_t = r_t + d_t (G^{m-1}_{t+1} if row t+1 goes on from row t, else V_{t+1})

    Fewer rewards are summed at the end of the sequence, where the episode ended (d_t = 0) and before rows that are no
    continuation; there what follows is the value at that point.

    Args:
        reward: r_t.
        discount: gamma, 0 where a_t ended the episode.
        bootstrap: V_{t+1}, the value at x_{t+1}: row t already speaks of the next observation (R2D2: the target
            network's, of the online network's action).
        n: how many rewards, at least 1 (R2D2: 5).
        continues: bool, whether row t goes on from row t - 1; all do if absent. Row 0 is never used.

    Raises:
        BadInput: the shapes differ, or n is below 1.
    """
    if n < 1:
        raise BadInput(f"n: {brief(n)} is not allowed; it must be at least 1")
    _alike(
        reward=reward, discount=discount, bootstrap=bootstrap, **({} if continues is None else {"continues": continues})
    )
    # G^1; then one more reward a round, until there are n
    total = reward + discount * bootstrap
    for _ in range(min(n, len(reward)) - 1):
        after = total[1:] if continues is None else torch.where(continues[1:], total[1:], bootstrap[:-1])
        total = reward + discount * torch.cat([after, bootstrap[-1:]])
    return total


@torch.no_grad()
def sequence_priority(td: Tensor, mask: Tensor, eta: float = 0.9) -> Tensor:
    """eta max_t |td_t| + (1 - eta) mean_t |td_t| over the rows that count, (B,); 0 for a sequence in which none does
    (R2D2, eta 0.9).

    Args:
        td: errors (T, B).
        mask: bool (T, B), the rows that count.
        eta: the share of the maximum.
    """
    if not 0 <= eta <= 1:
        raise BadInput(f"eta: {brief(eta)} is not allowed; it must lie in 0..1")
    _alike(td=td, mask=mask)
    size = torch.where(mask, td.abs(), torch.zeros_like(td))  # rows that do not count have no error
    return eta * size.amax(0) + (1 - eta) * size.sum(0) / mask.sum(0).clamp_min(1)


def _alike(**tensors: Tensor) -> None:
    """All of one shape, or it is said which is not: broadcasting would hide a transposed argument."""
    (first, expected), *rest = tensors.items()
    if expected.ndim < 2 or not expected.shape[0]:
        order = "time comes first, at least one row of it, and the batch second"
        raise BadInput(f"{first}: shape {tuple(expected.shape)} is not allowed; {order}")
    for name, tensor in rest:
        if tensor.shape != expected.shape:
            allowed = f"{tuple(expected.shape)}, time first, as that of {first}"
            raise BadInput(f"{name}: shape {tuple(tensor.shape)} is not allowed; it must be {allowed}")
