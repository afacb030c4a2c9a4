"""How new an observation is: the intrinsic reward r^i of Never Give Up (arXiv 2002.06038, section 3)."""
