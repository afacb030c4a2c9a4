"""Depth-first search and what is built on it (CLRS sections 22.3 to 22.5 and 24.2, problem 22-2).

All six share one mechanism. The stack is made of pointers: ``s_prev[x]`` is the node below x (x itself at the bottom), ``s_last`` the top, which is ``u``,
the node being worked on; ``v`` is where the scan of its neighbours stands, and ``s`` the root of the present tree. Each turn discovers u if it is new, scans
for its first white neighbour from the lowest number on and pushes it, or else finishes u and pops. Time starts at 0 and grows by repeated addition of 0.01.
"""

from outrange.reasoning.clrs.algorithms.common import (
    BLACK,
    GREY,
    WHITE,
    argsort,
    graph_of,
    hints,
    identity,
    mask,
    negative,
    point_to_self,
    transpose,
    zeros,
)

DfsHints = hints("dfs")
TopologicalHints = hints("topological_sort")
ArticulationHints = hints("articulation_points")
BridgeHints = hints("bridges")
ComponentHints = hints("strongly_connected_components")
DagHints = hints("dag_shortest_paths")

TICK = 0.01


def dfs(A, pi):
    """Depth-first search from every node not yet seen; ``pi`` is the forest. Three steps a node: pushed (or start of a tree), discovered, finished."""
    n = A.shape[0]
    point_to_self(pi)
    color, d, f, s_prev, time = mask(n), zeros(n), zeros(n), identity(n), 0.0
    for s in range(n):
        if color[s] != WHITE:
            continue
        u = v = s_last = s
        yield DfsHints(pi_h=pi, color=color, d=d, f=f, s_prev=s_prev, s=s, u=u, v=v, s_last=s_last, time=time)
        while True:
            if color[u] == WHITE or d[u] == 0.0:
                time += TICK
                d[u] = time
                color[u] = GREY
                yield DfsHints(pi_h=pi, color=color, d=d, f=f, s_prev=s_prev, s=s, u=u, v=v, s_last=s_last, time=time)
            for v in range(n):
                if A[u, v] != 0 and color[v] == WHITE:
                    pi[v] = u
                    color[v] = GREY
                    s_prev[v] = s_last
                    s_last = v
                    yield DfsHints(
                        pi_h=pi, color=color, d=d, f=f, s_prev=s_prev, s=s, u=u, v=v, s_last=s_last, time=time
                    )
                    break
            if s_last == u:
                color[u] = BLACK
                time += TICK
                f[u] = time
                yield DfsHints(pi_h=pi, color=color, d=d, f=f, s_prev=s_prev, s=s, u=u, v=v, s_last=s_last, time=time)
                if s_prev[u] == u:
                    break
                s_last = s_prev[u]
                s_prev[u] = u
            u = s_last


def topological_sort(A, topo, topo_head_out):
    """Nodes in the reverse order of finishing: each new head points to the one before it. Only roots have a step for their discovery."""
    n = A.shape[0]
    point_to_self(topo)
    color, s_prev, topo_head = mask(n), identity(n), 0
    for s in range(n):
        if color[s] != WHITE:
            continue
        u = v = s_last = s
        yield TopologicalHints(
            topo_h=topo, topo_head_h=topo_head, color=color, s_prev=s_prev, s=s, u=u, v=v, s_last=s_last
        )
        while True:
            if color[u] == WHITE:
                color[u] = GREY
                yield TopologicalHints(
                    topo_h=topo, topo_head_h=topo_head, color=color, s_prev=s_prev, s=s, u=u, v=v, s_last=s_last
                )
            for v in range(n):
                if A[u, v] != 0 and color[v] == WHITE:
                    color[v] = GREY
                    s_prev[v] = s_last
                    s_last = v
                    yield TopologicalHints(
                        topo_h=topo, topo_head_h=topo_head, color=color, s_prev=s_prev, s=s, u=u, v=v, s_last=s_last
                    )
                    break
            if s_last == u:
                color[u] = BLACK
                if color[topo_head] == BLACK:
                    topo[u] = topo_head
                topo_head = u
                yield TopologicalHints(
                    topo_h=topo, topo_head_h=topo_head, color=color, s_prev=s_prev, s=s, u=u, v=v, s_last=s_last
                )
                if s_prev[u] == u:
                    break
                s_last = s_prev[u]
                s_prev[u] = u
            u = s_last
    topo_head_out[0] = topo_head


