"""Files of transfers: CSV with a head line, or one JSON object a line, with the same names."""

import csv
import hashlib
import json
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import protovalidate
from tessera.ledger.v1 import account_pb2, batch_pb2

from services.chassis import timestamps

REQUIRED = ("asset_code", "debit", "credit", "amount", "reason")
OPTIONAL = ("campaign_id", "lot_activate_time", "lot_expire_time", "up_to")
_KNOWN = frozenset({*REQUIRED, *OPTIONAL})
_FLAGS = {"": False, "false": False, "0": False, "no": False, "true": True, "1": True, "yes": True}
_OWNERS = {
    name.removeprefix("OWNER_TYPE_").lower(): number
    for name, number in account_pb2.OwnerType.items()
    if number
}
_REASONS = {
    name.removeprefix("TRANSFER_REASON_").lower(): number
    for name, number in account_pb2.TransferReason.items()
    if number
}


class FileProblem(Exception):  # noqa: N818  it is the file's, not ours
    """The file as a whole cannot be read; the message is one sentence."""


class RowProblem(Exception):  # noqa: N818  it is the row's, not ours
    """A row is no transfer; the message says why."""


class Refused(NamedTuple):
    """A row that took no effect, by its line in the file."""

    line: int
    reason: str
    message: str


@dataclass
class Source:
    """A file of transfers, scanned once and then read as often as need be.

    `lines` has the line of each transfer, by its number; `problems` the lines that are none.
    """

    path: Path
    lines: "array[int]" = field(default_factory=lambda: array("Q"))
    problems: dict[int, str] = field(default_factory=dict)
    _validator: protovalidate.Validator = field(default_factory=protovalidate.Validator)

    def digest(self) -> str:
        """Return the SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def scan(self) -> int:
        """Hold every row against the contract; return how many pass. Raises FileProblem."""
        for line, row in self._rows():
            try:
                self._check(row)
            except RowProblem as problem:
                self.problems[line] = str(problem)
            else:
                self.lines.append(line)
        return len(self.lines)

    def transfers(self) -> Iterator[batch_pb2.Transfer]:
        """Yield the transfers that the scan has found, in their order. Raises FileProblem."""
        for line, row in self._rows():
            if line not in self.problems:
                assert row is not None
                yield parse(row)

    def _rows(self) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
        read = {".csv": _read_csv, ".ndjson": _read_json, ".jsonl": _read_json}
        if self.path.suffix not in read:
            raise FileProblem(f"{self.path} is called neither .csv nor .ndjson nor .jsonl.")
        try:
            yield from read[self.path.suffix](self.path)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise FileProblem(f"{self.path} cannot be read: {error}.") from None

    def _check(self, row: Mapping[str, Any] | None) -> None:
        if row is None:
            raise RowProblem("it is not a JSON object")
        transfer = parse(row)
        for violation in self._validator.collect_violations(transfer):
            raise RowProblem(_sentence(violation))


def _sentence(violation: protovalidate.Violation) -> str:
    field_path = violation.proto.field
    path = ".".join(part.field_name for part in field_path.elements) if field_path else ""
    return f"{path}: {violation.proto.message}" if path else str(violation.proto.message)


def parse(row: Mapping[Any, Any]) -> batch_pb2.Transfer:
    """Return the transfer that a row names. Raises RowProblem."""
    for name, value in row.items():
        _check_cell(name, value)
    missing = [name for name in REQUIRED if row.get(name) in {None, ""}]
    if missing:
        raise RowProblem(f"{missing[0]} is missing")
    transfer = batch_pb2.Transfer(
        asset_code=str(row["asset_code"]),
        debit=_owner("debit", row["debit"]),
        credit=_owner("credit", row["credit"]),
        amount=_amount(row["amount"]),
        reason=account_pb2.TransferReason.ValueType(_choice("reason", row["reason"], _REASONS)),
        campaign_id=str(row.get("campaign_id") or ""),
        up_to=bool(_choice("up_to", row.get("up_to") or "", _FLAGS)),
    )
    for name in ("lot_activate_time", "lot_expire_time"):
        if row.get(name):
            getattr(transfer, name).CopyFrom(timestamps.show(_instant(name, row[name])))
    return transfer


def _check_cell(name: str | None, value: object) -> None:
    if name is None:
        raise RowProblem("it has more cells than there are columns")
    try:
        f"{name}{value}".encode()
    except UnicodeEncodeError:
        raise RowProblem(f"{name!a} is {value!a}, which is no text") from None
    if name not in _KNOWN:
        raise RowProblem(f"{name} is not a known column")
    if not isinstance(value, str | int | float | None):
        raise RowProblem(f"{name} is neither a text nor a number")


def _owner(name: str, value: object) -> account_pb2.Owner:
    kind, _, owner_id = str(value).partition(":")
    owner_type = _choice(name, kind, _OWNERS)
    return account_pb2.Owner(
        owner_type=account_pb2.OwnerType.ValueType(owner_type), owner_id=owner_id
    )


def _amount(value: object) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise RowProblem(f"amount is {text!r}, not a whole number of the asset's smallest unit")
    return int(text)


def _choice(name: str, value: object, known: Mapping[str, int]) -> int:
    found = known.get(str(value).strip().lower())
    if found is None:
        words = ", ".join(filter(None, known))
        raise RowProblem(f"{name} is {value!r}, none of {words}")
    return found


def _instant(name: str, value: object) -> datetime:
    try:
        instant = datetime.fromisoformat(str(value))
    except ValueError:
        raise RowProblem(f"{name} is {value!r}, not a time like 2026-12-31T23:59:59Z") from None
    if instant.tzinfo is None:
        raise RowProblem(f"{name} is {value!r}, which lacks its time zone")
    return instant


def _read_csv(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        names = reader.fieldnames or ()
        for name in REQUIRED:
            if name not in names:
                raise FileProblem(f"{path} has no column {name}.")
        for row in reader:
            if any(row.values()):
                yield reader.line_num, row


def _read_json(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
    with path.open(encoding="utf-8") as file:
        for line, text in enumerate(file, start=1):
            if text.strip():
                try:
                    row = json.loads(text)
                except (ValueError, RecursionError):
                    row = None
                yield line, row if isinstance(row, dict) else None
