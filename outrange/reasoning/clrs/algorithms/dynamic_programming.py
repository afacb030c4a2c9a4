"""Dynamic programming (CLRS sections 15.2, 15.4 and 15.5).

The published matrix chain and LCS do not fill their tables in order: they sweep the whole table until nothing changes,
one step a sweep, and a sweep reads only what the sweep before it has written.
"""

from outrange.reasoning.clrs.algorithms.common import (
    array_predecessors,
    copy_into,
    equal,
    hints,
    mask_matrix,
    matrix,
    second_string_start,
    string_predecessors,
)

MatrixChainHints = hints("matrix_chain_order")
LCSHints = hints("lcs_length")
BSTHints = hints("optimal_bst")

DIAGONAL, UP, LEFT, HIDDEN = 0, 1, 2, -1  # where a cell of the LCS table takes its length from
INFINITY = 1e9


def matrix_chain_order(p, s):
    """Where to split the product of the matrices i..j, matrix i being p[i-1] x p[i]; m[i, j] is the least cost known.

    The step is recorded before the sweep.
    """
    n = p.size
    predecessor, m, computed = array_predecessors(n), matrix(n), mask_matrix(n)
    previous_m, previously_computed = matrix(n), mask_matrix(n)
    for i in range(1, n):
        computed[i, i] = 1  # a single matrix costs nothing
    changed = True
    while changed:
        yield MatrixChainHints(pred_h=predecessor, m=m, s_h=s, msk=computed)
        copy_into(previous_m, m)
        copy_into(previously_computed, computed)
        for i in range(1, n):
            for j in range(i + 1, n):
                has_cost = previously_computed[i, j] == 1
                for k in range(i, j):
                    # m[i, j] = min over k of m[i, k] + m[k + 1, j] + p[i - 1] p[k] p[j]   (equation 15.7)
                    if previously_computed[i, k] == 1 and previously_computed[k + 1, j] == 1:
                        computed[i, j] = 1
                        cost = previous_m[i, k] + previous_m[k + 1, j] + p[i - 1] * p[k] * p[j]
                        if not has_cost or cost < m[i, j]:
                            m[i, j], s[i, j], has_cost = cost, k, True
        changed = not equal(previous_m, m)


def lcs_length(string, key, b):
    """Longest common subsequence of two strings laid end to end.

    Cell (i, j) of the table is the edge from letter i of the first string to letter j of the second. Row and column 0
    are filled before the first step; the step is recorded before the sweep.
    """
    n, second_start = string.size, second_string_start(string)
    predecessor, c, previous_c = string_predecessors(string), matrix(n), matrix(n)
    for i in range(n):
        for j in range(n):
            b[i, j] = DIAGONAL if i < second_start and j >= second_start else HIDDEN
    # The first letter of the second string against every letter of the first, …
    for i in range(second_start):
        if key[i] == key[second_start]:
            c[i, second_start] = 1
        else:
            b[i, second_start] = UP
            if i > 0 and c[i - 1, second_start] == 1:
                c[i, second_start] = 1
    # … and the first letter of the first string against every letter of the second.
    for j in range(second_start, n):
        if key[0] == key[j]:
            c[0, j], b[0, j] = 1, DIAGONAL
        elif j > second_start and c[0, j - 1] == 1:
            c[0, j], b[0, j] = 1, LEFT
        else:
            c[0, j], b[0, j] = 0, UP
    changed = True
    while changed:
        yield LCSHints(pred_h=predecessor, b_h=b, c=c)
        copy_into(previous_c, c)
        for i in range(1, second_start):
            for j in range(second_start + 1, n):
                if key[i] == key[j]:
                    c[i, j], b[i, j] = previous_c[i - 1, j - 1] + 1, DIAGONAL
                elif previous_c[i - 1, j] >= previous_c[i, j - 1]:
                    c[i, j], b[i, j] = previous_c[i - 1, j], UP
                else:
                    c[i, j], b[i, j] = previous_c[i, j - 1], LEFT
        changed = not equal(previous_c, c)


def optimal_bst(p, q, root):
    """The binary search tree with the least expected cost for keys of probability p and gaps of probability q, a step
    per tree size.

    There are n keys and n + 1 gaps, so n + 1 nodes; the last entry of ``p`` is padding.
    """
    n = p.size - 1
    predecessor, e, w, computed = array_predecessors(n + 1), matrix(n + 1), matrix(n + 1), mask_matrix(n + 1)
    for i in range(n + 1):
        e[i, i] = w[i, i] = q[i]  # an empty tree is one gap
        computed[i, i] = 1
    yield BSTHints(pred_h=predecessor, root_h=root, e=e, w=w, msk=computed)
    for tree_size in range(1, n + 1):
        for i in range(n - tree_size + 1):
            j = i + tree_size
            e[i, j] = INFINITY
            w[i, j] = w[i, j - 1] + p[j - 1] + q[j]
            for r in range(i, j):
                # e[i, j] = min over roots r of e[i, r - 1] + e[r + 1, j] + w[i, j]   (equation 15.14, keys counted from
                # 0)
                cost = e[i, r] + e[r + 1, j] + w[i, j]
                if cost < e[i, j]:
                    e[i, j], root[i, j] = cost, r
            computed[i, j] = 1
        yield BSTHints(pred_h=predecessor, root_h=root, e=e, w=w, msk=computed)
