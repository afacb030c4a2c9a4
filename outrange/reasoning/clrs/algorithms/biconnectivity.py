"""Articulation points and bridges (CLRS problem 22-2): nodes and edges without which a component falls apart.

Both are the depth-first search of depth_first.py, whose head explains the stack, with the textbook's ``low``:
``low[u]`` is the earliest discovery time among u, its descendants, and what their back edges reach.

A scan starts at the lowest neighbour again after every return to u, so the same back edge may be met, and recorded,
more than once.
"""

from outrange.reasoning.clrs.algorithms.common import BLACK, GREY, WHITE, hints, identity, mask, zeros
from outrange.reasoning.clrs.algorithms.depth_first import TICK

ArticulationHints = hints("articulation_points")
BridgeHints = hints("bridges")


def articulation_points(A, is_cut):
    """Nodes whose removal disconnects their component: a root with two children, or a node with a child that reaches no
    further up.

    ``child_count`` grows by 0.01 a child, as the published hint does.
    """
    n = A.shape[0]
    predecessor, color, discovery_time, finishing_time = identity(n), mask(n), zeros(n), zeros(n)
    low, child_count, stack_previous, time = zeros(n), zeros(n), identity(n), 0.0
    for root in range(n):
        if color[root] != WHITE:
            continue
        u = v = stack_top = root
        yield ArticulationHints(
            is_cut_h=is_cut,
            pi_h=predecessor,
            color=color,
            d=discovery_time,
            f=finishing_time,
            low=low,
            child_cnt=child_count,
            s_prev=stack_previous,
            s=root,
            u=u,
            v=v,
            s_last=stack_top,
            time=time,
        )
        while True:
            # 1. discover
            if color[u] == WHITE or discovery_time[u] == 0.0:
                time += TICK
                discovery_time[u] = low[u] = time
                color[u] = GREY
                yield ArticulationHints(
                    is_cut_h=is_cut,
                    pi_h=predecessor,
                    color=color,
                    d=discovery_time,
                    f=finishing_time,
                    low=low,
                    child_cnt=child_count,
                    s_prev=stack_previous,
                    s=root,
                    u=u,
                    v=v,
                    s_last=stack_top,
                    time=time,
                )
            # 2. scan: push the first white neighbour; a back edge met before it lowers ``low``
            for v in range(n):
                if A[u, v] == 0:
                    continue
                if color[v] == WHITE:
                    predecessor[v] = u
                    color[v] = GREY
                    stack_previous[v] = stack_top
                    stack_top = v
                    child_count[u] += TICK
                    yield ArticulationHints(
                        is_cut_h=is_cut,
                        pi_h=predecessor,
                        color=color,
                        d=discovery_time,
                        f=finishing_time,
                        low=low,
                        child_cnt=child_count,
                        s_prev=stack_previous,
                        s=root,
                        u=u,
                        v=v,
                        s_last=stack_top,
                        time=time,
                    )
                    break
                if predecessor[u] != v:  # not the way u was reached
                    low[u] = min(low[u], discovery_time[v])
                    yield ArticulationHints(
                        is_cut_h=is_cut,
                        pi_h=predecessor,
                        color=color,
                        d=discovery_time,
                        f=finishing_time,
                        low=low,
                        child_cnt=child_count,
                        s_prev=stack_previous,
                        s=root,
                        u=u,
                        v=v,
                        s_last=stack_top,
                        time=time,
                    )
            # 3. none was pushed: finish u, judge it by its children, and pop
            if stack_top == u:
                color[u] = BLACK
                time += TICK
                finishing_time[u] = time
                for child in range(n):
                    if predecessor[child] == u:
                        low[u] = min(low[u], low[child])
                        # The root is judged by its number of children alone.
                        if predecessor[u] != u and low[child] >= discovery_time[u]:
                            is_cut[u] = 1
                if predecessor[u] == u and child_count[u] > TICK:
                    is_cut[u] = 1
                yield ArticulationHints(
                    is_cut_h=is_cut,
                    pi_h=predecessor,
                    color=color,
                    d=discovery_time,
                    f=finishing_time,
                    low=low,
                    child_cnt=child_count,
                    s_prev=stack_previous,
                    s=root,
                    u=u,
                    v=v,
                    s_last=stack_top,
                    time=time,
                )
                if stack_previous[u] == u:  # u is the root: its tree is done
                    break
                stack_top = stack_previous[u]
                stack_previous[u] = u
            u = stack_top


