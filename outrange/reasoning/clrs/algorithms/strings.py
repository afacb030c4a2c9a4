"""String matching (CLRS sections 32.1 and 32.4). The haystack and the needle are laid end to end: nodes 0..h-1 and h..n-1, told apart by ``string``.

Without a match the answer is h, the first node of the needle.
"""

from outrange.reasoning.clrs.algorithms.common import first_of_second, hints, identity, mask, two_chains

NaiveHints = hints("naive_string_matcher")
KmpHints = hints("kmp_matcher")


def naive_string_matcher(string, key, match):
    """Try every shift s of the needle in turn. One step per shift and one per matching letter that is not the last."""
    places, h = two_chains(string), first_of_second(string)
    m = key.size - h
    match[0] = h
    for s in range(h - m + 1):
        i, j = s, 0
        yield NaiveHints(pred_h=places, s=s, i=i, j=h + j)
        while j < m and key[i] == key[h + j]:
            if j == m - 1:
                match[0] = s
                return
            i, j = i + 1, j + 1
            yield NaiveHints(pred_h=places, s=s, i=i, j=h + j)


def kmp_matcher(string, key, match):
    """Knuth-Morris-Pratt. Phase 0 builds the failure links ``pi`` of the needle, phase 1 runs the haystack through them.

    A state that nothing is left of (the textbook's -1) is kept as a link to 0 with a reset mark: ``is_reset`` for links, ``k_reset`` and ``q_reset`` for
    the running states k and q. Links are node numbers, so those of the needle are shifted by h.
    """
    places, h = two_chains(string), first_of_second(string)
    n = key.size
    m = n - h
    match[0] = h
    pi, is_reset = identity(n), mask(n)
    is_reset[h] = 1
    k, k_reset, q, q_reset, s = 0, 1, 1 if m > 1 else 0, 1, 0
    yield KmpHints(
        pred_h=places, pi=pi, is_reset=is_reset, k=h + k, k_reset=k_reset, q=h + q, q_reset=q_reset, s=s, i=0, phase=0
    )
    for q in range(1, m):
        while k_reset == 0 and key[h + k + 1] != key[h + q]:
            if is_reset[h + k] == 1:
                k, k_reset = 0, 1
            else:
                k = pi[h + k] - h
            yield KmpHints(
                pred_h=places,
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
            k, k_reset = -1, 0
        if key[h + k + 1] == key[h + q]:
            k += 1
        if k == -1:
            k, k_reset = 0, 1
            is_reset[h + q] = 1
        pi[h + q] = h + k
        yield KmpHints(
            pred_h=places,
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
    q, q_reset = 0, 1
    for i in range(h):
        if i >= m:
            s += 1
        yield KmpHints(
            pred_h=places,
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
                pred_h=places,
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
            if q == m - 2:
                match[0] = s
                return
            q += 1
        if q == -1:
            q, q_reset = 0, 1
