"""Sorting (CLRS chapters 2, 6 and 7, problem 2-2). ``order[i]`` is the input element that stands at place i; hints name elements, not places."""

from outrange.reasoning.clrs.algorithms.common import chain_of, heap_of, hints, identity

SortHints = hints("insertion_sort")  # and bubble_sort
HeapHints = hints("heapsort")
QuickHints = hints("quicksort")


def insertion_sort(key, pred):
    """Insertion sort, stable. Records the start, then one step per inserted element."""
    order = identity(key.size)
    yield SortHints(pred_h=chain_of(order, pred), i=0, j=0)
    for j in range(1, key.size):
        i = j
        while i > 0 and key[order[i - 1]] > key[j]:
            order[i] = order[i - 1]
            i -= 1
        displaced = order[i]
        order[i] = j
        yield SortHints(pred_h=chain_of(order, pred), i=displaced, j=j)


def bubble_sort(key, pred):
    """Bubble sort. Records the start, then one step per comparison."""
    order = identity(key.size)
    yield SortHints(pred_h=chain_of(order, pred), i=0, j=0)
    for i in range(key.size - 1):
        for j in range(key.size - 1, i, -1):
            if key[order[j]] < key[order[j - 1]]:
                order[j - 1], order[j] = order[j], order[j - 1]
            yield SortHints(pred_h=chain_of(order, pred), i=order[i], j=order[j])


def heapsort(key, pred):
    """Heapsort. Phase 0 sifts every place down to build the heap; then phase 1 retires the root and phase 2 sifts its successor down."""
    n = key.size
    order, parent = identity(n), identity(n)
    yield HeapHints(
        pred_h=chain_of(order, pred),
        parent=heap_of(order, n, parent),
        i=n - 1,
        j=n - 1,
        largest=n - 1,
        heap_size=n - 1,
        phase=0,
    )
    size = n
    for turn in range(2 * n - 1):
        if turn < n:
            root = sifted = n - 1 - turn
            phase = 0
        else:
            size -= 1
            order[0], order[size] = order[size], order[0]
            yield HeapHints(
                pred_h=chain_of(order, pred),
                parent=heap_of(order, size, parent),
                i=order[0],
                j=order[size],
                largest=0,
                heap_size=order[size - 1],
                phase=1,
            )
            root, sifted, phase = 0, size, 2
        settled = False
        while not settled:
            left, right, largest = 2 * root + 1, 2 * root + 2, root
            if left < size and key[order[left]] > key[order[largest]]:
                largest = left
            if right < size and key[order[right]] > key[order[largest]]:
                largest = right
            order[root], order[largest] = order[largest], order[root]
            yield HeapHints(
                pred_h=chain_of(order, pred),
                parent=heap_of(order, size, parent),
                i=order[sifted],
                j=order[root],
                largest=order[largest],
                heap_size=order[size - 1],
                phase=phase,
            )
            settled = largest == root
            root = largest


def quicksort(key, pred):
    """Quicksort with Lomuto's partition, the last element as pivot. No step for the start; one per comparison and one per placed pivot."""
    order = identity(key.size)
    waiting = [(0, key.size - 1)]
    while len(waiting) > 0:
        p, r = waiting.pop()
        if p >= r:
            continue
        i = p - 1
        for j in range(p, r):
            if key[order[j]] <= key[order[r]]:
                i += 1
                order[i], order[j] = order[j], order[i]
            yield QuickHints(pred_h=chain_of(order, pred), p=order[p], r=order[r], i=order[i + 1], j=order[j])
        order[i + 1], order[r] = order[r], order[i + 1]
        yield QuickHints(pred_h=chain_of(order, pred), p=order[p], r=order[r], i=order[i + 1], j=order[r])
        waiting.append((i + 2, r))
        waiting.append((p, i))
    chain_of(order, pred)
