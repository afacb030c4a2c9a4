"""Dynamic programming (CLRS sections 15.2, 15.4 and 15.5). Matrix chain and LCS sweep the whole table until nothing changes, one step a sweep."""

from outrange.reasoning.clrs.algorithms.common import (
    chain,
    equal,
    fill,
    first_of_second,
    hints,
    mask_matrix,
    matrix,
    two_chains,
)

MatrixChainHints = hints("matrix_chain_order")
LCSHints = hints("lcs_length")
BSTHints = hints("optimal_bst")

DIAGONAL, UP, LEFT, HIDDEN = 0, 1, 2, -1
UNREACHED = 1e9


def matrix_chain_order(p, s):
    """Where to split the product of the matrices i..j, matrix i being p[i-1] x p[i]; m[i, j] is the cost found so far.

    A sweep uses the costs of the sweep before it. The step is recorded before the sweep.
    """
    n = p.size
    places, m, known = chain(n), matrix(n), mask_matrix(n)
    before, known_before = matrix(n), mask_matrix(n)
    for i in range(1, n):
        known[i, i] = 1
    changed = True
    while changed:
        yield MatrixChainHints(pred_h=places, m=m, s_h=s, msk=known)
        fill(before, m)
        fill(known_before, known)
        for i in range(1, n):
            for j in range(i + 1, n):
                has_cost = known_before[i, j] == 1
                for k in range(i, j):
                    if known_before[i, k] == 1 and known_before[k + 1, j] == 1:
                        known[i, j] = 1
                        cost = before[i, k] + before[k + 1, j] + p[i - 1] * p[k] * p[j]
                        if not has_cost or cost < m[i, j]:
                            m[i, j], s[i, j], has_cost = cost, k, True
        changed = not equal(before, m)


def lcs_length(string, key, b):
    """Longest common subsequence of two strings laid end to end; cell (i, j) of the table is the edge from letter i of the first to letter j of the second.

    Row 0 and column 0 are filled before the first step. A sweep uses the lengths of the sweep before it; the step is recorded before the sweep.
    """
    n, split = string.size, first_of_second(string)
    places, c, before = two_chains(string), matrix(n), matrix(n)
    for i in range(n):
        for j in range(n):
            b[i, j] = DIAGONAL if i < split and j >= split else HIDDEN
    for i in range(split):
        if key[i] == key[split]:
            c[i, split] = 1
        else:
            b[i, split] = UP
            if i > 0 and c[i - 1, split] == 1:
                c[i, split] = 1
    for j in range(split, n):
        if key[0] == key[j]:
            c[0, j], b[0, j] = 1, DIAGONAL
        elif j > split and c[0, j - 1] == 1:
            c[0, j], b[0, j] = 1, LEFT
        else:
            c[0, j], b[0, j] = 0, UP
    changed = True
    while changed:
        yield LCSHints(pred_h=places, b_h=b, c=c)
        fill(before, c)
        for i in range(1, split):
            for j in range(split + 1, n):
                if key[i] == key[j]:
                    c[i, j], b[i, j] = before[i - 1, j - 1] + 1, DIAGONAL
                elif before[i - 1, j] >= before[i, j - 1]:
                    c[i, j], b[i, j] = before[i - 1, j], UP
                else:
                    c[i, j], b[i, j] = before[i, j - 1], LEFT
        changed = not equal(before, c)


def optimal_bst(p, q, root):
    """The binary search tree with the least expected cost for keys of probability p and gaps of probability q, one step per tree size.

    There are n keys and n + 1 gaps, so n + 1 nodes; the last entry of ``p`` is padding.
    """
    n = p.size - 1
    places, e, w, known = chain(n + 1), matrix(n + 1), matrix(n + 1), mask_matrix(n + 1)
    for i in range(n + 1):
        e[i, i] = w[i, i] = q[i]
        known[i, i] = 1
    yield BSTHints(pred_h=places, root_h=root, e=e, w=w, msk=known)
    for size in range(1, n + 1):
        for i in range(n - size + 1):
            j = i + size
            e[i, j] = UNREACHED
            w[i, j] = w[i, j - 1] + p[j - 1] + q[j]
            for r in range(i, j):
                cost = e[i, r] + e[r + 1, j] + w[i, j]
                if cost < e[i, j]:
                    e[i, j], root[i, j] = cost, r
            known[i, j] = 1
        yield BSTHints(pred_h=places, root_h=root, e=e, w=w, msk=known)
