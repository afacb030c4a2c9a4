"""Divide and conquer (CLRS section 4.1, exercise 4.1-5)."""

from outrange.reasoning.clrs.algorithms.common import chain, hints

KadaneHints = hints("find_maximum_subarray_kadane")


def find_maximum_subarray_kadane(key, start, end):
    """Kadane's scan for the contiguous run with the largest sum. Records the start, then one step per element."""
    places = chain(key.size)
    i = best_low = best_high = 0
    running = best = key[0]
    yield KadaneHints(pred_h=places, best_low=0, best_high=0, best_sum=best, i=0, j=0, sum=running)
    for j in range(1, key.size):
        if running + key[j] >= key[j]:
            running += key[j]
        else:
            i, running = j, key[j]
        if running > best:
            best_low, best_high, best = i, j, running
        yield KadaneHints(pred_h=places, best_low=best_low, best_high=best_high, best_sum=best, i=i, j=j, sum=running)
    start[0] = best_low
    end[0] = best_high
