"""Computational geometry (CLRS sections 33.1 and 33.3)."""

import math

from outrange.reasoning.clrs.algorithms.common import argsort, chain, cross, hints, identity, mask, zeros

SegmentHints = hints("segments_intersect")
GrahamHints = hints("graham_scan")
JarvisHints = hints("jarvis_march")

BEFORE_ALL = -123456789.0


def segments_intersect(x, y, intersect):
    """Whether the segment of points 0, 1 meets that of points 2, 3: one step per point, with its side of the other segment and whether it is in its box."""
    side, on_seg = zeros(4), mask(4)
    yield SegmentHints(i=0, j=0, k=0, dir=side, on_seg=on_seg)
    for i, j, k in ((2, 3, 0), (2, 3, 1), (0, 1, 2), (0, 1, 3)):
        side[k] = cross(x[i], y[i], x[k], y[k], x[j], y[j])
        inside_x = min(x[i], x[j]) <= x[k] and x[k] <= max(x[i], x[j])
        inside_y = min(y[i], y[j]) <= y[k] and y[k] <= max(y[i], y[j])
        on_seg[k] = inside_x and inside_y
        yield SegmentHints(i=i, j=j, k=k, dir=side, on_seg=on_seg)
    crosses = ((side[0] > 0 and side[1] < 0) or (side[0] < 0 and side[1] > 0)) and (
        (side[2] > 0 and side[3] < 0) or (side[2] < 0 and side[3] > 0)
    )
    for k in range(4):
        crosses = crosses or (side[k] == 0 and on_seg[k] == 1)
    intersect[0] = crosses


def graham_scan(x, y, in_hull):
    """Graham: points by angle around the lowest one, each pushed after those that would make a right turn are popped.

    Phases: 0 start, 1 lowest point found, 2 angles known, 3 a pop, 4 a push. The stack is made of pointers, ``stack_prev`` below ``last_stack``.
    The lowest point is never popped (published inputs never ask for it; points on a line would).
    """
    n = x.size
    atans, stack_prev, best = zeros(n), identity(n), 0
    yield GrahamHints(best=0, atans=atans, in_hull_h=in_hull, stack_prev=stack_prev, last_stack=0, i=0, phase=0)
    for i in range(n):
        if y[i] < y[best] or (y[i] == y[best] and x[i] < x[best]):
            best = i
    in_hull[best] = 1
    top = best
    yield GrahamHints(best=best, atans=atans, in_hull_h=in_hull, stack_prev=stack_prev, last_stack=top, i=best, phase=1)
    for i in range(n):
        atans[i] = math.atan2(y[i] - y[best], x[i] - x[best])
    atans[best] = BEFORE_ALL
    order = argsort(atans)
    atans[best] = 0.0
    yield GrahamHints(best=best, atans=atans, in_hull_h=in_hull, stack_prev=stack_prev, last_stack=top, i=best, phase=2)
    for place in range(1, n):
        i = order[place]
        if place >= 3:
            while top != best and cross(x[stack_prev[top]], y[stack_prev[top]], x[top], y[top], x[i], y[i]) <= 0:
                below = stack_prev[top]
                in_hull[top] = 0
                stack_prev[top] = top
                top = below
                yield GrahamHints(
                    best=best, atans=atans, in_hull_h=in_hull, stack_prev=stack_prev, last_stack=top, i=i, phase=3
                )
        in_hull[i] = 1
        stack_prev[i] = top
        top = i
        yield GrahamHints(
            best=best, atans=atans, in_hull_h=in_hull, stack_prev=stack_prev, last_stack=top, i=i, phase=4
        )


def jarvis_march(x, y, in_hull):
    """Jarvis: from the lowest point on, the next hull point is the one with no point right of the way to it. One step per comparison and per hull point."""
    n = x.size
    places, best = chain(n), 0
    yield JarvisHints(pred_h=places, in_hull_h=in_hull, best=0, last_point=0, endpoint=0, i=0, phase=0)
    for i in range(n):
        if y[i] < y[best] or (y[i] == y[best] and x[i] < x[best]):
            best = i
    in_hull[best] = 1
    last, end = best, 0
    yield JarvisHints(pred_h=places, in_hull_h=in_hull, best=best, last_point=last, endpoint=end, i=0, phase=1)
    while True:
        for i in range(n):
            if end == last or (i != end and i != last and cross(x[last], y[last], x[end], y[end], x[i], y[i]) <= 0):
                end = i
            yield JarvisHints(pred_h=places, in_hull_h=in_hull, best=best, last_point=last, endpoint=end, i=i, phase=1)
        if in_hull[end] == 1:
            break
        in_hull[end] = 1
        last, end = end, 0
        yield JarvisHints(pred_h=places, in_hull_h=in_hull, best=best, last_point=last, endpoint=end, i=0, phase=1)
