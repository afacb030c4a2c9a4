"""Divide and conquer (CLRS section 4.1, exercise 4.1-5)."""

from outrange.reasoning.clrs.algorithms.common import array_predecessors, hints

KadaneHints = hints("find_maximum_subarray_kadane")


def find_maximum_subarray_kadane(key, start_out, end_out):
    """Kadane's scan for the contiguous run with the largest sum. Records the start, then one step per element."""
    predecessor = array_predecessors(key.size)
    i = best_low = best_high = 0
    running_sum = best_sum = key[0]
    yield KadaneHints(pred_h=predecessor, best_low=0, best_high=0, best_sum=best_sum, i=0, j=0, sum=running_sum)
    for j in range(1, key.size):
        # The best run that ends at j either goes on with the one that ends at j - 1, or begins here.
        if running_sum + key[j] >= key[j]:
            running_sum += key[j]
        else:
            i, running_sum = j, key[j]
        if running_sum > best_sum:
            best_low, best_high, best_sum = i, j, running_sum
        yield KadaneHints(
            pred_h=predecessor, best_low=best_low, best_high=best_high, best_sum=best_sum, i=i, j=j, sum=running_sum
        )
    start_out[0] = best_low
    end_out[0] = best_high
