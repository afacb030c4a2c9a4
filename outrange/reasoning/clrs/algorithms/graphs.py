"""Breadth-first search, spanning trees and shortest paths (CLRS chapters 22 to 25).

``A[u, v]`` is the weight of the edge from u to v, 0 where there is none.
"""

from outrange.reasoning.clrs.algorithms.common import (
    argsort,
    copy_into,
    edge_mask,
    hints,
    identity,
    mask,
    mask_matrix,
    matrix,
    point_to_self,
    queue_minimum,
    zeros,
)

BfsHints = hints("bfs")
KruskalHints = hints("mst_kruskal")
PrimHints = hints("mst_prim")
BellmanFordHints = hints("bellman_ford")
DijkstraHints = hints("dijkstra")
FloydWarshallHints = hints("floyd_warshall")


def bfs(s, A, predecessor):
    """Breadth-first search, one step a level; a node's predecessor is its lowest-numbered neighbour one level nearer to
    s.

    The step is recorded before the level.
    """
    n = A.shape[0]
    point_to_self(predecessor)
    reached, previously_reached = mask(n), mask(n)
    reached[s] = 1
    grown = True
    while grown:
        yield BfsHints(reach_h=reached, pi_h=predecessor)
        # Only the levels before this one spread, so that a step advances by one level.
        for i in range(n):
            previously_reached[i] = reached[i]
        grown = False
        for i in range(n):
            if previously_reached[i] == 1:
                for j in range(n):
                    if A[i, j] > 0:
                        if predecessor[j] == j and j != s:
                            predecessor[j] = i
                        if reached[j] == 0:
                            reached[j] = 1
                            grown = True


def mst_kruskal(A, in_mst):
    """Kruskal: edges by rising weight, taken if their ends are in different trees.

    ``parent`` is the forest of disjoint sets, compressed along the way to each root. Phase 1 climbs from u, phase 2
    from v, phase 0 joins.
    """
    n = A.shape[0]
    edge_count = 0
    for i in range(n):
        for j in range(i + 1, n):
            edge_count += A[i, j] > 0
    edge_weight, edge_u, edge_v = zeros(edge_count), identity(edge_count), identity(edge_count)
    # The upper triangle lists every undirected edge once.
    edge = 0
    for i in range(n):
        for j in range(i + 1, n):
            if A[i, j] > 0:
                edge_weight[edge], edge_u[edge], edge_v[edge] = A[i, j], i, j
                edge += 1
    parent, path_u, path_v = identity(n), mask(n), mask(n)
    yield KruskalHints(in_mst_h=in_mst, pi=parent, u=0, v=0, root_u=0, root_v=0, mask_u=path_u, mask_v=path_v, phase=0)
    for edge in argsort(edge_weight):
        u, v = edge_u[edge], edge_v[edge]
        root_u, root_v = u, v
        for x in range(n):
            path_u[x] = x == u
            path_v[x] = x == v
        yield KruskalHints(
            in_mst_h=in_mst, pi=parent, u=u, v=v, root_u=root_u, root_v=root_v, mask_u=path_u, mask_v=path_v, phase=1
        )
        # FIND-SET(u): climb one parent a step; every node of the path then points to the node reached.
        while parent[root_u] != root_u:
            root_u = parent[root_u]
            for x in range(n):
                if path_u[x] == 1:
                    parent[x] = root_u
            path_u[root_u] = 1
            yield KruskalHints(
                in_mst_h=in_mst,
                pi=parent,
                u=u,
                v=v,
                root_u=root_u,
                root_v=root_v,
                mask_u=path_u,
                mask_v=path_v,
                phase=1,
            )
        # FIND-SET(v)
        while parent[root_v] != root_v:
            root_v = parent[root_v]
            for x in range(n):
                if path_v[x] == 1:
                    parent[x] = root_v
            path_v[root_v] = 1
            yield KruskalHints(
                in_mst_h=in_mst,
                pi=parent,
                u=u,
                v=v,
                root_u=root_u,
                root_v=root_v,
                mask_u=path_u,
                mask_v=path_v,
                phase=2,
            )
        # UNION: no ranks; the root with the lower number goes below the other.
        if root_u != root_v:
            in_mst[u, v] = in_mst[v, u] = 1
            if root_u < root_v:
                parent[root_u] = root_v
            else:
                parent[root_v] = root_u
        yield KruskalHints(
            in_mst_h=in_mst, pi=parent, u=u, v=v, root_u=root_u, root_v=root_v, mask_u=path_u, mask_v=path_v, phase=0
        )


