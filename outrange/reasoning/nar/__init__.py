"""A generalist neural algorithmic learner (arXiv 2209.11142): one graph network that imitates every CLRS-30 algorithm, step by step."""