def bridges(A, is_bridge):
    """Edges whose removal disconnects their component: those to a child that reaches no further up than itself.

    Pairs without an edge hold -1, which hides them from losses and metrics.
    """
    n = A.shape[0]
    for i in range(n):
        for j in range(n):
            is_bridge[i, j] = 0 if A[i, j] != 0 or i == j else -1
    predecessor, color, discovery_time, finishing_time = identity(n), mask(n), zeros(n), zeros(n)
    low, stack_previous, time = zeros(n), identity(n), 0.0
    for root in range(n):
        if color[root] != WHITE:
            continue
        u = v = stack_top = root
        yield BridgeHints(
            is_bridge_h=is_bridge,
            pi_h=predecessor,
            color=color,
            d=discovery_time,
            f=finishing_time,
            low=low,
            s_prev=stack_previous,
            s=root,
            u=u,
            v=v,
            s_last=stack_top,
            time=time,
        )
        while True:
            # 1. discover
            if color[u] == WHITE or discovery_time[u] == 0.0:
                time += TICK
                discovery_time[u] = low[u] = time
                color[u] = GREY
                yield BridgeHints(
                    is_bridge_h=is_bridge,
                    pi_h=predecessor,
                    color=color,
                    d=discovery_time,
                    f=finishing_time,
                    low=low,
                    s_prev=stack_previous,
                    s=root,
                    u=u,
                    v=v,
                    s_last=stack_top,
                    time=time,
                )
            # 2. scan: push the first white neighbour; a back edge met before it lowers ``low``
            for v in range(n):
                if A[u, v] == 0:
                    continue
                if color[v] == WHITE:
                    predecessor[v] = u
                    color[v] = GREY
                    stack_previous[v] = stack_top
                    stack_top = v
                    yield BridgeHints(
                        is_bridge_h=is_bridge,
                        pi_h=predecessor,
                        color=color,
                        d=discovery_time,
                        f=finishing_time,
                        low=low,
                        s_prev=stack_previous,
                        s=root,
                        u=u,
                        v=v,
                        s_last=stack_top,
                        time=time,
                    )
                    break
                if predecessor[u] != v:  # not the way u was reached
                    low[u] = min(low[u], discovery_time[v])
                    yield BridgeHints(
                        is_bridge_h=is_bridge,
                        pi_h=predecessor,
                        color=color,
                        d=discovery_time,
                        f=finishing_time,
                        low=low,
                        s_prev=stack_previous,
                        s=root,
                        u=u,
                        v=v,
                        s_last=stack_top,
                        time=time,
                    )
            # 3. none was pushed: finish u, judge the edges to its children, and pop
            if stack_top == u:
                color[u] = BLACK
                time += TICK
                finishing_time[u] = time
                for child in range(n):
                    if predecessor[child] == u:
                        low[u] = min(low[u], low[child])
                        # The child reaches neither u nor above it but by this edge.
                        if low[child] > discovery_time[u]:
                            is_bridge[u, child] = is_bridge[child, u] = 1
                yield BridgeHints(
                    is_bridge_h=is_bridge,
                    pi_h=predecessor,
                    color=color,
                    d=discovery_time,
                    f=finishing_time,
                    low=low,
                    s_prev=stack_previous,
                    s=root,
                    u=u,
                    v=v,
                    s_last=stack_top,
                    time=time,
                )
                if stack_previous[u] == u:  # u is the root: its tree is done
                    break
                stack_top = stack_previous[u]
                stack_previous[u] = u
            u = stack_top
