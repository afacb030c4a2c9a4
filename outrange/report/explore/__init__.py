"""One self-contained HTML page about runs of an exploring agent: how they went, where the agent goes, one episode of it
(Never Give Up, arXiv 2002.06038).

A producer fills in a ``Story``; ``page`` makes the HTML of it and ``reading`` its sentences.

    story       the dataclasses: Story, RunLog, Reference, Map, Episode, Meaning
    series      numbers of logs over steps: of one run, and the median and band of several
    charts      which curves are drawn, and what each caption says
    episode     maps, and one episode: pictures, places, controllable states
    tables      every number of the logs, evaluation, settings, what ran
    sentences   what the numbers say in words
    compose     from story to page, and what is left out of a page that would be too large
"""

from outrange.report.explore.compose import page
from outrange.report.explore.sentences import reading
from outrange.report.explore.story import Episode, Map, Meaning, Reference, RunLog, Story

__all__ = ["Episode", "Map", "Meaning", "Reference", "RunLog", "Story", "page", "reading"]
