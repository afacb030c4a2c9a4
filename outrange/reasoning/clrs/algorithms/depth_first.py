"""Depth-first search and strongly connected components (CLRS sections 22.3 and 22.5).

Built on the same search: topological.py, biconnectivity.py. All share one mechanism, the textbook's recursion as a
stack of pointers. ``stack_top`` is the top, which is u, the node being worked on; ``stack_previous[x]`` is the node
below x (x itself at the bottom); v is where the scan of u's neighbours stands, and ``root`` the root of the present
tree. Each turn

1. discovers u if it is new,
2. scans for its first white neighbour, from the lowest number on, and pushes it,
3. or, if there is none, finishes u and pops it.

Time starts at 0 and grows by repeated addition of 0.01. A pushed node is grey already but has no discovery time yet.
"""

from outrange.reasoning.clrs.algorithms.common import (
    BLACK,
    GREY,
    WHITE,
    argsort,
    edge_mask,
    hints,
    identity,
    mask,
    negate,
    point_to_self,
    transpose,
    zeros,
)

DfsHints = hints("dfs")
ComponentHints = hints("strongly_connected_components")

TICK = 0.01


def dfs(A, predecessor):
    """Depth-first search from every node not yet seen; ``predecessor`` is the forest.

    Three steps a node: pushed (or start of a tree), discovered, finished.
    """
    n = A.shape[0]
    point_to_self(predecessor)
    color, discovery_time, finishing_time, stack_previous, time = mask(n), zeros(n), zeros(n), identity(n), 0.0
    for root in range(n):
        if color[root] != WHITE:
            continue
        u = v = stack_top = root
        yield DfsHints(
            pi_h=predecessor,
            color=color,
            d=discovery_time,
            f=finishing_time,
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
                discovery_time[u] = time
                color[u] = GREY
                yield DfsHints(
                    pi_h=predecessor,
                    color=color,
                    d=discovery_time,
                    f=finishing_time,
                    s_prev=stack_previous,
                    s=root,
                    u=u,
                    v=v,
                    s_last=stack_top,
                    time=time,
                )
            # 2. push the first white neighbour
            for v in range(n):
                if A[u, v] != 0 and color[v] == WHITE:
                    predecessor[v] = u
                    color[v] = GREY
                    stack_previous[v] = stack_top
                    stack_top = v
                    yield DfsHints(
                        pi_h=predecessor,
                        color=color,
                        d=discovery_time,
                        f=finishing_time,
                        s_prev=stack_previous,
                        s=root,
                        u=u,
                        v=v,
                        s_last=stack_top,
                        time=time,
                    )
                    break
            # 3. none was pushed: finish and pop
            if stack_top == u:
                color[u] = BLACK
                time += TICK
                finishing_time[u] = time
                yield DfsHints(
                    pi_h=predecessor,
                    color=color,
                    d=discovery_time,
                    f=finishing_time,
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


def strongly_connected_components(A, scc_id):
    """Kosaraju: one search of A (phase 0), then one of its transpose with roots by falling finishing time (phase 1).

    The trees of phase 1 are the components. Discovery and finishing times and the clock carry over into phase 1, where
    therefore only roots have a step for their discovery.
    """
    n = A.shape[0]
    point_to_self(scc_id)
    reversed_A = transpose(A)
    reversed_edges = edge_mask(reversed_A)
    discovery_time, finishing_time, time = zeros(n), zeros(n), 0.0
    for phase in range(2):
        graph = A if phase == 0 else reversed_A
        color, stack_previous = mask(n), identity(n)
        roots = argsort(negate(finishing_time)) if phase == 1 else identity(n)
        for root in roots:
            if color[root] != WHITE:
                continue
            u = v = stack_top = root
            yield ComponentHints(
                scc_id_h=scc_id,
                A_t=reversed_edges,
                color=color,
                d=discovery_time,
                f=finishing_time,
                s_prev=stack_previous,
                s=root,
                u=u,
                v=v,
                s_last=stack_top,
                time=time,
                phase=phase,
            )
            while True:
                if phase == 1:
                    scc_id[u] = root
                # 1. discover
                if color[u] == WHITE or discovery_time[u] == 0.0:
                    time += TICK
                    discovery_time[u] = time
                    color[u] = GREY
                    yield ComponentHints(
                        scc_id_h=scc_id,
                        A_t=reversed_edges,
                        color=color,
                        d=discovery_time,
                        f=finishing_time,
                        s_prev=stack_previous,
                        s=root,
                        u=u,
                        v=v,
                        s_last=stack_top,
                        time=time,
                        phase=phase,
                    )
                # 2. push the first white neighbour
                for v in range(n):
                    if graph[u, v] != 0 and color[v] == WHITE:
                        color[v] = GREY
                        stack_previous[v] = stack_top
                        stack_top = v
                        yield ComponentHints(
                            scc_id_h=scc_id,
                            A_t=reversed_edges,
                            color=color,
                            d=discovery_time,
                            f=finishing_time,
                            s_prev=stack_previous,
                            s=root,
                            u=u,
                            v=v,
                            s_last=stack_top,
                            time=time,
                            phase=phase,
                        )
                        break
                # 3. none was pushed: finish and pop
                if stack_top == u:
                    color[u] = BLACK
                    time += TICK
                    finishing_time[u] = time
                    yield ComponentHints(
                        scc_id_h=scc_id,
                        A_t=reversed_edges,
                        color=color,
                        d=discovery_time,
                        f=finishing_time,
                        s_prev=stack_previous,
                        s=root,
                        u=u,
                        v=v,
                        s_last=stack_top,
                        time=time,
                        phase=phase,
                    )
                    if stack_previous[u] == u:  # u is the root: its tree is done
                        break
                    stack_top = stack_previous[u]
                    stack_previous[u] = u
                u = stack_top