def articulation_points(A, is_cut):
    """Nodes whose removal disconnects their component: a root with two children, or a node with a child that reaches (``low``) no further up than it.

    A scan starts at the lowest neighbour again after every return to u, so the same back edge may be met, and recorded, more than once.
    """
    n = A.shape[0]
    pi, color, d, f, low, child_cnt, s_prev, time = (
        identity(n),
        mask(n),
        zeros(n),
        zeros(n),
        zeros(n),
        zeros(n),
        identity(n),
        0.0,
    )
    for s in range(n):
        if color[s] != WHITE:
            continue
        u = v = s_last = s
        yield ArticulationHints(
            is_cut_h=is_cut,
            pi_h=pi,
            color=color,
            d=d,
            f=f,
            low=low,
            child_cnt=child_cnt,
            s_prev=s_prev,
            s=s,
            u=u,
            v=v,
            s_last=s_last,
            time=time,
        )
        while True:
            if color[u] == WHITE or d[u] == 0.0:
                time += TICK
                d[u] = low[u] = time
                color[u] = GREY
                yield ArticulationHints(
                    is_cut_h=is_cut,
                    pi_h=pi,
                    color=color,
                    d=d,
                    f=f,
                    low=low,
                    child_cnt=child_cnt,
                    s_prev=s_prev,
                    s=s,
                    u=u,
                    v=v,
                    s_last=s_last,
                    time=time,
                )
            for v in range(n):
                if A[u, v] == 0:
                    continue
                if color[v] == WHITE:
                    pi[v] = u
                    color[v] = GREY
                    s_prev[v] = s_last
                    s_last = v
                    child_cnt[u] += TICK
                    yield ArticulationHints(
                        is_cut_h=is_cut,
                        pi_h=pi,
                        color=color,
                        d=d,
                        f=f,
                        low=low,
                        child_cnt=child_cnt,
                        s_prev=s_prev,
                        s=s,
                        u=u,
                        v=v,
                        s_last=s_last,
                        time=time,
                    )
                    break
                if pi[u] != v:
                    low[u] = min(low[u], d[v])
                    yield ArticulationHints(
                        is_cut_h=is_cut,
                        pi_h=pi,
                        color=color,
                        d=d,
                        f=f,
                        low=low,
                        child_cnt=child_cnt,
                        s_prev=s_prev,
                        s=s,
                        u=u,
                        v=v,
                        s_last=s_last,
                        time=time,
                    )
            if s_last == u:
                color[u] = BLACK
                time += TICK
                f[u] = time
                for child in range(n):
                    if pi[child] == u:
                        low[u] = min(low[u], low[child])
                        if pi[u] != u and low[child] >= d[u]:
                            is_cut[u] = 1
                if pi[u] == u and child_cnt[u] > TICK:
                    is_cut[u] = 1
                yield ArticulationHints(
                    is_cut_h=is_cut,
                    pi_h=pi,
                    color=color,
                    d=d,
                    f=f,
                    low=low,
                    child_cnt=child_cnt,
                    s_prev=s_prev,
                    s=s,
                    u=u,
                    v=v,
                    s_last=s_last,
                    time=time,
                )
                if s_prev[u] == u:
                    break
                s_last = s_prev[u]
                s_prev[u] = u
            u = s_last


