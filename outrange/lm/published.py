"""The rotary schemes that arXiv 2410.06205 compares, and the validation perplexities published for them (table 2, of a
2-billion-parameter model).

Apart from the comparison, so that its command line can be read without loading torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from outrange.lm.config import Rotary
from outrange.lm.schemes import SCHEMES, titled


@dataclass(frozen=True)
class Row:
    """A scheme of table 2, and the validation perplexities published for it: on Wikipedia and on FlanV2."""

    scheme: Rotary
    wiki: float
    flan: float

    @property
    def name(self) -> str:
        """As in commands and names of runs."""
        return titled(SCHEMES[self.scheme.kind].table_name, self.scheme.p, self.scheme.theta)

    @property
    def label(self) -> str:
        """As the paper prints it."""
        return titled(SCHEMES[self.scheme.kind].table_label, self.scheme.p, self.scheme.theta)


TABLE_2 = (
    Row(Rotary(kind="nope"), 4.8594, 6.6429),
    Row(Rotary(kind="rope"), 4.4627, 6.4429),
    Row(Rotary(kind="rope", theta=500_000.0), 4.4485, 6.4593),
    Row(Rotary(kind="p-rope", p=0.25), 4.5302, 6.5111),
    Row(Rotary(kind="p-rope", p=0.75), 4.4414, 6.4422),
    Row(Rotary(kind="reversed", p=0.75), 4.4592, 6.4683),
    Row(Rotary(kind="partial", p=0.75), 4.4537, 6.4562),
)
ROWS: Mapping[str, Row] = {row.name: row for row in TABLE_2}
BASE = "rope-10k"
