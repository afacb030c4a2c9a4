"""Sorting (CLRS chapters 2, 6 and 7, problem 2-2).

``order[i]`` is the input element that stands at place i. Hints name elements, not places.
"""

from outrange.reasoning.clrs.algorithms.common import hints, identity, write_heap_parents, write_predecessors

SortHints = hints("insertion_sort")  # and bubble_sort
HeapHints = hints("heapsort")
QuickHints = hints("quicksort")


def insertion_sort(key, predecessor):
    """Insertion sort, stable. Records the start, then one step per inserted element."""
    order = identity(key.size)
    yield SortHints(pred_h=write_predecessors(order, predecessor), i=0, j=0)
    for j in range(1, key.size):
        # Places before j still hold sorted elements 0..j-1, so element j is the one at place j.
        i = j
        while i > 0 and key[order[i - 1]] > key[j]:
            order[i] = order[i - 1]
            i -= 1
        displaced = order[i]  # the hint i names what stood where j goes
        order[i] = j
        yield SortHints(pred_h=write_predecessors(order, predecessor), i=displaced, j=j)


def bubble_sort(key, predecessor):
    """Bubble sort. Records the start, then one step per comparison."""
    order = identity(key.size)
    yield SortHints(pred_h=write_predecessors(order, predecessor), i=0, j=0)
    for i in range(key.size - 1):
        for j in range(key.size - 1, i, -1):
            if key[order[j]] < key[order[j - 1]]:
                order[j - 1], order[j] = order[j], order[j - 1]
            yield SortHints(pred_h=write_predecessors(order, predecessor), i=order[i], j=order[j])


def heapsort(key, predecessor):
    """Heapsort.

    Phase 0 sifts every place down to build the heap; then phase 1 moves the root out, phase 2 sifts its successor down.
    """
    n = key.size
    order, parent = identity(n), identity(n)
    yield HeapHints(
        pred_h=write_predecessors(order, predecessor),
        parent=write_heap_parents(order, n, parent),
        i=n - 1,
        j=n - 1,
        largest=n - 1,
        heap_size=n - 1,
        phase=0,
    )
    heap_size = n
    for turn in range(2 * n - 1):
        if turn < n:
            # BUILD-MAX-HEAP, from the last place up; the published traces sift the leaves as well.
            i = n - 1 - turn
            place, phase = i, 0
        else:
            # The largest key goes behind the heap, and the heap's last element to the root.
            heap_size -= 1
            order[0], order[heap_size] = order[heap_size], order[0]
            yield HeapHints(
                pred_h=write_predecessors(order, predecessor),
                parent=write_heap_parents(order, heap_size, parent),
                i=order[0],
                j=order[heap_size],
                largest=0,
                heap_size=order[heap_size - 1],
                phase=1,
            )
            i, place, phase = heap_size, 0, 2
        # MAX-HEAPIFY from ``place`` down, with one step more in which nothing moves.
        is_heap = False
        while not is_heap:
            left, right, largest = 2 * place + 1, 2 * place + 2, place
            if left < heap_size and key[order[left]] > key[order[largest]]:
                largest = left
            if right < heap_size and key[order[right]] > key[order[largest]]:
                largest = right
            order[place], order[largest] = order[largest], order[place]
            yield HeapHints(
                pred_h=write_predecessors(order, predecessor),
                parent=write_heap_parents(order, heap_size, parent),
                i=order[i],
                j=order[place],
                largest=order[largest],
                heap_size=order[heap_size - 1],
                phase=phase,
            )
            is_heap = largest == place
            place = largest


def quicksort(key, predecessor):
    """Quicksort with Lomuto's partition, the last element as pivot: a step per comparison and per placed pivot, none
    for the start.
    """
    order = identity(key.size)
    segments = [(0, key.size - 1)]  # still to be sorted, the next one last: the textbook's recursion as a stack
    while len(segments) > 0:
        p, r = segments.pop()
        if p >= r:
            continue
        # PARTITION: what is not larger than the pivot goes to the places p..i.
        i = p - 1
        for j in range(p, r):
            if key[order[j]] <= key[order[r]]:
                i += 1
                order[i], order[j] = order[j], order[i]
            yield QuickHints(
                pred_h=write_predecessors(order, predecessor), p=order[p], r=order[r], i=order[i + 1], j=order[j]
            )
        order[i + 1], order[r] = order[r], order[i + 1]
        yield QuickHints(
            pred_h=write_predecessors(order, predecessor), p=order[p], r=order[r], i=order[i + 1], j=order[r]
        )
        segments.append((i + 2, r))
        segments.append((p, i))  # on top: the left segment is sorted first
    write_predecessors(order, predecessor)  # an array without two elements to compare has had no step
