"""The engine against a model that is too simple to be wrong.

The model knows no lots, versions or sums: every point is a token of its own that lies somewhere.
Random histories are told to both; after each step both must have given the same answers, and every
account must hold the same.
"""

import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.ledger import engine
from tests.unit.ledger.teller import (
    SHOP,
    START,
    Teller,
    batch_id,
    days,
    member,
    move,
    plain,
    points,
    refusal,
)

ANNA, BORIS = MEMBERS = [member(name) for name in ("anna", "boris")]
NEVER = datetime.max.replace(tzinfo=START.tzinfo)
REFUSE, PENDING = engine.Shortfall.REFUSE, engine.Shortfall.TAKE_PENDING
#: What to do about less than is asked for. Debts are another story: see test_debts.
SHORTFALLS = [REFUSE, engine.Shortfall.TAKE_AVAILABLE, PENDING]


Where = tuple[str, int]


class Refusal(Exception):  # noqa: N818  an answer, no failure
    """The model says no."""


@dataclass(eq=False)
class Token:
    """One point: what gave it when, and from when until when it may be spent."""

    source: Where
    born: tuple[datetime, int]
    starts: datetime
    ends: datetime
    is_ending_given: bool


@dataclass(eq=False)
class Moved:
    """A transfer as the model remembers it: what it took, in that order."""

    debit: engine.Key
    credit: engine.Key
    amount: int
    taken: list[Token]
    given_back: int = 0


@dataclass(eq=False)
class Kept:
    """A hold as the model remembers it."""

    debit: engine.Key
    credit: engine.Key
    left: int
    tokens: list[Token]
    ends: datetime
    state: str = ""


