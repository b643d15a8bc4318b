"""From exports to settings: what to write for each table, with the reason of each guess."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from icploop.domain.guess.attributes import LeftOut, Proposed, Standing, propose
from icploop.domain.guess.bills import Bills, bills_of, does_not_recur, nobody_owes
from icploop.domain.guess.links import AS_IT_IS, Link
from icploop.domain.guess.looks import Column, Export
from icploop.domain.guess.stages import Stage, stages_of
from icploop.domain.guess.tables import Found, recognise
from icploop.domain.guess.words import YES, plain_words
from icploop.domain.guess.written import Written
from icploop.errors import DataError
from icploop.settings import TableName

# A deal that is worth what a month brings, and not what a year does.
_MONTHLY_NAMES = frozenset({"mrr", "monthly"})
_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR", "R$": "BRL", "zł": "PLN"}


@dataclass(frozen=True)
class Mapped:
    """A column of ours, theirs, and why it is that one."""

    ours: str
    theirs: str
    why: str


@dataclass(frozen=True)
class Word:
    """A word of a source, and ours for it; None where nobody can tell. `why` stands beside it."""

    theirs: str
    ours: str | None
    why: str


@dataclass
class TablePlan:
    """What the settings of one table will say; where there is a `query` it counts, not `file`.

    `dates` and `numbers` are formats by our columns; `stated` are other settings with their reason;
    `notes` stand above all of it.
    """

    table: TableName
    file: str
    notes: list[str] = field(default_factory=list)
    query: str = ""
    columns: list[Mapped] = field(default_factory=list)
    words: dict[str, list[Word]] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    stated: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """What was guessed of a folder: its tables, attributes and currency, and what stays unsure.

    `unused` says of files that are no table why not, and `unsure` what a person should look at.
    """

    tables: Mapping[TableName, TablePlan]
    exports: Mapping[str, Export]
    attributes: Sequence[Proposed]
    left_out: Sequence[LeftOut]
    stages: Sequence[Stage]
    currency: str
    currency_why: str
    other_currencies: Sequence[str]
    aliases: Mapping[str, str]
    unused: Mapping[str, str]
    unsure: Sequence[str]


def plan(exports: Sequence[Export]) -> Plan:
    """The settings for a folder of exports.

    Raises DataError where no export looks like accounts or deals, two look like one table, or
    nothing can be learned from the accounts.
    """
    return _Planner(exports).plan()


class _Planner:
    def __init__(self, exports: Sequence[Export]) -> None:
        self.exports = exports
        self.known = recognise(exports)
        self.unsure: list[str] = []
        self.deals = self.known.tables["deals"]
        self.accounts = self.known.tables["accounts"]
        self.revenue = self.known.tables.get("revenue")

    def plan(self) -> Plan:
        currency, currency_why, others = self._currency()
        tables = {"deals": self._deals_plan()}
        stages = self._stages
        proposed, left = self._attributes()
        if not proposed:
            reasons = "; ".join(f"`{one.column}`: {one.why}" for one in left) or "no other column"
            raise DataError(
                f"{self.accounts.export.name} has nothing to learn from beside its keys "
                f"({reasons}); export what is known of a company before the sale"
            )
        planned: dict[TableName, TablePlan] = {
            "accounts": self._accounts_plan(proposed),
            "deals": tables["deals"],
        }
        if self.revenue is not None:
            planned["revenue"] = self._revenue_plan(self.revenue)
        else:
            self.unsure.append(
                "no file looks like billing (a row a customer and month, or bills): without it "
                "nothing can be judged; add it under `revenue`"
            )
        if "signals" in self.known.tables:
            planned["signals"] = self._signals_plan(self.known.tables["signals"])
        return Plan(
            planned,
            {one.name: one for one in self.exports},
            proposed,
            left,
            stages,
            currency,
            currency_why,
            others,
            self._aliases(),
            self.known.unused,
            self.unsure,
        )

    # --- tables ----------------------------------------------------------------------------------

    def _accounts_plan(self, proposed: Sequence[Proposed]) -> TablePlan:
        found = self.accounts
        made = self._begun(found, f"{found.roles['account_id'].name} differs in every row")
        for role in ("account_id", "observed_at", "parent_id", "merged_into", "name", "domain"):
            if role in found.roles:
                made.columns.append(Mapped(role, found.roles[role].name, _of(found.roles[role])))
        sql = _Sql(found)
        for one in proposed:
            column = found.export.columns[one.column]
            if one.name != one.column:
                made.columns.append(Mapped(one.name, one.column, one.why))
            if one.words:
                made.words[one.name] = [
                    Word(theirs, ours, f"{column.counts[theirs]:,}")
                    for theirs, ours in one.words.items()
                ]
            if one.splits:
                own = _name(one.column)
                sql.replace[one.column] = f"replace(t.{own}, '{one.splits}', '|')"
                made.notes.append(f"`{one.column}` lists with `{one.splits}`; ours have |.")
            self._write(made, one.name, column, one.kind)
        if "observed_at" in found.roles:
            self._write(made, "observed_at", found.roles["observed_at"], "date")
        return self._with_query(made, sql)

    def _deals_plan(self) -> TablePlan:
        found, roles = self.deals, self.deals.roles
        made = self._begun(found, "each row has a stage and the day of its creation")
        sql = _Sql(found)
        if "deal_id" in roles:
            made.columns.append(Mapped("deal_id", roles["deal_id"].name, _of(roles["deal_id"])))
        else:
            parts = [roles[r].name for r in ("deal_name", "created_at") if r in roles]
            own = ", ".join(f"t.{_name(name)}" for name in [self._key(found).name, *parts])
            sql.also["deal_id"] = f"concat_ws(' / ', {own})"
            self.unsure.append(
                f"{found.export.name} has no id that differs in each row: company, name and day of "
                "creation stand for it, and a deal that is renamed is another one"
            )
        self._account_key(made, found, sql)
        made.columns.append(
            Mapped("created_at", roles["created_at"].name, _of(roles["created_at"]))
        )
        self._write(made, "created_at", roles["created_at"], "date")
        self._closed(made, roles, sql)
        self._outcome(made, roles, sql)
        self._money_of_deals(made, roles, sql)
        return self._with_query(made, sql)

    def _closed(self, made: TablePlan, roles: Mapping[str, Column], sql: _Sql) -> None:
        days = [roles[role] for role in ("won_at", "lost_at") if role in roles]
        if "closed_at" in roles:
            made.columns.append(
                Mapped("closed_at", roles["closed_at"].name, _of(roles["closed_at"]))
            )
            self._write(made, "closed_at", roles["closed_at"], "date")
        elif days:
            sql.also["closed_at"] = f"coalesce({', '.join(f't.{_name(d.name)}' for d in days)})"
            made.notes.append(
                f"closed_at is {' or '.join(f'`{d.name}`' for d in days)}, whichever is filled."
            )
            self._write(made, "closed_at", days[0], "date")
        else:
            created = roles["created_at"]
            made.columns.append(Mapped("closed_at", created.name, "GUESS: see above"))
            self._write(made, "closed_at", created, "date")
            self.unsure.append(
                f"no column of {self.deals.export.name} says when a deal was closed; the day of "
                "its creation stands in (tables.deals.columns.closed_at)"
            )

    def _outcome(self, made: TablePlan, roles: Mapping[str, Column], sql: _Sql) -> None:
        self._stages: list[Stage] = []
        if "outcome" not in roles:
            won = _says_yes(roles["is_won"])
            lost = (
                f"WHEN {_says_yes(roles['is_closed'])} THEN 'lost' " if "is_closed" in roles else ""
            )
            rest = "open" if lost else "lost"
            sql.also["outcome"] = f"CASE WHEN {won} THEN 'won' {lost}ELSE '{rest}' END"
            made.notes.append(f"outcome is read from `{roles['is_won'].name}`.")
            if not lost:
                self.unsure.append(
                    f"nothing in {self.deals.export.name} tells lost deals from open ones: what is "
                    "not won counts as lost (tables.deals.query)"
                )
            return
        self._stages = stages_of(roles)
        column = roles["outcome"]
        made.columns.append(Mapped("outcome", column.name, f"{len(self._stages)} stages, below"))
        made.words["outcome"] = [
            Word(
                stage.name,
                stage.outcome,
                _deals(stage.deals) + (f"; {stage.why}" if stage.why else ""),
            )
            for stage in self._stages
            if stage.name != stage.outcome
        ]
        if unclear := [stage for stage in self._stages if stage.outcome is None]:
            told = ", ".join(f"{stage.name} ({stage.deals:,})" for stage in unclear)
            self.unsure.append(
                f"stages of {self.deals.export.name} that could be won, lost or open: {told}; "
                "their deals wait in quarantine until tables.deals.values.outcome says it"
            )

    def _money_of_deals(self, made: TablePlan, roles: Mapping[str, Column], sql: _Sql) -> None:
        for role in ("acv", "gross_margin", "acquisition_cost"):
            if role in roles:
                made.columns.append(Mapped(role, roles[role].name, _of(roles[role])))
                self._write(made, role, roles[role], "number")
                self._in_whole_units(made, roles[role], sql)
        if "acv" not in roles:
            return
        words = {*plain_words(roles["acv"].name)}
        is_annual = bool(words & {"acv", "arr", "annual", "jahreswert"})
        for role in ("term_months", "term_years"):
            if role in roles and not is_annual:
                made.columns.append(Mapped(role, roles[role].name, "acv is for this term"))
                self._write(made, role, roles[role], "number")
        if words & _MONTHLY_NAMES:
            made.stated.append(("acv_per", "month", f"`{roles['acv'].name}` is money a month"))
        if "motion" in roles and len(roles["motion"].counts) > 1:
            kinds = ", ".join(map(str, roles["motion"].counts.index[:5]))
            made.notes.append(
                f"One ICP for all deals. For one each map `motion: {roles['motion'].name}` "
                f"({kinds}) and name them under `motions` in conf/icp.yaml."
            )
        self._map_currency(made, roles)

    def _in_whole_units(self, made: TablePlan, column: Column, sql: _Sql) -> None:
        if column.in_cents:
            sql.replace[column.name] = f"TRY_CAST(t.{_name(column.name)} AS DOUBLE) / 100"
            made.notes.append(f"`{column.name}` is divided by a hundred.")

    def _map_currency(self, made: TablePlan, roles: Mapping[str, Column]) -> None:
        if "currency" in roles:
            made.columns.append(Mapped("currency", roles["currency"].name, _of(roles["currency"])))

    def _revenue_plan(self, found: Found) -> TablePlan:
        made = self._begun(found, "each row has a customer, a time and an amount")
        sql = _Sql(found)
        self._account_key(made, found, sql)
        bills = bills_of(found, self._acv_by_key(found))
        made.notes.append(f"What an amount is: {bills.why}.")
        if found.months:
            first = found.export.columns[found.months[0]]
            self._write(made, "month", Column("month", pd.Series(found.months)), "date")
            self._write(made, "mrr", first, "number")
        else:
            for role in ("month", "mrr"):
                column = found.roles[role]
                made.columns.append(Mapped(role, column.name, _of(column)))
                self._write(made, role, column, "date" if role == "month" else "number")
            self._in_whole_units(made, found.roles["mrr"], sql)
        self._spread(made, found, bills, sql)
        self._leave_out_lines(made, found, sql)
        self._who_is_billed(made, found, sql)
        self._map_currency(made, found.roles)
        return self._with_query(made, sql)

    def _spread(self, made: TablePlan, found: Found, bills: Bills, sql: _Sql) -> None:
        if bills.what == "arr":
            made.stated.append(("mrr_per", "year", "a twelfth of it is MRR"))
        keys = self._key(found).name
        several = not found.months and _repeats(found, keys)
        if bills.spread is None:
            if several:
                made.stated.append(("same_month", "sum", several))
            return
        made.stated.append(("spread", str(bills.spread), _SPREAD_WHY[type(bills.spread)]))
        if bills.unsure:
            self.unsure.append(f"{found.export.name}: {bills.why}, but {bills.unsure}")
        if bills.spread == "until":
            until = found.roles["until"]
            made.columns.append(Mapped("until", until.name, _of(until)))
            self._write(made, "until", until, "date")
        elif bills.by_customer is not None:
            counts = pd.Series(bills.by_customer)
            cases = " ".join(
                f"WHEN t.{_name(keys)} IN ({_listed(counts[counts == months].index)}) THEN {months}"
                for months in sorted(set(counts) - {int(counts.mode()[0])})
            )
            sql.also["months"] = f"CASE {cases} ELSE {int(counts.mode()[0])} END"
            self.unsure.append(
                f"no column of {found.export.name} says for how long a bill is: the months between "
                "the bills of each customer stand in (tables.revenue.query)"
            )
        elif bills.spread == "months":
            role = "interval" if bills.words else "months"
            made.columns.append(Mapped("months", found.roles[role].name, _of(found.roles[role])))
            if bills.words:
                counts = found.roles[role].counts
                made.words["months"] = [
                    Word(theirs, str(months), f"{counts[theirs]:,} rows")
                    for theirs, months in bills.words.items()
                ]

    def _leave_out_lines(self, made: TablePlan, found: Found, sql: _Sql) -> None:
        for role, left in (("status", nobody_owes), ("line_type", does_not_recur)):
            if role not in found.roles:
                continue
            column = found.roles[role]
            if words := left(column):
                rows = int(column.counts[words].sum())
                own = f"t.{_name(column.name)}"
                sql.where.append(f"({own} IS NULL OR {own} NOT IN ({_listed(words)}))")
                what = "nobody owes them" if role == "status" else "they do not recur"
                made.notes.append(
                    f"{rows:,} rows are left out, because {what}: `{column.name}` is "
                    f"{' or '.join(words)}."
                )

    def _who_is_billed(self, made: TablePlan, found: Found, sql: _Sql) -> None:
        own = self._key(found).name
        for role in ("domain", "name"):
            if role in found.roles and found.roles[role].name != own:
                made.columns.append(Mapped(role, found.roles[role].name, _of(found.roles[role])))
        if "email" in found.roles and "domain" not in found.roles:
            sql.also["domain"] = f"split_part(t.{_name(found.roles['email'].name)}, '@', 2)"
            sql.drop.append(found.roles["email"].name)
            made.notes.append(
                f"domain is what stands behind the @ of `{found.roles['email'].name}`."
            )

    def _signals_plan(self, found: Found) -> TablePlan:
        made = self._begun(found, "each row has an account, a time, a kind and a value")
        sql = _Sql(found)
        self._account_key(made, found, sql)
        for role, kind in (("at", "date"), ("kind", ""), ("value", "number")):
            column = found.roles[role]
            made.columns.append(Mapped(role, column.name, _of(column)))
            self._write(made, role, column, kind)
        return self._with_query(made, sql)

    # --- what tables have in common --------------------------------------------------------------

    def _begun(self, found: Found, why: str) -> TablePlan:
        export = found.export
        made = TablePlan(found.table, export.name)
        parts = f", {len(found.exports)} files" if len(found.exports) > 1 else ""
        made.notes.append(f"{export.name}{parts}: {export.rows:,} rows; {why}.")
        return made

    def _key(self, found: Found) -> Column:
        return found.keys[0] if found.link is None else found.link.own

    def _account_key(self, made: TablePlan, found: Found, sql: _Sql) -> None:
        own = self._key(found)
        made.columns.append(Mapped("account_id", own.name, self._linked(found)))
        if found.link is None:
            return
        theirs, ours = found.link.theirs, self.accounts.roles["account_id"]
        if theirs.name == ours.name and found.link.spelling is AS_IT_IS:
            return
        sql.join(self.accounts, found.link, ours)
        made.notes.append(
            f"`{own.name}` finds `{theirs.name}` of the accounts {found.link.spelling.told}."
        )

    def _linked(self, found: Found) -> str:
        own = self._key(found)
        if found.link is None:
            self.unsure.append(
                f"`{own.name}` of {found.export.name} names none of the accounts: they are found "
                "by domain and name, or by identity.aliases"
            )
            return "names none of the accounts by its id"
        return f"{found.link.share:.1%} of the rows find an account"

    def _write(self, made: TablePlan, ours: str, column: Column, kind: str) -> None:
        """State how a column is written, where it is not as most are."""
        kinds = {"date": (column.dates, made.dates), "number": (column.numbers, made.numbers)}
        if kind not in kinds:
            return
        written, stated = kinds[kind]
        if written and (one := self._settled(column, written, made, kind)):
            stated[ours] = one

    def _settled(self, column: Column, written: Written, made: TablePlan, what: str) -> str:
        """The format of a column; where its cells do not tell, that of its neighbours."""
        if len(written.formats) == 1:
            return written.format
        found = self.known.tables[made.table]
        others = [c for c in found.export.columns.values() if c is not column]
        everywhere = [c for one in self.exports for c in one.columns.values()]
        shown = "dates" if what == "date" else "numbers"
        for near in (others, everywhere):
            certain = [
                getattr(c, shown).format
                for c in near
                if getattr(c, shown) and len(getattr(c, shown).formats) == 1
            ]
            better = written.preferring([one for one in certain if one])
            if better.format in certain:
                return better.format
        likely = _likeliest(written.formats, found.export)
        self.unsure.append(
            f"`{column.name}` of {found.export.name} can be read in several ways "
            f"({' or '.join(written.formats)}, such as {written.example}); {likely} is a guess "
            f"(tables.{made.table}.{shown})"
        )
        return likely

    def _with_query(self, made: TablePlan, sql: _Sql) -> TablePlan:
        made.query = sql.text()
        spent = {one.ours for one in made.columns}
        made.columns = [one for one in made.columns if one.ours not in sql.also]
        made.columns += [
            Mapped(ours, ours, "made by the query") for ours in sql.also if ours in spent
        ]
        return made

    # --- money and accounts ----------------------------------------------------------------------

    def _attributes(self) -> tuple[list[Proposed], list[LeftOut]]:
        ids = self.accounts.roles["account_id"].texts
        deals = self._deals_by_account()
        won_on = deals[deals["outcome"] == "won"].groupby("account_id")["at"].min()
        taken = {column.name for column in self.accounts.roles.values()}
        standing = Standing({str(account): moment for account, moment in won_on.items()})
        return propose(self.accounts.export.columns, ids, standing, taken)

    def _deals_by_account(self) -> pd.DataFrame:
        roles = self.deals.roles
        if "outcome" in roles:
            of = {stage.name: stage.outcome for stage in self._stages}
            outcome = roles["outcome"].texts.map(of)
        else:
            is_won = roles["is_won"].texts.map(lambda t: " ".join(plain_words(t)) in YES, "ignore")
            outcome = is_won.map({True: "won", False: "lost"})
        at = next(roles[r] for r in ("won_at", "closed_at", "created_at") if r in roles)
        acv = roles["acv"].amounts() if "acv" in roles else pd.Series(float("nan"), outcome.index)
        ids = self._accounts_of(self.deals)
        return pd.DataFrame({"account_id": ids, "outcome": outcome, "at": at.moments(), "acv": acv})

    def _accounts_of(self, found: Found) -> pd.Series:
        """The account of each row, as far as the link finds it."""
        if found.link is None:
            return self._key(found).texts
        spelled = found.link.spelling.of(found.link.theirs.texts.dropna())
        ours = self.accounts.roles["account_id"].texts
        known = pd.Series(ours.loc[spelled.index].to_numpy(), index=spelled.to_numpy())
        known = known[~known.index.duplicated(keep=False)]
        return found.link.spelling.of(found.link.own.texts).map(known)

    def _acv_by_key(self, found: Found) -> dict[str, float]:
        """The ACV of the first won deal of each customer, by the key that billing has for it."""
        deals = self._deals_by_account()
        won = deals[deals["outcome"] == "won"].sort_values("at", kind="stable")
        acv = (
            won.dropna(subset=["acv"]).drop_duplicates("account_id").set_index("account_id")["acv"]
        )
        own = self._key(found).texts
        pairs = pd.DataFrame({"own": own, "account": self._accounts_of(found)}).drop_duplicates(
            "own"
        )
        pairs = pairs.dropna().assign(acv=lambda p: p["account"].map(acv)).dropna()
        return dict(zip(pairs["own"], pairs["acv"], strict=True))

    def _currency(self) -> tuple[str, str, list[str]]:
        """The company's currency, why, and the others that its rows name."""
        money = [found for found in (self.revenue, self.deals) if found is not None]
        for found in money:
            if (column := found.roles.get("currency")) is not None:
                counted = column.counts.groupby(column.counts.index.str.upper()).sum()
                [code, *others] = sorted(counted.index, key=lambda one: (-counted[one], one))
                return code, f"{counted[code]:,} rows of `{column.name}` say so", others
        for found in money:
            for role in ("mrr", "acv"):
                if role in found.roles and (code := _currency_of(found.roles[role])):
                    own = f"`{found.roles[role].name}` of {found.export.name}"
                    return code, f"{own} says so", []
        for column in self.accounts.export.columns.values():
            if column.numbers and not column.dates and (code := _currency_of(column)):
                return code, f"GUESS: `{column.name}` of {self.accounts.export.name} is in it", []
        self.unsure.append("no column says the currency: USD stands in conf/icp.yaml")
        return "USD", "GUESS: no column says it", []

    def _aliases(self) -> dict[str, str]:
        """Ids of accounts that were merged away, and that deals or bills still name."""
        merged = self.accounts.roles.get("merged_ids")
        if merged is None:
            return {}
        ours = self.accounts.roles["account_id"].texts
        here = set(ours.dropna())
        named: set[str] = set()
        for found in (self.revenue, self.deals):
            named |= set(self._key(found).texts.dropna()) if found is not None else set()
        aliases = {}
        for account, old in zip(ours, merged.texts, strict=True):
            if isinstance(old, str):
                for one in re.split(r"[;|,\s]+", old):
                    if one in named and one not in here:
                        aliases[one] = account
        return dict(sorted(aliases.items()))