def bridges(A, is_bridge):
    """Edges whose removal disconnects their component: those to a child that reaches (``low``) no further up than itself. Pairs without an edge hold -1."""
    n = A.shape[0]
    for i in range(n):
        for j in range(n):
            is_bridge[i, j] = 0 if A[i, j] != 0 or i == j else -1
    pi, color, d, f, low, s_prev, time = identity(n), mask(n), zeros(n), zeros(n), zeros(n), identity(n), 0.0
    for s in range(n):
        if color[s] != WHITE:
            continue
        u = v = s_last = s
        yield BridgeHints(
            is_bridge_h=is_bridge,
            pi_h=pi,
            color=color,
            d=d,
            f=f,
            low=low,
            s_prev=s_prev,
            s=s,
            u=u,
            v=v,
            s_last=s_last,
            time=time,
        )
        while True:
            if color[u] == WHITE or d[u] == 0.0:
                time += TICK
                d[u] = low[u] = time
                color[u] = GREY
                yield BridgeHints(
                    is_bridge_h=is_bridge,
                    pi_h=pi,
                    color=color,
                    d=d,
                    f=f,
                    low=low,
                    s_prev=s_prev,
                    s=s,
                    u=u,
                    v=v,
                    s_last=s_last,
                    time=time,
                )
            for v in range(n):
                if A[u, v] == 0:
                    continue
                if color[v] == WHITE:
                    pi[v] = u
                    color[v] = GREY
                    s_prev[v] = s_last
                    s_last = v
                    yield BridgeHints(
                        is_bridge_h=is_bridge,
                        pi_h=pi,
                        color=color,
                        d=d,
                        f=f,
                        low=low,
                        s_prev=s_prev,
                        s=s,
                        u=u,
                        v=v,
                        s_last=s_last,
                        time=time,
                    )
                    break
                if pi[u] != v:
                    low[u] = min(low[u], d[v])
                    yield BridgeHints(
                        is_bridge_h=is_bridge,
                        pi_h=pi,
                        color=color,
                        d=d,
                        f=f,
                        low=low,
                        s_prev=s_prev,
                        s=s,
                        u=u,
                        v=v,
                        s_last=s_last,
                        time=time,
                    )
            if s_last == u:
                color[u] = BLACK
                time += TICK
                f[u] = time
                for child in range(n):
                    if pi[child] == u:
                        low[u] = min(low[u], low[child])
                        if low[child] > d[u]:
                            is_bridge[u, child] = is_bridge[child, u] = 1
                yield BridgeHints(
                    is_bridge_h=is_bridge,
                    pi_h=pi,
                    color=color,
                    d=d,
                    f=f,
                    low=low,
                    s_prev=s_prev,
                    s=s,
                    u=u,
                    v=v,
                    s_last=s_last,
                    time=time,
                )
                if s_prev[u] == u:
                    break
                s_last = s_prev[u]
                s_prev[u] = u
            u = s_last


def strongly_connected_components(A, scc_id):
    """Kosaraju: one search of A (phase 0), then one of its transpose with roots by falling finishing time (phase 1), whose trees are the components.

    ``d``, ``f`` and the time carry over into phase 1, where therefore only roots have a step for their discovery.
    """
    n = A.shape[0]
    point_to_self(scc_id)
    backward = transpose(A)
    A_t = graph_of(backward)
    d, f, time = zeros(n), zeros(n), 0.0
    for phase in range(2):
        graph = A if phase == 0 else backward
        color, s_prev = mask(n), identity(n)
        roots = argsort(negative(f)) if phase == 1 else identity(n)
        for s in roots:
            if color[s] != WHITE:
                continue
            u = v = s_last = s
            yield ComponentHints(
                scc_id_h=scc_id,
                A_t=A_t,
                color=color,
                d=d,
                f=f,
                s_prev=s_prev,
                s=s,
                u=u,
                v=v,
                s_last=s_last,
                time=time,
                phase=phase,
            )
            while True:
                if phase == 1:
                    scc_id[u] = s
                if color[u] == WHITE or d[u] == 0.0:
                    time += TICK
                    d[u] = time
                    color[u] = GREY
                    yield ComponentHints(
                        scc_id_h=scc_id,
                        A_t=A_t,
                        color=color,
                        d=d,
                        f=f,
                        s_prev=s_prev,
                        s=s,
                        u=u,
                        v=v,
                        s_last=s_last,
                        time=time,
                        phase=phase,
                    )
                for v in range(n):
                    if graph[u, v] != 0 and color[v] == WHITE:
                        color[v] = GREY
                        s_prev[v] = s_last
                        s_last = v
                        yield ComponentHints(
                            scc_id_h=scc_id,
                            A_t=A_t,
                            color=color,
                            d=d,
                            f=f,
                            s_prev=s_prev,
                            s=s,
                            u=u,
                            v=v,
                            s_last=s_last,
                            time=time,
                            phase=phase,
                        )
                        break
                if s_last == u:
                    color[u] = BLACK
                    time += TICK
                    f[u] = time
                    yield ComponentHints(
                        scc_id_h=scc_id,
                        A_t=A_t,
                        color=color,
                        d=d,
                        f=f,
                        s_prev=s_prev,
                        s=s,
                        u=u,
                        v=v,
                        s_last=s_last,
                        time=time,
                        phase=phase,
                    )
                    if s_prev[u] == u:
                        break
                    s_last = s_prev[u]
                    s_prev[u] = u
                u = s_last


