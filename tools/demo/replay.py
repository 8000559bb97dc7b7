"""Replay the tills' day books through the gateway, as tills would."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from tessera.identity.v1 import member_pb2, member_service_pb2
from tessera.promotions.v1 import campaign_pb2, checkout_pb2, checkout_service_pb2

from services.chassis import timestamps
from tools.demo import dataset, session
from tools.demo.plan import Plan
from tools.demo.session import Progress, Refused, Session

_EVALUATE_AGAIN = frozenset({"TOTAL_CHANGED", "BENEFIT_GONE", "POINTS_PAYMENT_TOO_HIGH"})
#: After a service was killed, what Evaluate is told of balances may be a minute old; a till that is
#: refused evaluates again at once, and then with ever longer pauses.
_PAUSE_S_MAX = 5.0
_PATIENCE_S = 120.0
_WINDOW_PER_WORKER = 8


@dataclass
class Journal:
    """What the tills sent and must keep: every purchase and every return, ready to send again."""

    commits: dict[int, checkout_service_pb2.CommitRequest] = field(default_factory=dict)
    returns: dict[int, checkout_service_pb2.ReturnRequest] = field(default_factory=dict)
    voids: dict[int, checkout_service_pb2.VoidRequest] = field(default_factory=dict)
    found: int = 0
    evaluated_again: int = 0


@dataclass(frozen=True)
class Step:
    """One thing that happens: `kind` is sale, void or return."""

    household_id: int
    basket_id: int
    kind: str


class Agenda:
    """Hands out steps in the order of time, one at a time for each household.

    Nobody gets a step that lies more than `window` steps after the oldest one unfinished, so the
    chain's year stays in order, too.
    """

    def __init__(self, steps: Iterator[Step], *, window: int) -> None:
        self._steps = enumerate(steps)
        self._window = window
        self._unread = next(self._steps, None)
        #: Waiting or under way, by number, oldest first.
        self._unfinished: dict[int, Step] = {}
        self._waiting: dict[int, Step] = {}
        self._numbers: dict[int, int] = {}
        self._changed = asyncio.Condition()

    async def take(self) -> Step | None:
        """Return the next step whose household is free; None when there are no more."""
        async with self._changed:
            while True:
                self._fill()
                if not self._waiting and self._unread is None:
                    return None
                for number, step in self._waiting.items():
                    if step.household_id not in self._numbers:
                        del self._waiting[number]
                        self._numbers[step.household_id] = number
                        return step
                await self._changed.wait()

    async def finish(self, step: Step) -> None:
        """Let the household's next step begin."""
        async with self._changed:
            del self._unfinished[self._numbers.pop(step.household_id)]
            self._changed.notify_all()

    def _fill(self) -> None:
        while self._unread is not None:
            number, step = self._unread
            if number >= next(iter(self._unfinished), number) + self._window:
                return
            self._unfinished[number] = self._waiting[number] = step
            self._unread = next(self._steps, None)