def mst_prim(s, A, predecessor):
    """Prim: grow one tree from s by the lightest edge that leaves it.

    Records the start, then one step per node added to the tree.
    """
    n = A.shape[0]
    point_to_self(predecessor)
    key, in_tree, in_queue = zeros(n), mask(n), mask(n)
    in_queue[s] = 1
    yield PrimHints(pi_h=predecessor, key=key, mark=in_tree, in_queue=in_queue, u=s)
    u = queue_minimum(key, in_queue)
    while in_queue[u] == 1:
        in_tree[u] = 1
        in_queue[u] = 0
        for v in range(n):
            # Nodes enter the queue when an edge first reaches them; until then their key means nothing.
            if A[u, v] != 0 and in_tree[v] == 0 and (in_queue[v] == 0 or A[u, v] < key[v]):
                predecessor[v] = u
                key[v] = A[u, v]
                in_queue[v] = 1
        yield PrimHints(pi_h=predecessor, key=key, mark=in_tree, in_queue=in_queue, u=u)
        u = queue_minimum(key, in_queue)


def bellman_ford(s, A, predecessor):
    """Bellman-Ford, one step per sweep over all edges; a sweep uses the distances of the sweep before it.

    The step is recorded before the sweep.
    """
    n = A.shape[0]
    point_to_self(predecessor)
    distance, previous_distance, reached, previously_reached = zeros(n), zeros(n), mask(n), mask(n)
    reached[s] = 1
    changed = True
    while changed:
        yield BellmanFordHints(pi_h=predecessor, d=distance, msk=reached)
        for i in range(n):
            previous_distance[i], previously_reached[i] = distance[i], reached[i]
        # RELAX(u, v) for every edge that leaves a node already reached
        for u in range(n):
            if previously_reached[u] == 1:
                for v in range(n):
                    if A[u, v] != 0:
                        if reached[v] == 0 or previous_distance[u] + A[u, v] < distance[v]:
                            distance[v] = previous_distance[u] + A[u, v]
                            predecessor[v] = u
                        reached[v] = 1
        changed = False
        for i in range(n):
            changed = changed or distance[i] != previous_distance[i]


def dijkstra(s, A, predecessor):
    """Dijkstra: settle the queued node with the shortest distance.

    Records the start, then one step per settled node.
    """
    n = A.shape[0]
    point_to_self(predecessor)
    distance, settled, in_queue = zeros(n), mask(n), mask(n)
    in_queue[s] = 1
    yield DijkstraHints(pi_h=predecessor, d=distance, mark=settled, in_queue=in_queue, u=s)
    u = queue_minimum(distance, in_queue)
    while in_queue[u] == 1:
        settled[u] = 1
        in_queue[u] = 0
        for v in range(n):
            # RELAX(u, v); a node that is neither settled nor queued has no distance yet.
            if A[u, v] != 0 and settled[v] == 0 and (in_queue[v] == 0 or distance[u] + A[u, v] < distance[v]):
                predecessor[v] = u
                distance[v] = distance[u] + A[u, v]
                in_queue[v] = 1
        yield DijkstraHints(pi_h=predecessor, d=distance, mark=settled, in_queue=in_queue, u=u)
        u = queue_minimum(distance, in_queue)


def floyd_warshall(A, predecessor):
    """All shortest paths by allowing one more node k on the way at a time; ``predecessor[i, j]`` is the node before j
    on the path from i.

    The step is recorded before the update.
    """
    n = A.shape[0]
    distance, previous_distance = matrix(n), matrix(n)
    reachable, previously_reachable = edge_mask(A), mask_matrix(n)
    copy_into(distance, A)
    for i in range(n):
        for j in range(n):
            predecessor[i, j] = i
    for k in range(n):
        yield FloydWarshallHints(Pi_h=predecessor, D=distance, msk=reachable, k=k)
        copy_into(previous_distance, distance)
        copy_into(previously_reachable, reachable)
        for i in range(n):
            if previously_reachable[i, k] == 1:
                for j in range(n):
                    if previously_reachable[k, j] == 1:
                        # d[i, j] = min(d[i, j], d[i, k] + d[k, j])   (equation 25.5)
                        through_k = previous_distance[i, k] + previous_distance[k, j]
                        if reachable[i, j] == 0 or through_k < distance[i, j]:
                            distance[i, j] = through_k
                            predecessor[i, j] = predecessor[k, j]
                        reachable[i, j] = 1