def dag_shortest_paths(s, A, pi):
    """Shortest paths in an acyclic graph: a topological sort of what the source reaches (phase 0), then one relaxation of each node in that order (phase 1)."""
    n = A.shape[0]
    point_to_self(pi)
    d, mark, topo, topo_head, color, s_prev = zeros(n), mask(n), identity(n), 0, mask(n), identity(n)
    u = v = s_last = s
    yield DagHints(
        pi_h=pi,
        d=d,
        mark=mark,
        topo_h=topo,
        topo_head_h=topo_head,
        color=color,
        s_prev=s_prev,
        u=u,
        v=v,
        s_last=s_last,
        phase=0,
    )
    while True:
        if color[u] == WHITE:
            color[u] = GREY
            yield DagHints(
                pi_h=pi,
                d=d,
                mark=mark,
                topo_h=topo,
                topo_head_h=topo_head,
                color=color,
                s_prev=s_prev,
                u=u,
                v=v,
                s_last=s_last,
                phase=0,
            )
        for v in range(n):
            if A[u, v] != 0 and color[v] == WHITE:
                color[v] = GREY
                s_prev[v] = s_last
                s_last = v
                yield DagHints(
                    pi_h=pi,
                    d=d,
                    mark=mark,
                    topo_h=topo,
                    topo_head_h=topo_head,
                    color=color,
                    s_prev=s_prev,
                    u=u,
                    v=v,
                    s_last=s_last,
                    phase=0,
                )
                break
        if s_last == u:
            color[u] = BLACK
            if color[topo_head] == BLACK:
                topo[u] = topo_head
            topo_head = u
            yield DagHints(
                pi_h=pi,
                d=d,
                mark=mark,
                topo_h=topo,
                topo_head_h=topo_head,
                color=color,
                s_prev=s_prev,
                u=u,
                v=v,
                s_last=s_last,
                phase=0,
            )
            if s_prev[u] == u:
                break
            s_last = s_prev[u]
            s_prev[u] = u
        u = s_last
    mark[s] = 1
    while topo[topo_head] != topo_head:
        i = topo_head
        mark[i] = 1
        yield DagHints(
            pi_h=pi,
            d=d,
            mark=mark,
            topo_h=topo,
            topo_head_h=topo_head,
            color=color,
            s_prev=s_prev,
            u=u,
            v=v,
            s_last=s_last,
            phase=1,
        )
        for j in range(n):
            if A[i, j] != 0 and (mark[j] == 0 or d[i] + A[i, j] < d[j]):
                d[j] = d[i] + A[i, j]
                pi[j] = i
                mark[j] = 1
        topo_head = topo[topo_head]
    yield DagHints(
        pi_h=pi,
        d=d,
        mark=mark,
        topo_h=topo,
        topo_head_h=topo_head,
        color=color,
        s_prev=s_prev,
        u=u,
        v=v,
        s_last=s_last,
        phase=1,
    )
