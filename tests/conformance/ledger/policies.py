"""Where our answer is another one, rule by rule."""

from tests.conformance.ledger.register import Policy

POLICIES = [
    Policy(
        "only what is empty is closed",
        "Whoever closes an account first ends its holds and empties it: then nothing can come to "
        "light behind its back.",
        frozenset({"acct-006", "acct-007"}),
    ),
    Policy(
        "a debt is an account of its own",
        "What cannot be taken back is owed beside the balance, which is never negative; the next "
        "credits pay it off.",
        frozenset({"rev-005", "lot-007", "lot-008"}),
    ),
    Policy(
        "accounts open by themselves",
        "An account is the pair of an owner and an asset, opened by its first credit or limit: a "
        "till never has to create one. An unknown giver simply has nothing.",
        frozenset({"acct-003"}),
    ),
    Policy(
        "a receipt is no key",
        "The batch id alone is unique. A receipt and its returns, corrections and late earnings "
        "are many batches with one reference, so a reference that exists is no conflict.",
        frozenset({"idem-009"}),
    ),
    Policy(
        "batches have no links",
        "What stands or falls together is one batch, whose end the message itself marks: a chain "
        "cannot be left open. Batches of one call are independent and each has its own answer.",
        frozenset({"batch-004", "batch-006"}),
    ),
    Policy(
        "a floor has one reason",
        "Going below the floor is INSUFFICIENT_FUNDS whether the floor is zero or a credit line.",
        frozenset({"bal-004"}),
    ),
    Policy(
        "conditions are limits of the account",
        "What must be left behind is the account's floor; the ledger decides on the version that "
        "it writes, so callers neither send one nor retry for it. A transfer has no conditions of "
        "its own.",
        frozenset({"bal-006", "bal-007"}),
    ),
    Policy(
        "history is not rewritten",
        "Batches say when they happened, and lots age from then; balances and statements follow "
        "the order of recording. A late or backdated movement changes no balance of the past.",
        frozenset({"rev-006", "time-002"}),
    ),
    Policy(
        "what happened earlier may be recorded later",
        "A batch may lie in the past of its account, because tills come back online; only the "
        "future, beyond a minute of clock skew, is refused.",
        frozenset({"time-004"}),
    ),
    Policy(
        "what expires first is spent first",
        "Whatever the earning date: any other order lets points lapse that could have been spent.",
        frozenset({"lot-002", "own-068"}),
    ),
    Policy(
        "a body is compared as it was sent",
        "An amount that was left open, or another bound, is another body, even where it would have "
        "moved as much: whoever repeats a call repeats it, whatever became of it.",
        frozenset({"own-039", "own-040"}),
    ),
    Policy(
        "as much as possible is as much as both sides allow",
        "`up_to` stops at what the giver has and at what the receiver has room for. Whoever wants "
        "the giver to have all of it says so by the amount.",
        frozenset({"own-042"}),
    ),
    Policy(
        "a refund is given in full",
        "It gives back what a shopper had paid with. Keeping it for a debt would punish the return "
        "of goods; only what comes anew pays off.",
        frozenset({"own-064"}),
    ),
    Policy(
        "nothing is carried over",
        "What has ended has ended. A caller who wants a part to live on gives it anew, with its "
        "own end and a reason that statements show.",
        frozenset({"own-070"}),
    ),
    Policy(
        "the state of a card is asked anew",
        "What the ledger refused stays refused under its id. A card's state is asked before the "
        "ledger is: nothing was decided yet, so the request may come again when it is unblocked.",
        frozenset({"own-085"}),
    ),
]
