"""Searching and order statistics (CLRS chapters 9 and 12, exercise 2.3-5)."""

from outrange.reasoning.clrs.algorithms.common import array_predecessors, hints, identity, write_predecessors

MinimumHints = hints("minimum")
BinarySearchHints = hints("binary_search")
QuickselectHints = hints("quickselect")


def minimum(key, min_out):
    """The first of the smallest elements. Records the start, then one step per comparison."""
    predecessor, smallest = array_predecessors(key.size), 0
    yield MinimumHints(pred_h=predecessor, min_h=smallest, i=0)
    for i in range(1, key.size):
        if key[smallest] > key[i]:
            smallest = i
        yield MinimumHints(pred_h=predecessor, min_h=smallest, i=i)
    min_out[0] = smallest


def binary_search(key, target, return_out):
    """The first place in the sorted ``key`` that is not smaller than ``target``; the last place if none is.

    Records the start, then one step per halving.
    """
    predecessor, low, high = array_predecessors(key.size), 0, key.size - 1
    mid = (low + high) // 2
    yield BinarySearchHints(pred_h=predecessor, low=low, high=high, mid=mid)
    while low < high:
        # The answer is in low..high throughout.
        if target <= key[mid]:
            high = mid
        else:
            low = mid + 1
        mid = (low + high) // 2
        yield BinarySearchHints(pred_h=predecessor, low=low, high=high, mid=mid)
    return_out[0] = high


def quickselect(key, median_out):
    """The element of rank n // 2, by quicksort's partition of the one side that holds it.

    Segments of one element are partitioned too.

    ``rank`` counts from the start of the segment. The hint ``i_rank`` is counted from the start of the array inside a
    partition, but from the start of the segment at its end: so the published traces have it.
    """
    n = key.size
    order, predecessor = identity(n), identity(n)
    p, r, rank = 0, n - 1, n // 2
    q, searching = 0, True
    while searching:
        # PARTITION of the places p..r around the last of them.
        i = p - 1
        for j in range(p, r):
            if key[order[j]] <= key[order[r]]:
                i += 1
                order[i], order[j] = order[j], order[i]
            yield QuickselectHints(
                pred_h=write_predecessors(order, predecessor),
                p=order[p],
                r=order[r],
                i=order[i + 1],
                j=order[j],
                i_rank=(i + 1) / n,
                target=rank / n,
                pivot=order[r],
            )
        q = i + 1
        order[q], order[r] = order[r], order[q]
        yield QuickselectHints(
            pred_h=write_predecessors(order, predecessor),
            p=order[p],
            r=order[r],
            i=order[q],
            j=order[r],
            i_rank=(q - p) / n,
            target=rank / n,
            pivot=order[q],
        )
        # Go on with the side that holds the rank, or end at the pivot.
        if rank == q - p:
            searching = False
        elif rank < q - p:
            r = q - 1
        else:
            rank -= q - p + 1
            p = q + 1
    median_out[0] = order[q]
