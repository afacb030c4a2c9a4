"""An algorithm outside the thirty: connected components by spreading the lowest label.

The how-to page docs/howto/own_algorithm.md explains each part.
"""

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
    """Every node takes its neighbours' lowest label until none changes; one step a sweep, recorded before it."""
    n = A.shape[0]
    for i in range(n):
        label[i] = i
    previous_label, changed = label.copy(), np.ones(n, np.int8)
    any_changed = True
    while any_changed:
        yield Hints(label_h=label, changed=changed)
        any_changed = False
        previous_label[:] = label  # so that a label spreads one edge a sweep, whatever the order of the nodes
        for i in range(n):
            changed[i] = 0
            for j in range(n):
                if A[i, j] != 0 and previous_label[j] < label[i]:
                    label[i] = previous_label[j]
                    changed[i] = 1
                    any_changed = True


def sampler(rng, length, p=0.2):
    """An undirected graph in which each pair is joined with probability p."""
    upper = np.triu(rng.random((length, length)) < p, 1)  # above the diagonal: every pair once, no self loops
    return {"A": (upper | upper.T).astype(int)}


clrs.register("connected_components", SPEC, connected_components, sampler)