_SPREAD_WHY = {int: "months that each bill is for, from `month` on", str: "each bill's own time"}


class _Sql:
    """The query that a table needs; none where its file is taken as it is."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self.replace: dict[str, str] = {}
        self.also: dict[str, str] = {}
        self.where: list[str] = []
        self.drop: list[str] = []
        self.joined = ""

    def join(self, accounts: Found, by: Link, account_id: Column) -> None:
        """Let the key be the account's id."""
        own, theirs = _name(by.own.name), _name(by.theirs.name)
        key = by.spelling.sql.format(f"CAST({theirs} AS VARCHAR)")
        ids = _name(account_id.name)
        self.joined = (
            f"LEFT JOIN (SELECT {key} AS key,\n"
            f"                  any_value(CAST({ids} AS VARCHAR)) AS id\n"
            f"           FROM {_rows(accounts)}\n"
            f"           GROUP BY 1 HAVING count(DISTINCT {ids}) = 1) AS a\n"
            f"       ON a.key = {by.spelling.sql.format(f'CAST(t.{own} AS VARCHAR)')}"
        )
        self.replace[by.own.name] = f"coalesce(a.id, CAST(t.{own} AS VARCHAR))"

    def text(self) -> str:
        """The query; empty where there is nothing to do."""
        parts = [*self.replace, *self.also, *self.where, *self.drop]
        if not parts and len(self.found.exports) == 1 and not self.found.months:
            return ""
        chosen = "t.*"
        if self.drop:
            chosen += f"\n       EXCLUDE ({', '.join(map(_name, self.drop))})"
        if self.replace:
            made = (f"{expression} AS {_name(own)}" for own, expression in self.replace.items())
            chosen += f"\n       REPLACE ({', '.join(made)})"
        also = "".join(f",\n       {one} AS {_name(ours)}" for ours, one in self.also.items())
        lines = [f"SELECT {chosen}{also}", f"FROM {_rows(self.found)} AS t"]
        lines += [self.joined] if self.joined else []
        lines += [f"WHERE {' AND '.join(self.where)}"] if self.where else []
        return "\n".join(lines)


