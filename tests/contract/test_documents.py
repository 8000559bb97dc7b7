"""Documents that people find and can name."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DECISIONS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def test_a_decision_has_a_number_of_its_own_that_its_heading_says():
    """Nobody has to ask which of two decisions 41 is meant."""
    numbers = Counter(file.name[:4] for file in DECISIONS)
    assert [number for number, count in numbers.items() if count > 1] == []
    for file in DECISIONS:
        heading = file.read_text(encoding="utf-8").partition("\n")[0]
        assert heading.startswith(f"# {int(file.name[:4])}. "), file.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """A link to a file that moved is found here, not by a reader."""
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_guide_stands_in_the_readme():
    """A guide that nothing leads to is not read."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    guides = (ROOT / "docs" / "guides").glob("*.md")
    assert [one.name for one in guides if f"](docs/guides/{one.name})" not in readme] == []
