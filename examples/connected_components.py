"""An algorithm outside the thirty: connected components by spreading the lowest label. The how-to page docs/howto/own_algorithm.md explains each part."""

import numpy as np

from outrange.reasoning import clrs

SPEC = clrs.Spec(
    "graphs",
    inputs="A edge scalar int, adj edge mask",
    outputs="label node pointer",
    hints="label_h node pointer, changed node mask",
)
Hints = clrs.hints(SPEC)


def connected_components(A, label):
    """Every node takes the lowest label among its neighbours' until none changes; one step a sweep, recorded before it."""
    n = A.shape[0]
    for i in range(n):
        label[i] = i
    before, changed = label.copy(), np.ones(n, np.int8)
    moving = True
    while moving:
        yield Hints(label_h=label, changed=changed)
        moving = False
        before[:] = label
        for i in range(n):
            changed[i] = 0
            for j in range(n):
                if A[i, j] != 0 and before[j] < label[i]:
                    label[i] = before[j]
                    changed[i] = 1
                    moving = True


def sampler(rng, length, p=0.2):
    """An undirected graph in which each pair is joined with probability p."""
    upper = np.triu(rng.random((length, length)) < p, 1)
    return {"A": (upper | upper.T).astype(int)}


clrs.register("connected_components", SPEC, connected_components, sampler)