def _rows(found: Found) -> str:
    """What a query reads: the file, its parts, or its months one below the other."""
    names = [
        _name(table_of(found.export.name)),
        *(_name(table_of(e.name)) for e in found.exports[1:]),
    ]
    if len(names) > 1:
        return "(" + " UNION ALL BY NAME ".join(f"FROM {name}" for name in names) + ")"
    if found.months:
        months = ", ".join(map(_name, found.months))
        return f"(UNPIVOT {names[0]} ON {months} INTO NAME month VALUE mrr)"
    return names[0]


_ENDING = re.compile(
    r"\.(?:csv|tsv|parquet|jsonl?|ndjson|xlsx|xlsm|xlsb|xls|ods)(?:\.gz|\.zst|\.bz2)?(?=/|$)",
    re.IGNORECASE,
)


def table_of(export: str) -> str:
    """What an export is called in a query: `deals.csv` is `deals`, `b.xlsx/Deals` is `b/Deals`."""
    return _ENDING.sub("", export, count=1)


def _name(own: str) -> str:
    return '"' + own.replace('"', '""') + '"'


def _listed(words: Iterable[object]) -> str:
    return ", ".join("'" + str(word).replace("'", "''") + "'" for word in words)


def _says_yes(column: Column) -> str:
    yes = [str(t) for t in column.counts.index if " ".join(plain_words(str(t))) in YES]
    return f"CAST(t.{_name(column.name)} AS VARCHAR) IN ({_listed(yes)})"


