"""A processor outside the family: nodes attend to their neighbours.

The how-to page docs/howto/own_processor.md explains each part.
"""

import torch
from torch import nn

from outrange.reasoning.nar import register_processor


class Attention(nn.Module):
    """One head of attention from every node to those it is linked to; an edge's features move its score and message."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(2 * hidden, hidden) for _ in range(3))
        self.edge_score, self.edge_value = nn.Linear(hidden, 1), nn.Linear(hidden, hidden)
        self.update = nn.Linear(4 * hidden, hidden)
        self.norm = nn.LayerNorm(hidden)

    def forward(self, node_fts, edge_fts, graph_fts, hidden, adjacency):
        z = torch.cat([node_fts, hidden], -1)  # (B, N, 2h)
        # Scores (B, i, j) of sender i at receiver j; every node is linked to itself, so the softmax has a sender.
        scores = torch.einsum("bih,bjh->bij", self.key(z), self.query(z)) / hidden.shape[-1] ** 0.5
        scores = scores + self.edge_score(edge_fts).squeeze(-1)
        weights = scores.masked_fill(~adjacency, -torch.inf).softmax(1)
        node_messages = torch.einsum("bij,bih->bjh", weights, self.value(z))
        edge_messages = torch.einsum("bij,bijh->bjh", weights, self.edge_value(edge_fts))
        # The new hidden state, from the node itself, what it was sent, and the graph's features.
        graph_at_nodes = graph_fts[:, None].expand_as(node_fts)
        features = torch.cat([z, node_messages + edge_messages, graph_at_nodes], -1)
        return self.norm(torch.relu(self.update(features))), None


register_processor("attention", Attention)
