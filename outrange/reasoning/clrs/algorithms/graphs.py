"""Breadth-first search, spanning trees and shortest paths (CLRS chapters 22 to 25). ``A[u, v]`` is the weight of the edge u to v, 0 where there is none."""

from outrange.reasoning.clrs.algorithms.common import (
    argsort,
    fill,
    first_in_queue,
    graph_of,
    hints,
    identity,
    mask,
    mask_matrix,
    matrix,
    point_to_self,
    zeros,
)

BfsHints = hints("bfs")
KruskalHints = hints("mst_kruskal")
PrimHints = hints("mst_prim")
BellmanFordHints = hints("bellman_ford")
DijkstraHints = hints("dijkstra")
FloydWarshallHints = hints("floyd_warshall")


def bfs(s, A, pi):
    """Breadth-first search, one step a level; a node's parent is the lowest-numbered neighbour one level nearer. The step is recorded before the level."""
    n = A.shape[0]
    point_to_self(pi)
    reach, before = mask(n), mask(n)
    reach[s] = 1
    grown = True
    while grown:
        yield BfsHints(reach_h=reach, pi_h=pi)
        for i in range(n):
            before[i] = reach[i]
        grown = False
        for i in range(n):
            if before[i] == 1:
                for j in range(n):
                    if A[i, j] > 0:
                        if pi[j] == j and j != s:
                            pi[j] = i
                        if reach[j] == 0:
                            reach[j] = 1
                            grown = True


def mst_kruskal(A, in_mst):
    """Kruskal: edges by rising weight, kept if their ends are in different trees. ``pi`` is the union-find forest, compressed along the climb to each root.

    Phase 1 climbs from u, phase 2 from v, phase 0 joins.
    """
    n = A.shape[0]
    count = 0
    for i in range(n):
        for j in range(i + 1, n):
            count += A[i, j] > 0
    weights, us, vs = zeros(count), identity(count), identity(count)
    edge = 0
    for i in range(n):
        for j in range(i + 1, n):
            if A[i, j] > 0:
                weights[edge], us[edge], vs[edge] = A[i, j], i, j
                edge += 1
    pi, mask_u, mask_v = identity(n), mask(n), mask(n)
    yield KruskalHints(in_mst_h=in_mst, pi=pi, u=0, v=0, root_u=0, root_v=0, mask_u=mask_u, mask_v=mask_v, phase=0)
    for edge in argsort(weights):
        u, v = us[edge], vs[edge]
        root_u, root_v = u, v
        for x in range(n):
            mask_u[x] = x == u
            mask_v[x] = x == v
        yield KruskalHints(
            in_mst_h=in_mst, pi=pi, u=u, v=v, root_u=root_u, root_v=root_v, mask_u=mask_u, mask_v=mask_v, phase=1
        )
        while pi[root_u] != root_u:
            root_u = pi[root_u]
            for x in range(n):
                if mask_u[x] == 1:
                    pi[x] = root_u
            mask_u[root_u] = 1
            yield KruskalHints(
                in_mst_h=in_mst, pi=pi, u=u, v=v, root_u=root_u, root_v=root_v, mask_u=mask_u, mask_v=mask_v, phase=1
            )
        while pi[root_v] != root_v:
            root_v = pi[root_v]
            for x in range(n):
                if mask_v[x] == 1:
                    pi[x] = root_v
            mask_v[root_v] = 1
            yield KruskalHints(
                in_mst_h=in_mst, pi=pi, u=u, v=v, root_u=root_u, root_v=root_v, mask_u=mask_u, mask_v=mask_v, phase=2
            )
        if root_u != root_v:
            in_mst[u, v] = in_mst[v, u] = 1
            if root_u < root_v:
                pi[root_u] = root_v
            else:
                pi[root_v] = root_u
        yield KruskalHints(
            in_mst_h=in_mst, pi=pi, u=u, v=v, root_u=root_u, root_v=root_v, mask_u=mask_u, mask_v=mask_v, phase=0
        )


def mst_prim(s, A, pi):
    """Prim: grow one tree from s by the lightest edge that leaves it. Records the start, then one step per node taken into the tree."""
    n = A.shape[0]
    point_to_self(pi)
    key, mark, in_queue = zeros(n), mask(n), mask(n)
    in_queue[s] = 1
    yield PrimHints(pi_h=pi, key=key, mark=mark, in_queue=in_queue, u=s)
    u = first_in_queue(key, in_queue)
    while in_queue[u] == 1:
        mark[u] = 1
        in_queue[u] = 0
        for v in range(n):
            if A[u, v] != 0 and mark[v] == 0 and (in_queue[v] == 0 or A[u, v] < key[v]):
                pi[v] = u
                key[v] = A[u, v]
                in_queue[v] = 1
        yield PrimHints(pi_h=pi, key=key, mark=mark, in_queue=in_queue, u=u)
        u = first_in_queue(key, in_queue)


def bellman_ford(s, A, pi):
    """Bellman-Ford, one step per sweep over all edges; a sweep uses the distances of the sweep before it. The step is recorded before the sweep."""
    n = A.shape[0]
    point_to_self(pi)
    d, before, reached, reached_before = zeros(n), zeros(n), mask(n), mask(n)
    reached[s] = 1
    changed = True
    while changed:
        yield BellmanFordHints(pi_h=pi, d=d, msk=reached)
        for i in range(n):
            before[i], reached_before[i] = d[i], reached[i]
        for u in range(n):
            if reached_before[u] == 1:
                for v in range(n):
                    if A[u, v] != 0:
                        if reached[v] == 0 or before[u] + A[u, v] < d[v]:
                            d[v] = before[u] + A[u, v]
                            pi[v] = u
                        reached[v] = 1
        changed = False
        for i in range(n):
            changed = changed or d[i] != before[i]


def dijkstra(s, A, pi):
    """Dijkstra: settle the queued node with the shortest distance. Records the start, then one step per settled node."""
    n = A.shape[0]
    point_to_self(pi)
    d, mark, in_queue = zeros(n), mask(n), mask(n)
    in_queue[s] = 1
    yield DijkstraHints(pi_h=pi, d=d, mark=mark, in_queue=in_queue, u=s)
    u = first_in_queue(d, in_queue)
    while in_queue[u] == 1:
        mark[u] = 1
        in_queue[u] = 0
        for v in range(n):
            if A[u, v] != 0 and mark[v] == 0 and (in_queue[v] == 0 or d[u] + A[u, v] < d[v]):
                pi[v] = u
                d[v] = d[u] + A[u, v]
                in_queue[v] = 1
        yield DijkstraHints(pi_h=pi, d=d, mark=mark, in_queue=in_queue, u=u)
        u = first_in_queue(d, in_queue)


def floyd_warshall(A, Pi):
    """All shortest paths by allowing one more node k on the way at a time; ``Pi[i, j]`` is the node before j. The step is recorded before the update."""
    n = A.shape[0]
    D, before, known, known_before = matrix(n), matrix(n), graph_of(A), mask_matrix(n)
    fill(D, A)
    for i in range(n):
        for j in range(n):
            Pi[i, j] = i
    for k in range(n):
        yield FloydWarshallHints(Pi_h=Pi, D=D, msk=known, k=k)
        fill(before, D)
        fill(known_before, known)
        for i in range(n):
            if known_before[i, k] == 1:
                for j in range(n):
                    if known_before[k, j] == 1:
                        if known[i, j] == 0 or before[i, k] + before[k, j] < D[i, j]:
                            D[i, j] = before[i, k] + before[k, j]
                            Pi[i, j] = Pi[k, j]
                        known[i, j] = 1