def _of(column: Column) -> str:
    """How much of a column is filled."""
    if column.filled == 1:
        return "filled in every row"
    return f"filled in {column.texts.notna().sum():,} of {len(column.texts):,} rows"


def _deals(count: int) -> str:
    return f"{count:,} deal{'s' * (count != 1)}"


def _repeats(found: Found, key: str) -> str:
    """How many customers have several rows in a month; empty where hardly any has."""
    rows = pd.DataFrame(
        {
            "who": found.export.columns[key].texts,
            "month": found.roles["month"].moments().dt.to_period("M"),
        }
    ).dropna()
    again = int(rows.duplicated().sum())
    return f"{again:,} rows are of a customer and month that has one already" if again else ""


def _likeliest(formats: Sequence[str], export: Export) -> str:
    """Of several formats the one that is usual where a file was made."""
    is_european = export.dialect.get("delimiter") == ";"
    for one in formats:
        if "%" in one and not one.endswith("%"):
            if one.startswith("%m/") != is_european:
                return one
        elif one.rfind(",") > one.rfind(".") if is_european else one.rfind(".") > one.rfind(","):
            return one
    return formats[0]


def _currency_of(column: Column) -> str:
    """The currency that stands beside amounts, or in their column's name."""
    around = re.sub(r"[\d.,'’%\s()+-]", "", column.numbers.format)
    words = [word for word in re.findall(r"[A-Za-z]+|[€$£¥₹]", column.name) if word]
    for one in (around, *words):
        if one in _SIGNS:
            return _SIGNS[one]
        if re.fullmatch(
            r"EUR|USD|GBP|CHF|JPY|SEK|NOK|DKK|PLN|CZK|CAD|AUD|INR|BRL|MXN", one.upper()
        ):
            return one.upper()
    return ""
