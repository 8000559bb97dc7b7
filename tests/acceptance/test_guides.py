"""What the guides tell people to type works as it stands."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guides" / "pos-integration.md"

pytestmark = pytest.mark.usefixtures("example")


def blocks(page, language):
    """The code blocks of a language, one behind the other."""
    found = re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{page} has no {language}"
    return "".join(found)


def here(script, stack):
    """Return a script of a guide for the stack and the store at hand."""
    return script.replace("127.0.0.1:8080", stack.address("gateway")).replace(
        ".stack/secrets", str(stack.layout.secrets)
    )


async def run(*command, **variables):
    """Run a program to its end; answers what it printed."""
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
async def example(stack):
    """Load what `make example` loads into a stack that has nothing of it; twice, as it may."""
    for _ in range(2):
        told = await run(
            *(sys.executable, "-m", "tools", "example"),
            TESSERA_GATEWAY=stack.address("gateway"),
            TESSERA_SECRET_FILE=str(stack.layout.secrets / "client-admin"),
        )
        assert "The store example is open" in told


async def test_the_till_of_one_page_sells_and_takes_back(stack):
    """The Python pages record a purchase once, refund a piece, and read a refusal."""
    told = await run(
        sys.executable,
        "-c",
        blocks(GUIDE, "python"),
        TESSERA_GATEWAY=stack.address("gateway"),
        TESSERA_SECRET=stack.vault.read("client-pos-demo"),
        PYTHONPATH=f"{ROOT}:{ROOT / 'protos'}",
    )
    assert "to pay 597, saved 40" in told
    assert "recorded once: True" in told
    assert "one piece back: give 179" in told
    assert "TOTAL_CHANGED - show 597" in told


@pytest.mark.parametrize("page", [GUIDE, ROOT / "README.md"], ids=lambda page: page.stem)
async def test_the_curl_lines_evaluate(stack, page):
    """They are typed into a shell as they are, but for the address and the secret."""
    text = re.search(r"```sh\n(TOKEN=.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert text
    told = await run("sh", "-c", here(text[1], stack))
    assert '"total_minor": "358"' in told.replace('":"', '": "')


async def test_the_gift_card_of_the_guide_is_made_sold_and_pays(stack):
    """By the chain and by two tills, each with the rights that the stack gives them."""
    text = re.search(r"```sh\n(field.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert text
    told = (await run("sh", "-c", here(text[1], stack))).splitlines()
    assert (told[0], told[2]) == ("500", "200")
    assert "'amount_minor': '300'" in told[1]
