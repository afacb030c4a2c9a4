"""Pages: one self-contained HTML file each, which needs no network.

A page shows a *story*: a frozen dataclass of plain data that the producer in a pillar fills in. The dataclass is the
contract, its field docstrings are the documentation, and its ``__post_init__`` holds the few checks that a user can
fail. Nothing here knows which pillar the data came from, and nothing heavy is imported: ``import outrange.report``
loads neither torch, transformers nor Numba.

    page          shared by all: template loader, JSON in a script element, text cleaning, size of a page
    stepper       steps through something: a trace of an algorithm, an episode
    scan          how a language model uses its rotary frequencies (arXiv 2410.06205)
    probe         from what length on a language model loses its input (arXiv 2406.04267)
    explore       runs of an exploring agent (Never Give Up, arXiv 2002.06038)

To add a page: a story dataclass and a function ``page(story) -> str`` in a file here, a template in ``templates/``, a
producer in the pillar.
"""
