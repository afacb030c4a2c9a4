"""Computational geometry (CLRS sections 33.1 and 33.3). ``x[i], y[i]`` are the coordinates of point i."""

import math

from outrange.reasoning.clrs.algorithms.common import (
    argsort,
    array_predecessors,
    cross_product,
    hints,
    identity,
    mask,
    zeros,
)

SegmentHints = hints("segments_intersect")
GrahamHints = hints("graham_scan")
JarvisHints = hints("jarvis_march")

BEFORE_EVERY_ANGLE = -123456789.0  # the published package's own number; any below -pi would do


def segments_intersect(x, y, intersect_out):
    """Whether the segment of points 0, 1 meets that of points 2, 3.

    One step per point, with its direction as seen from the other segment and whether it is in that segment's bounding
    box.
    """
    direction, on_segment = zeros(4), mask(4)
    yield SegmentHints(i=0, j=0, k=0, dir=direction, on_seg=on_segment)
    for i, j, k in ((2, 3, 0), (2, 3, 1), (0, 1, 2), (0, 1, 3)):
        direction[k] = cross_product(x[i], y[i], x[k], y[k], x[j], y[j])
        inside_x = min(x[i], x[j]) <= x[k] and x[k] <= max(x[i], x[j])
        inside_y = min(y[i], y[j]) <= y[k] and y[k] <= max(y[i], y[j])
        on_segment[k] = inside_x and inside_y
        yield SegmentHints(i=i, j=j, k=k, dir=direction, on_seg=on_segment)
    # They cross where the ends of each lie on both sides of the other, …
    meets = ((direction[0] > 0 and direction[1] < 0) or (direction[0] < 0 and direction[1] > 0)) and (
        (direction[2] > 0 and direction[3] < 0) or (direction[2] < 0 and direction[3] > 0)
    )
    # … or touch where an end lies on the other segment.
    for k in range(4):
        meets = meets or (direction[k] == 0 and on_segment[k] == 1)
    intersect_out[0] = meets


def graham_scan(x, y, in_hull):
    """Graham: points by angle around the lowest one, each pushed after those that would make a right turn are popped.

    Phases: 0 start, 1 lowest point known, 2 angles known, 3 a pop, 4 a push. The stack is made of pointers:
    ``stack_previous`` is the point below. The lowest point is never popped (published inputs never ask for it; points
    on a line would).
    """
    n = x.size
    angle, stack_previous, lowest = zeros(n), identity(n), 0
    yield GrahamHints(best=0, atans=angle, in_hull_h=in_hull, stack_prev=stack_previous, last_stack=0, i=0, phase=0)
    for i in range(n):
        if y[i] < y[lowest] or (y[i] == y[lowest] and x[i] < x[lowest]):
            lowest = i
    in_hull[lowest] = 1
    stack_top = lowest
    yield GrahamHints(
        best=lowest, atans=angle, in_hull_h=in_hull, stack_prev=stack_previous, last_stack=stack_top, i=lowest, phase=1
    )
    for i in range(n):
        angle[i] = math.atan2(y[i] - y[lowest], x[i] - x[lowest])
    angle[lowest] = BEFORE_EVERY_ANGLE  # so that it comes first, also before a point at the same height
    order = argsort(angle)
    angle[lowest] = 0.0
    yield GrahamHints(
        best=lowest, atans=angle, in_hull_h=in_hull, stack_prev=stack_previous, last_stack=stack_top, i=lowest, phase=2
    )
    for place in range(1, n):
        i = order[place]
        if place >= 3:  # the first three points are pushed without a test
            while (
                stack_top != lowest
                and cross_product(
                    x[stack_previous[stack_top]],
                    y[stack_previous[stack_top]],
                    x[stack_top],
                    y[stack_top],
                    x[i],
                    y[i],
                )
                <= 0
            ):
                # Not a left turn: pop, and let the popped point point to itself again.
                popped = stack_top
                stack_top = stack_previous[popped]
                in_hull[popped] = 0
                stack_previous[popped] = popped
                yield GrahamHints(
                    best=lowest,
                    atans=angle,
                    in_hull_h=in_hull,
                    stack_prev=stack_previous,
                    last_stack=stack_top,
                    i=i,
                    phase=3,
                )
        in_hull[i] = 1
        stack_previous[i] = stack_top
        stack_top = i
        yield GrahamHints(
            best=lowest, atans=angle, in_hull_h=in_hull, stack_prev=stack_previous, last_stack=stack_top, i=i, phase=4
        )


def jarvis_march(x, y, in_hull):
    """Jarvis: from the lowest point on, the next hull point is the one with no point right of the way to it.

    One step per comparison and per hull point.
    """
    n = x.size
    predecessor, lowest = array_predecessors(n), 0
    yield JarvisHints(pred_h=predecessor, in_hull_h=in_hull, best=0, last_point=0, endpoint=0, i=0, phase=0)
    for i in range(n):
        if y[i] < y[lowest] or (y[i] == y[lowest] and x[i] < x[lowest]):
            lowest = i
    in_hull[lowest] = 1
    last, end = lowest, 0  # the hull point reached, and the candidate for the next
    yield JarvisHints(pred_h=predecessor, in_hull_h=in_hull, best=lowest, last_point=last, endpoint=end, i=0, phase=1)
    while True:
        for i in range(n):
            is_right = end == last or (
                i != end and i != last and cross_product(x[last], y[last], x[end], y[end], x[i], y[i]) <= 0
            )
            if is_right:
                end = i
            yield JarvisHints(
                pred_h=predecessor, in_hull_h=in_hull, best=lowest, last_point=last, endpoint=end, i=i, phase=1
            )
        if in_hull[end] == 1:  # back at the lowest point
            break
        in_hull[end] = 1
        last, end = end, 0
        yield JarvisHints(
            pred_h=predecessor, in_hull_h=in_hull, best=lowest, last_point=last, endpoint=end, i=0, phase=1
        )