@dataclass
class Model:
    """Accounts as heaps of tokens.

    `life` and `delay` are in days; None is never, and until released.
    """

    keeps_lots: bool
    delay: int | None
    life: int | None
    floor: int
    ceiling: int | None
    now: datetime = START
    occurred: datetime = START
    heaps: dict[engine.Key, list[Token]] = field(
        default_factory=lambda: {key: [] for key in MEMBERS}
    )
    balances: dict[engine.Key, int] = field(default_factory=lambda: dict.fromkeys(MEMBERS, 0))
    operations: dict[Where, Moved | Kept | None] = field(default_factory=dict)

    # What accounts hold

    def holds(self) -> list[Kept]:
        """Return the holds that stand."""
        kept = [one for one in self.operations.values() if isinstance(one, Kept)]
        return [one for one in kept if not self.state(one)]

    def state(self, hold: Kept) -> str:
        """Return how a hold has ended, empty while it stands."""
        return hold.state or ("HOLD_EXPIRED" if hold.ends <= self.now else "")

    def live(self, key: engine.Key) -> list[Token]:
        """Return what nobody holds on an account, first to be spent first."""
        held = [token for hold in self.holds() for token in hold.tokens]
        free = [one for one in self.heaps[key] if one.ends > self.now and one not in held]
        return sorted(free, key=lambda token: (token.ends, token.born))

    def active(self, key: engine.Key) -> list[Token]:
        return [token for token in self.live(key) if token.starts <= self.now]

    def held(self, key: engine.Key) -> tuple[int, int, int, int]:
        """Return what is available, pending, held, and promised."""
        held = sum(hold.left for hold in self.holds() if hold.debit == key)
        incoming = sum(hold.left for hold in self.holds() if hold.credit == key)
        if not self.keeps_lots:
            return self.balances[key] - held, 0, held, incoming
        active = len(self.active(key))
        return active, len(self.live(key)) - active, held, incoming

    def next_expiry(self, key: engine.Key) -> tuple[datetime | None, int]:
        ends = [token.ends for token in self.active(key) if token.ends != NEVER]
        return (min(ends), ends.count(min(ends))) if ends else (None, 0)

    # What is asked of it

    def transfer(
        self,
        place: Where,
        debit: engine.Key,
        credit: engine.Key,
        amount: int,
        *,
        up_to: bool,
        lasts: int | None,
    ) -> int:
        """Move tokens."""
        amount = self.bounded(debit, credit, amount, up_to=up_to)
        taken = self.active(debit)[:amount] if debit != SHOP else []
        self.move(place, debit, credit, amount, taken, lasts=lasts)
        return amount

    def hold(
        self,
        place: Where,
        debit: engine.Key,
        credit: engine.Key,
        amount: int,
        *,
        up_to: bool,
        life: timedelta,
    ) -> int:
        """Keep tokens back."""
        amount = self.bounded(debit, credit, amount, up_to=up_to)
        tokens = self.active(debit)[:amount] if debit != SHOP else []
        self.operations[place] = Kept(debit, credit, amount, tokens, self.now + life)
        return amount

    def capture(self, place: Where, target: Where, amount: int | None, *, is_final: bool) -> int:
        """Move what a hold keeps."""
        hold = self.standing(target)
        amount = hold.left if amount is None else amount
        if amount > hold.left:
            raise Refusal("EXCEEDS_HOLD")
        taken, hold.tokens = hold.tokens[:amount], hold.tokens[amount:]
        hold.left -= amount
        if is_final or not hold.left:
            hold.state = "HOLD_CAPTURED"
        self.move(place, hold.debit, hold.credit, amount, taken, lasts=None)
        return amount

    def void(self, place: Where, target: Where) -> int:
        """Let go of what a hold keeps."""
        hold = self.standing(target)
        hold.state = "HOLD_VOIDED"
        self.operations[place] = None
        return hold.left

    def reverse(self, place: Where, target: Where, amount: int, mode: engine.Shortfall) -> int:
        """Give back, the last taken first."""
        moved = self.find(target)
        if not isinstance(moved, Moved):
            raise Refusal("NOT_REVERSIBLE")
        if amount > moved.amount - moved.given_back:
            raise Refusal("EXCEEDS_REVERSIBLE")
        tokens: list[Token] = []
        if moved.credit != SHOP:
            tokens, has = self.reclaimable(moved.credit, target, mode)
            if has < amount and mode == REFUSE:
                raise Refusal("INSUFFICIENT_FUNDS")
            amount = min(amount, has)
        self.check_room(moved.debit, amount)
        self.take(moved.credit, tokens[:amount], amount)
        if moved.debit != SHOP:
            self.balances[moved.debit] += amount
            left = moved.taken[: len(moved.taken) - moved.given_back]
            self.heaps[moved.debit] += left[::-1][:amount]
        moved.given_back += amount
        self.operations[place] = None
        return amount

    def release(self, place: Where, target: Where) -> int:
        """Make pending tokens active."""
        moved = self.find(target)
        mine = []
        if isinstance(moved, Moved) and moved.credit != SHOP:
            mine = self.made(moved.credit, target)
        waiting = [token for token in mine if token.starts > self.now]
        if not waiting:
            raise Refusal("NOT_REVERSIBLE")
        for token in waiting:
            token.starts = self.occurred
            if not token.is_ending_given:
                token.ends = self.end(self.occurred)
        self.operations[place] = None
        return len(waiting)

    # How it does so

    def bounded(self, debit: engine.Key, credit: engine.Key, amount: int, *, up_to: bool) -> int:
        """Return how much can go, or refuse."""
        if debit == credit:
            raise Refusal("ACCOUNTS_MUST_DIFFER")
        if debit != SHOP:
            has = max(self.held(debit)[0] - self.floor, 0)
            if has < amount and not up_to:
                raise Refusal("INSUFFICIENT_FUNDS")
            amount = min(amount, has)
        if up_to:
            amount = min(amount, self.room(credit))
        self.check_room(credit, amount)
        return amount

    def move(
        self,
        place: Where,
        debit: engine.Key,
        credit: engine.Key,
        amount: int,
        taken: list[Token],
        *,
        lasts: int | None,
    ) -> None:
        self.take(debit, taken, amount)
        if credit != SHOP:
            self.balances[credit] += amount
            self.heaps[credit] += [self.token(place, lasts) for _ in range(amount)]
        self.operations[place] = Moved(debit, credit, amount, taken)

    def standing(self, target: Where) -> Kept:
        """Return a hold that has not ended, or refuse."""
        if target not in self.operations:
            raise Refusal("HOLD_NOT_FOUND")
        hold = self.operations[target]
        if not isinstance(hold, Kept):
            raise Refusal("NOT_A_HOLD")
        if self.state(hold):
            raise Refusal(self.state(hold))
        return hold

    def find(self, target: Where) -> Moved | Kept | None:
        if target not in self.operations:
            raise Refusal("TRANSFER_NOT_FOUND")
        return self.operations[target]

    def reclaimable(
        self, key: engine.Key, target: Where, mode: engine.Shortfall
    ) -> tuple[list[Token], int]:
        """Return what a reversal may take: first what its target gave, then what is active."""
        if not self.keeps_lots:
            return [], 0 if mode == PENDING else max(self.held(key)[0] - self.floor, 0)
        mine = self.made(key, target)
        if mode == PENDING:
            mine = [token for token in mine if token.starts > self.now]
            return mine, len(mine)
        tokens = mine + [token for token in self.active(key) if token not in mine]
        return tokens, len(tokens)

    def made(self, key: engine.Key, target: Where) -> list[Token]:
        return [token for token in self.live(key) if token.source == target]

    def room(self, key: engine.Key) -> int:
        if key == SHOP or self.ceiling is None:
            return 10**9
        return max(self.ceiling - sum(self.held(key)), 0)

    def check_room(self, key: engine.Key, amount: int) -> None:
        if amount > self.room(key):
            raise Refusal("CEILING_EXCEEDED")

    def take(self, key: engine.Key, tokens: list[Token], amount: int) -> None:
        if key != SHOP:
            self.balances[key] -= amount
            self.heaps[key] = [token for token in self.heaps[key] if token not in tokens]

    def token(self, place: Where, lasts: int | None) -> Token:
        starts = NEVER if self.delay is None else self.occurred + timedelta(days=self.delay)
        ends = NEVER if self.delay is None else self.end(starts)
        if lasts is not None:
            ends = self.occurred + timedelta(days=lasts)
        return Token(place, (self.occurred, place[1]), starts, ends, lasts is not None)

    def end(self, starts: datetime) -> datetime:
        return NEVER if self.life is None else starts + timedelta(days=self.life)


