"""What the tests of pages share."""

import pytest

WAYS = (
    "http:", "https:", "//www", "src=", "href=", "@import", "url(", "fetch(", "XMLHttpRequest",
    "innerHTML", "insertAdjacentHTML", "document.write", "eval(", " onclick", " onload",
)  # fmt: skip


@pytest.fixture
def calls_out():
    """The ways in which a page, but for the data in its script element, could ask the network for something or make markup of text."""

    def found(page: str, data: str) -> list[str]:
        rest = page.split(f'id="{data}">')[0] + page.split("</script>", 1)[1]
        return [way for way in WAYS if way in rest]

    return found
