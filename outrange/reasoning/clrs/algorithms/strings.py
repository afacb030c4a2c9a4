"""String matching (CLRS sections 32.1 and 32.4).

The haystack and the needle are laid end to end: with a haystack of h letters, nodes 0..h-1 and h..n-1. Without a match
the answer is h, the first node of the needle.
"""

from outrange.reasoning.clrs.algorithms.common import hints, identity, mask, second_string_start, string_predecessors

NaiveHints = hints("naive_string_matcher")
KmpHints = hints("kmp_matcher")


def naive_string_matcher(string, key, match_out):
    """Try every shift s of the needle in turn. One step per shift and one per matching letter that is not the last."""
    predecessor, h = string_predecessors(string), second_string_start(string)
    needle_length = key.size - h
    match_out[0] = h
    for s in range(h - needle_length + 1):
        i, j = s, 0  # letter i of the haystack against letter j of the needle
        yield NaiveHints(pred_h=predecessor, s=s, i=i, j=h + j)
        while j < needle_length and key[i] == key[h + j]:
            if j == needle_length - 1:
                match_out[0] = s
                return
            i, j = i + 1, j + 1
            yield NaiveHints(pred_h=predecessor, s=s, i=i, j=h + j)


def kmp_matcher(string, key, match_out):
    """Knuth-Morris-Pratt.

    Phase 0 computes the prefix function ``pi`` of the needle, phase 1 runs the haystack through it.

    A prefix of no letter (the textbook's -1) is written as a pointer to the needle's first letter with a reset mark:
    ``is_reset`` for the entries of ``pi``, ``k_reset`` and ``q_reset`` for the running states k and q. Entries of
    ``pi`` are nodes, so those of the needle are shifted by h.
    """
    predecessor, h = string_predecessors(string), second_string_start(string)
    n = key.size
    needle_length = n - h
    match_out[0] = h
    pi, is_reset = identity(n), mask(n)
    is_reset[h] = 1
    k, k_reset, q, q_reset, s = 0, 1, 1 if needle_length > 1 else 0, 1, 0
    yield KmpHints(
        pred_h=predecessor,
        pi=pi,
        is_reset=is_reset,
        k=h + k,
        k_reset=k_reset,
        q=h + q,
        q_reset=q_reset,
        s=s,
        i=0,
        phase=0,
    )
    # COMPUTE-PREFIX-FUNCTION: pi[q] is the longest prefix of the needle that ends at its letter q.
    for q in range(1, needle_length):
        while k_reset == 0 and key[h + k + 1] != key[h + q]:
            if is_reset[h + k] == 1:
                k, k_reset = 0, 1
            else:
                k = pi[h + k] - h
            yield KmpHints(
                pred_h=predecessor,
                pi=pi,
                is_reset=is_reset,
                k=h + k,
                k_reset=k_reset,
                q=h + q,
                q_reset=q_reset,
                s=s,
                i=0,
                phase=0,
            )
        if k_reset == 1:
            k, k_reset = -1, 0  # the textbook's -1, for the comparison only
        if key[h + k + 1] == key[h + q]:
            k += 1
        if k == -1:  # not even the first letter matches
            k, k_reset = 0, 1
            is_reset[h + q] = 1
        pi[h + q] = h + k
        yield KmpHints(
            pred_h=predecessor,
            pi=pi,
            is_reset=is_reset,
            k=h + k,
            k_reset=k_reset,
            q=h + q,
            q_reset=q_reset,
            s=s,
            i=0,
            phase=0,
        )
    # KMP-MATCHER: q letters of the needle match the haystack up to letter i.
    q, q_reset = 0, 1
    for i in range(h):
        if i >= needle_length:
            s += 1
        yield KmpHints(
            pred_h=predecessor,
            pi=pi,
            is_reset=is_reset,
            k=h + k,
            k_reset=k_reset,
            q=h + q,
            q_reset=q_reset,
            s=s,
            i=i,
            phase=1,
        )
        while q_reset == 0 and key[h + q + 1] != key[i]:
            if is_reset[h + q] == 1:
                q, q_reset = 0, 1
            else:
                q = pi[h + q] - h
            yield KmpHints(
                pred_h=predecessor,
                pi=pi,
                is_reset=is_reset,
                k=h + k,
                k_reset=k_reset,
                q=h + q,
                q_reset=q_reset,
                s=s,
                i=i,
                phase=1,
            )
        if q_reset == 1:
            q, q_reset = -1, 0
        if key[h + q + 1] == key[i]:
            if q == needle_length - 2:  # the letter that matches now is the needle's last
                match_out[0] = s
                return
            q += 1
        if q == -1:  # nothing of the needle matches up to i
            q, q_reset = 0, 1