class Tills:
    """The chain's tills: they know the plan, and what they sent so far."""

    def __init__(self, plan: Plan, asking: Session, *, resuming: bool) -> None:
        self.journal = Journal()
        self._session = asking
        self._resuming = resuming
        self._steps = plan.steps
        self._sales = {row["basket_id"]: row for row in plan.sales.iter_rows(named=True)}
        self._lines = plan.lines
        self._extent = _extents(plan)
        self._returns = {
            key[0]: part.rows(named=True)
            for key, part in plan.returns.partition_by("basket_id", as_dict=True).items()
        }
        self._receipt_ids: dict[int, str] = {}

    async def run(self, *, workers: int, done: Callable[[], None]) -> None:
        """Do everything that is planned; `done` hears of every finished step."""
        steps = self._steps.select("household_id", "basket_id", "kind").iter_rows()
        agenda = Agenda((Step(*row) for row in steps), window=workers * _WINDOW_PER_WORKER)

        async def work() -> None:
            while step := await agenda.take():
                await self._do(step)
                done()
                await agenda.finish(step)

        await session.together(work() for _ in range(workers))

    async def repeat(self, *, count_max: int, progress: Progress) -> tuple[int, int]:
        """Send again what was sent; return how many calls that was and how many were news.

        Up to `count_max` purchases, spread evenly over the year, and what undid them.
        """
        sent = sorted(self.journal.commits)
        stride = -(-len(sent) // count_max) if sent else 1
        news = 0
        calls = 0

        async def send(basket_id: int) -> None:
            nonlocal calls, news
            answers = await self._send_again(basket_id)
            calls += len(answers)
            news += answers.count(False)

        await self._session.each(sent[::stride], send, "receipts sent again", progress)
        return calls, news

    async def _send_again(self, basket_id: int) -> list[bool]:
        """Return for each call whether it was answered from what was stored."""
        journal, checkout = self.journal, self._session.checkout
        commit = journal.commits[basket_id]
        answers = [(await self._session.ask("Commit again", checkout.Commit, commit)).replayed]
        if basket_id in journal.returns:
            back = journal.returns[basket_id]
            answers.append(
                (await self._session.ask("Return again", checkout.Return, back)).replayed
            )
        if basket_id in journal.voids:
            # A void has no key of its own: the receipt just stays voided.
            void = journal.voids[basket_id]
            receipt = (await self._session.ask("Void again", checkout.Void, void)).receipt
            answers.append(receipt.state == checkout_pb2.RECEIPT_STATE_VOIDED)
        return answers

    async def _do(self, step: Step) -> None:
        match step.kind:
            case "sale":
                await self._sell(step.basket_id)
            case "void":
                await self._void(step.basket_id)
            case _:
                await self._take_back(step.basket_id)

    async def _sell(self, basket_id: int) -> None:
        if self._resuming and await self._find(basket_id):
            return
        cart = await self._fill_cart(basket_id)
        start, pause_s = time.monotonic(), 0.0
        while time.monotonic() - start < _PATIENCE_S:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s + 0.1, _PAUSE_S_MAX)
            evaluation = await self._evaluate(basket_id, cart)
            request = checkout_service_pb2.CommitRequest(
                receipt_key=self._key(basket_id),
                cart=cart,
                occurred_time=self._occurred_time(basket_id),
                expected_total_minor=evaluation.total_minor,
                ruleset_version=evaluation.ruleset_version,
            )
            try:
                answer = await self._session.ask("Commit", self._session.checkout.Commit, request)
            except Refused as refused:
                if refused.answer.reason not in _EVALUATE_AGAIN:
                    raise
                self.journal.evaluated_again += 1
                continue
            self.journal.commits[basket_id] = request
            self._receipt_ids[basket_id] = answer.receipt.receipt_id
            return
        raise TimeoutError(f"basket {basket_id} changes with every evaluation")

    async def _find(self, basket_id: int) -> bool:
        """Take a receipt of an earlier replay into the journal; tells whether there is one."""
        receipt = await find(self._session, self._key(basket_id))
        if receipt is None:
            return False
        self.journal.commits[basket_id] = checkout_service_pb2.CommitRequest(
            receipt_key=receipt.receipt_key,
            cart=receipt.cart,
            occurred_time=receipt.occurred_time,
            expected_total_minor=receipt.evaluation.total_minor,
            ruleset_version=receipt.evaluation.ruleset_version,
        )
        self._receipt_ids[basket_id] = receipt.receipt_id
        self.journal.found += 1
        return True

    async def _fill_cart(self, basket_id: int) -> checkout_pb2.Cart:
        sale = self._sales[basket_id]
        cart = checkout_pb2.Cart(
            store_id=sale["store_id"],
            channel=campaign_pb2.Channel.Value(sale["channel"]),
            currency_code=dataset.CURRENCY,
            lines=self._cart_lines(basket_id),
            coupon_codes=sale["codes"],
        )
        if sale["known"]:
            key = member_pb2.MemberKey(card_number=sale["card_number"])
            answer = await self._session.ask(
                "LookupMember",
                self._session.members.LookupMember,
                member_service_pb2.LookupMemberRequest(key=key),
            )
            cart.member_key.member_id = answer.member.member_id
        return cart

    def _cart_lines(self, basket_id: int) -> list[checkout_pb2.CartLine]:
        offset, length = self._extent[basket_id]
        part = self._lines.slice(offset, length)
        columns = ("line_id", "sku", "quantity_thousandths", "unit_price_minor")
        return [
            checkout_pb2.CartLine(**dict(zip(columns, row, strict=True)))
            for row in part.select(*columns).iter_rows()
        ]

    async def _evaluate(self, basket_id: int, cart: checkout_pb2.Cart) -> checkout_pb2.Evaluation:
        """Ask what the cart gets; of what points may pay, the shopper takes the planned share."""
        share_percent = self._sales[basket_id]["points_share_percent"]
        occurred_time = self._occurred_time(basket_id)
        cart.points_payment_minor = 0
        request = checkout_service_pb2.EvaluateRequest(cart=cart, occurred_time=occurred_time)
        evaluate = self._session.checkout.Evaluate
        evaluation = (await self._session.ask("Evaluate", evaluate, request)).evaluation
        points_payment = evaluation.points_payment_max_minor * share_percent // 100
        if not points_payment:
            return evaluation
        cart.points_payment_minor = points_payment
        request.cart.CopyFrom(cart)
        return (await self._session.ask("Evaluate", evaluate, request)).evaluation

    async def _void(self, basket_id: int) -> None:
        request = checkout_service_pb2.VoidRequest(receipt_id=self._receipt_ids[basket_id])
        await self._session.ask("Void", self._session.checkout.Void, request)
        self.journal.voids[basket_id] = request

    async def _take_back(self, basket_id: int) -> None:
        lines = self._returns[basket_id]
        key = self._key(basket_id)
        key.shift_id = lines[0]["shift_id"]
        key.receipt_number = f"{basket_id}-R"
        request = checkout_service_pb2.ReturnRequest(
            receipt_id=self._receipt_ids[basket_id],
            receipt_key=key,
            lines=[
                checkout_pb2.ReturnLine(
                    line_id=line["line_id"], quantity_thousandths=line["quantity_thousandths"]
                )
                for line in lines
            ],
            occurred_time=timestamps.show(lines[0]["occurred_time"]),
        )
        await self._session.ask("Return", self._session.checkout.Return, request)
        self.journal.returns[basket_id] = request

    def _key(self, basket_id: int) -> checkout_pb2.ReceiptKey:
        return receipt_key(self._sales[basket_id])

    def _occurred_time(self, basket_id: int) -> Timestamp:
        occurred_time: datetime = self._sales[basket_id]["occurred_time"]
        return timestamps.show(occurred_time)


def receipt_key(sale: dict[str, str]) -> checkout_pb2.ReceiptKey:
    """Return the key of a planned sale."""
    return checkout_pb2.ReceiptKey(
        store_id=sale["store_id"],
        till_id=sale["till_id"],
        shift_id=sale["shift_id"],
        receipt_number=str(sale["basket_id"]),
    )


async def find(asking: Session, key: checkout_pb2.ReceiptKey) -> checkout_pb2.Receipt | None:
    """Return a receipt by its key, if it was recorded."""
    request = checkout_service_pb2.FindReceiptRequest(receipt_key=key)
    try:
        answer = await asking.ask("FindReceipt", asking.checkout.FindReceipt, request)
    except Refused as refused:
        if refused.answer.reason == "RECEIPT_NOT_FOUND":
            return None
        raise
    return answer.receipt


def _extents(plan: Plan) -> dict[int, tuple[int, int]]:
    """Return where each basket's lines are: the first row and how many."""
    extents: dict[int, tuple[int, int]] = {}
    counts = plan.lines.group_by("basket_id", maintain_order=True).len()
    offset = 0
    for basket_id, length in counts.iter_rows():
        extents[basket_id] = (offset, length)
        offset += length
    return extents