@dataclass(frozen=True)
class Move:
    sides: tuple[engine.Key, engine.Key]
    amount: int
    up_to: bool
    lasts: int | None


@dataclass(frozen=True)
class Hold:
    sides: tuple[engine.Key, engine.Key]
    amount: int
    up_to: bool
    hours: int


@dataclass(frozen=True)
class Capture:
    target: int
    amount: int | None
    is_final: bool


@dataclass(frozen=True)
class Void:
    target: int


@dataclass(frozen=True)
class Undo:
    target: int
    amount: int
    mode: engine.Shortfall


@dataclass(frozen=True)
class Release:
    target: int


Wish = Move | Hold | Capture | Void | Undo | Release

members = st.sampled_from(MEMBERS)
#: Who gives to whom; once in a while somebody to himself.
PAIRS = [*[(ANNA, SHOP), (ANNA, BORIS), (BORIS, SHOP), (BORIS, ANNA)] * 3, (ANNA, ANNA)]
pairs = st.sampled_from(PAIRS)
amounts = st.integers(1, 12)
targets = st.integers(0, 9)
terms = st.sampled_from([None, None, 1, 3, 9])
givings = st.tuples(st.just(SHOP), members)
earnings = st.builds(Move, givings, amounts, st.booleans(), terms)
spendings = st.builds(Move, pairs, amounts, st.booleans(), st.none())
placings = st.builds(Hold, pairs | givings, amounts, st.booleans(), st.integers(1, 72))
captures = st.builds(Capture, targets, st.none() | amounts, st.booleans())
undos = st.builds(Undo, targets, amounts, st.sampled_from(SHORTFALLS))
voids, releases = st.builds(Void, targets), st.builds(Release, targets)
wishes = st.one_of(earnings, spendings, placings, captures, undos, voids, releases)
batches = st.lists(wishes, min_size=1, max_size=3)


