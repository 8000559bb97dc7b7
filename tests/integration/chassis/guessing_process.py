"""A process that guesses: `guessing_process.py URL COUNT` prints how many guesses it had."""

import asyncio
import sys
from datetime import timedelta

from services.chassis import attempts, config, guesses, hotstore

LIMIT = attempts.Limit(burst=10, interval=timedelta(minutes=10))
PLACE = guesses.Place(("two processes",), LIMIT)


async def main(url: str, count: int) -> None:
    settings = config.HotstoreSettings(url=url, timeout_ms=2000)
    async with hotstore.Hotstore.open(settings) as hot:
        counted = guesses.Guesses(hot, "test")
        answers = await asyncio.gather(
            *(counted.charge(PLACE) for _ in range(count)), return_exceptions=True
        )
    others = [one for one in answers if not isinstance(one, guesses.Attempt | guesses.TooMany)]
    assert not others, others
    print(sum(isinstance(one, guesses.Attempt) for one in answers))  # noqa: T201  its answer


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
