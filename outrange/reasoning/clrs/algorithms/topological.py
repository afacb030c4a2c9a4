"""Topological sort, and shortest paths by it (CLRS sections 22.4 and 24.2).

Both are the depth-first search of depth_first.py, whose head explains the stack, without its clock. The order is a
linked list: ``topo_head`` is the first node and ``topo[u]`` the one after u; the last points to itself.
"""

from outrange.reasoning.clrs.algorithms.common import BLACK, GREY, WHITE, hints, identity, mask, point_to_self, zeros

TopologicalHints = hints("topological_sort")
DagHints = hints("dag_shortest_paths")


def topological_sort(A, topo, topo_head_out):
    """Nodes in the reverse order of finishing: ``topo[u]`` is the node after u, ``topo_head`` the first.

    Only roots have a step for their discovery.
    """
    n = A.shape[0]
    point_to_self(topo)
    color, stack_previous, topo_head = mask(n), identity(n), 0
    for root in range(n):
        if color[root] != WHITE:
            continue
        u = v = stack_top = root
        yield TopologicalHints(
            topo_h=topo,
            topo_head_h=topo_head,
            color=color,
            s_prev=stack_previous,
            s=root,
            u=u,
            v=v,
            s_last=stack_top,
        )
        while True:
            # 1. discover: true of roots alone, every other node turned grey when it was pushed
            if color[u] == WHITE:
                color[u] = GREY
                yield TopologicalHints(
                    topo_h=topo,
                    topo_head_h=topo_head,
                    color=color,
                    s_prev=stack_previous,
                    s=root,
                    u=u,
                    v=v,
                    s_last=stack_top,
                )
            # 2. push the first white neighbour
            for v in range(n):
                if A[u, v] != 0 and color[v] == WHITE:
                    color[v] = GREY
                    stack_previous[v] = stack_top
                    stack_top = v
                    yield TopologicalHints(
                        topo_h=topo,
                        topo_head_h=topo_head,
                        color=color,
                        s_prev=stack_previous,
                        s=root,
                        u=u,
                        v=v,
                        s_last=stack_top,
                    )
                    break
            # 3. none was pushed: finish, put u in front of what has finished before, and pop
            if stack_top == u:
                color[u] = BLACK
                if color[topo_head] == BLACK:  # unless u is the very first to finish, and stays the last in the order
                    topo[u] = topo_head
                topo_head = u
                yield TopologicalHints(
                    topo_h=topo,
                    topo_head_h=topo_head,
                    color=color,
                    s_prev=stack_previous,
                    s=root,
                    u=u,
                    v=v,
                    s_last=stack_top,
                )
                if stack_previous[u] == u:  # u is the root: its tree is done
                    break
                stack_top = stack_previous[u]
                stack_previous[u] = u
            u = stack_top
    topo_head_out[0] = topo_head


def dag_shortest_paths(s, A, predecessor):
    """Shortest paths in an acyclic graph (section 24.2).

    A topological sort of what the source reaches (phase 0), then one relaxation of each node in that order (phase 1).
    """
    n = A.shape[0]
    point_to_self(predecessor)
    distance, reached = zeros(n), mask(n)
    topo, topo_head, color, stack_previous = identity(n), 0, mask(n), identity(n)
    u = v = stack_top = s
    yield DagHints(
        pi_h=predecessor,
        d=distance,
        mark=reached,
        topo_h=topo,
        topo_head_h=topo_head,
        color=color,
        s_prev=stack_previous,
        u=u,
        v=v,
        s_last=stack_top,
        phase=0,
    )
    while True:
        # 1. discover: true of the source alone
        if color[u] == WHITE:
            color[u] = GREY
            yield DagHints(
                pi_h=predecessor,
                d=distance,
                mark=reached,
                topo_h=topo,
                topo_head_h=topo_head,
                color=color,
                s_prev=stack_previous,
                u=u,
                v=v,
                s_last=stack_top,
                phase=0,
            )
        # 2. push the first white neighbour
        for v in range(n):
            if A[u, v] != 0 and color[v] == WHITE:
                color[v] = GREY
                stack_previous[v] = stack_top
                stack_top = v
                yield DagHints(
                    pi_h=predecessor,
                    d=distance,
                    mark=reached,
                    topo_h=topo,
                    topo_head_h=topo_head,
                    color=color,
                    s_prev=stack_previous,
                    u=u,
                    v=v,
                    s_last=stack_top,
                    phase=0,
                )
                break
        # 3. none was pushed: finish, put u in front of what has finished before, and pop
        if stack_top == u:
            color[u] = BLACK
            if color[topo_head] == BLACK:
                topo[u] = topo_head
            topo_head = u
            yield DagHints(
                pi_h=predecessor,
                d=distance,
                mark=reached,
                topo_h=topo,
                topo_head_h=topo_head,
                color=color,
                s_prev=stack_previous,
                u=u,
                v=v,
                s_last=stack_top,
                phase=0,
            )
            if stack_previous[u] == u:  # u is the root: its tree is done
                break
            stack_top = stack_previous[u]
            stack_previous[u] = u
        u = stack_top
    reached[s] = 1
    # Relax the edges of each node in topological order; the last node has none.
    while topo[topo_head] != topo_head:
        i = topo_head
        reached[i] = 1
        yield DagHints(
            pi_h=predecessor,
            d=distance,
            mark=reached,
            topo_h=topo,
            topo_head_h=topo_head,
            color=color,
            s_prev=stack_previous,
            u=u,
            v=v,
            s_last=stack_top,
            phase=1,
        )
        for j in range(n):
            if A[i, j] != 0 and (reached[j] == 0 or distance[i] + A[i, j] < distance[j]):
                distance[j] = distance[i] + A[i, j]
                predecessor[j] = i
                reached[j] = 1
        topo_head = topo[topo_head]
    yield DagHints(
        pi_h=predecessor,
        d=distance,
        mark=reached,
        topo_h=topo,
        topo_head_h=topo_head,
        color=color,
        s_prev=stack_previous,
        u=u,
        v=v,
        s_last=stack_top,
        phase=1,
    )
