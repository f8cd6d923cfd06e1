"""A small double-entry ledger: accounts, transactions and the reports drawn from them."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path


class Kind(Enum):
    """What an account stands for; decides on which side it grows."""

    ASSET = "asset"
    LIABILITY = "liability"
    INCOME = "income"
    EXPENSE = "expense"
    EQUITY = "equity"

    @property
    def grows_on_debit(self) -> bool:
        return self in (Kind.ASSET, Kind.EXPENSE)


class LedgerError(Exception):
    """Base class of everything that can go wrong in a ledger."""


class UnbalancedError(LedgerError):
    """The postings of a transaction do not add up to zero."""

    def __init__(self, difference: Decimal) -> None:
        super().__init__(f"postings differ by {difference}")
        self.difference = difference


class UnknownAccountError(LedgerError):
    """A posting names an account that the ledger does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no account named {name!r}")
        self.name = name


@dataclass(frozen=True)
class Account:
    """One account, named by a path such as ``expenses:food``."""

    name: str
    kind: Kind

    @property
    def parent(self) -> str | None:
        head, _, _ = self.name.rpartition(":")
        return head or None

    @property
    def depth(self) -> int:
        return self.name.count(":")


@dataclass(frozen=True)
class Posting:
    """An amount booked on an account; positive amounts are debits."""

    account: str
    amount: Decimal

    def reversed(self) -> Posting:
        return Posting(self.account, -self.amount)


@dataclass(frozen=True)
class Transaction:
    """Postings of one day that belong together and add up to zero."""

    day: date
    text: str
    postings: tuple[Posting, ...]
    tags: frozenset[str] = frozenset()

    def check(self) -> None:
        """Raise ``UnbalancedError`` unless the postings add up to zero."""
        difference = sum((posting.amount for posting in self.postings), Decimal(0))
        if difference != 0:
            raise UnbalancedError(difference)

    def touches(self, account: str) -> bool:
        return any(posting.account == account for posting in self.postings)


@dataclass
class Ledger:
    """All accounts and all transactions, in the order of their days."""

    accounts: dict[str, Account] = field(default_factory=dict)
    transactions: list[Transaction] = field(default_factory=list)

    def open(self, name: str, kind: Kind) -> Account:
        """Add an account; opening it twice with the same kind is harmless."""
        known = self.accounts.get(name)
        if known is not None:
            if known.kind is not kind:
                raise LedgerError(f"{name} is already open as {known.kind.value}")
            return known
        account = Account(name, kind)
        self.accounts[name] = account
        return account

    def book(self, transaction: Transaction) -> None:
        """Add a balanced transaction whose accounts are all open."""
        transaction.check()
        for posting in transaction.postings:
            if posting.account not in self.accounts:
                raise UnknownAccountError(posting.account)
        self.transactions.append(transaction)
        self.transactions.sort(key=lambda item: item.day)

    def transfer(self, day: date, text: str, source: str, target: str, amount: Decimal) -> None:
        """Move an amount from one account to another."""
        postings = (Posting(source, -amount), Posting(target, amount))
        self.book(Transaction(day, text, postings))

    def balance(self, account: str, until: date | None = None) -> Decimal:
        """Return the balance of one account, up to and including a day."""
        total = Decimal(0)
        for transaction in self.transactions:
            if until is not None and transaction.day > until:
                break
            for posting in transaction.postings:
                if posting.account == account:
                    total += posting.amount
        return total

    def balances(self, until: date | None = None) -> dict[str, Decimal]:
        """Return the balance of every account that was ever booked on."""
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for transaction in self.transactions:
            if until is not None and transaction.day > until:
                break
            for posting in transaction.postings:
                totals[posting.account] += posting.amount
        return dict(totals)

    def between(self, start: date, end: date) -> Iterator[Transaction]:
        """Yield the transactions from ``start`` to ``end``, both included."""
        for transaction in self.transactions:
            if start <= transaction.day <= end:
                yield transaction

    def tagged(self, tag: str) -> list[Transaction]:
        """Return the transactions that carry a tag."""
        return [item for item in self.transactions if tag in item.tags]

    def income_statement(self, start: date, end: date) -> dict[str, Decimal]:
        """Sum income and expenses by account over a span of days."""
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for transaction in self.between(start, end):
            for posting in transaction.postings:
                kind = self.accounts[posting.account].kind
                if kind in (Kind.INCOME, Kind.EXPENSE):
                    totals[posting.account] += posting.amount
        return dict(totals)

    def largest(self, count: int = 5) -> list[Transaction]:
        """Return the transactions that moved the most money, the largest first."""
        return sorted(self.transactions, key=volume, reverse=True)[:count]


def volume(transaction: Transaction) -> Decimal:
    """Return how much money a transaction moves: the sum of its debits."""
    return sum((p.amount for p in transaction.postings if p.amount > 0), Decimal(0))


def month_of(day: date) -> tuple[date, date]:
    """Return the first and the last day of the month that ``day`` is in."""
    first = day.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    return first, following - timedelta(days=1)


def read_csv(path: Path, ledger: Ledger) -> int:
    """Book every row of ``day,text,source,target,amount``; return how many there were."""
    count = 0
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            ledger.transfer(
                date.fromisoformat(row["day"]),
                row["text"],
                row["source"],
                row["target"],
                Decimal(row["amount"]),
            )
            count += 1
    return count


def write_csv(path: Path, transactions: Iterable[Transaction]) -> None:
    """Write one row per posting."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["day", "text", "account", "amount"])
        for transaction in transactions:
            for posting in transaction.postings:
                writer.writerow(
                    [transaction.day.isoformat(), transaction.text, posting.account, posting.amount]
                )


def report(ledger: Ledger) -> str:
    """Render all balances as a table, accounts in alphabetical order."""
    lines = []
    for name, amount in sorted(ledger.balances().items()):
        lines.append(f"{name:<32}{amount:>14.2f}")
    return "\n".join(lines)