class TwoBanks(RuleBasedStateMachine):
    """The engine behind its counter, and the model beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    @initialize(
        policy=st.sampled_from([None, (0, 5), (2, 5), (None, 4), (0, None)]),
        ceiling=st.sampled_from([None, 40]),
        floor=st.sampled_from([0, -7]),
    )
    def found(
        self, policy: tuple[int | None, int | None] | None, ceiling: int | None, floor: int
    ) -> None:
        """Open with a currency that keeps lots, or without."""
        delay, life = policy or (0, None)
        keeps_lots = policy is not None
        self.model = Model(keeps_lots, delay, life, 0 if keeps_lots else floor, ceiling)
        if keeps_lots:
            expiry = None if life is None else days(life)
            self.teller = Teller(points(pending_days=delay, expiry=expiry, ceiling=ceiling))
        else:
            self.teller = Teller(plain(floor=floor, ceiling=ceiling))

    @rule(hours=st.integers(1, 60))
    def wait(self, hours: int) -> None:
        """Let time pass."""
        self._tick(timedelta(hours=hours))

    @rule()
    def sweep(self) -> None:
        """Book what has expired: nobody may notice."""
        self.teller.sweep()

    @rule(wish=earnings)
    def earn(self, wish: Wish) -> None:
        self.post([[wish]])

    @rule(wish=spendings)
    def spend(self, wish: Wish) -> None:
        self.post([[wish]])

    @rule(wish=placings)
    def keep(self, wish: Wish) -> None:
        self.post([[wish]])

    @rule(wish=captures | voids)
    def settle(self, wish: Wish) -> None:
        self.post([[wish]])

    @rule(wish=undos)
    def undo(self, wish: Wish) -> None:
        self.post([[wish]])

    @rule(wish=releases)
    def release(self, wish: Wish) -> None:
        self.post([[wish]])

    @rule(groups=st.lists(batches, min_size=2, max_size=3))
    def post(self, groups: list[list[Wish]]) -> None:
        """Post batches in one group; the model takes them one after the other."""
        self._tick(timedelta(seconds=1))
        orders, expected = [], []
        for number, wish in enumerate(groups):
            name = f"batch {len(self.names)}"
            self.names.append(name)
            # Lots of one instant are told apart by a hash, of which the model knows nothing.
            occurred = self.model.now - timedelta(milliseconds=len(groups) - number)
            self.model.occurred = occurred
            operations = [self._operation(one) for one in wish]
            orders.append(self.teller.batch(*operations, name=name, occurred_at=occurred))
            expected.append(self._ask_model(name, wish))
        for decision, (moved, reason) in zip(self.teller.group(*orders), expected, strict=True):
            if isinstance(decision, engine.Refused):
                assert reason is not None, f"the model posts what is refused: {refusal(decision)}"
                if len(decision.batch.operations) == 1:
                    assert refusal(decision).reason == reason
            else:
                assert reason is None, f"the model refuses: {reason}"
                assert [one.amount for one in decision.operations] == moved

    @invariant()
    def accounts_agree(self) -> None:
        for key in MEMBERS:
            shown = self.teller.balance(key)
            amounts_shown = shown.available, shown.pending, shown.held, shown.incoming
            assert amounts_shown == self.model.held(key)
            if self.model.keeps_lots:
                expiry = shown.next_expire_at, shown.next_expire_amount
                assert expiry == self.model.next_expiry(key)
        assert self.teller.sum() == 0

    def _tick(self, span: timedelta) -> None:
        self.model.now += span
        self.teller.now = self.model.now

    def _ask_model(self, name: str, wish: list[Wish]) -> tuple[list[int], str | None]:
        before = copy.deepcopy(self.model)
        # All operations of a batch refer back to what was there before it.
        targets = [self._target(one) for one in wish]
        moved = []
        for index, (one, target) in enumerate(zip(wish, targets, strict=True)):
            try:
                moved.append(self._apply((name, index), one, target))
            except Refusal as refused:
                self.model = before
                return [], str(refused)
        return moved, None

    def _apply(self, place: Where, wish: Wish, target: Where) -> int:
        model = self.model
        match wish:
            case Move((debit, credit), amount, up_to, lasts):
                lasts = lasts if model.keeps_lots else None
                return model.transfer(place, debit, credit, amount, up_to=up_to, lasts=lasts)
            case Hold((debit, credit), amount, up_to, hours):
                life = timedelta(hours=hours)
                return model.hold(place, debit, credit, amount, up_to=up_to, life=life)
            case Capture(_, wanted, is_final):
                return model.capture(place, target, wanted, is_final=is_final)
            case Void():
                return model.void(place, target)
            case Undo(_, amount, mode):
                return model.reverse(place, target, amount, mode)
            case Release():
                return model.release(place, target)

    def _operation(self, wish: Wish) -> engine.Operation:
        name, index = self._target(wish)
        target = engine.Place(batch_id(name), index)
        match wish:
            case Move((debit, credit), amount, up_to, lasts):
                ends = None
                if lasts is not None and self.model.keeps_lots:
                    ends = self.model.occurred + timedelta(days=lasts)
                return move(debit, credit, amount, up_to=up_to, expires_at=ends)
            case Hold((debit, credit), amount, up_to, hours):
                return engine.Hold(debit, credit, amount, 2, "", up_to, timedelta(hours=hours))
            case Capture(_, wanted, is_final):
                return engine.Capture(target, wanted, is_final)
            case Void():
                return engine.Void(target)
            case Undo(_, amount, mode):
                return engine.Reversal(target, amount, mode)
            case Release():
                return engine.Release(target)

    def _target(self, wish: Wish) -> Where:
        """Return the operation that a wish is about: mostly one of the right kind, if any."""
        if isinstance(wish, Move | Hold):
            return "none", 0
        kind = Kept if isinstance(wish, Capture | Void) else Moved
        known = self.model.operations
        fitting = [place for place, one in known.items() if isinstance(one, kind)]
        if wish.target == 0 or not known:
            return "never", 0
        if wish.target == 1 or not fitting:
            return list(known)[-1]
        return fitting[-1 - (wish.target - 2) % len(fitting)]


TestTwoBanks = TwoBanks.TestCase
TestTwoBanks.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
