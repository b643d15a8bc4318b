"""What is made of small exports, as settings that are read."""

from __future__ import annotations

from typing import Any

import pytest

from icploop.domain.guess.as_yaml import settings_text, source_text
from icploop.domain.guess.looks import Export
from icploop.domain.guess.plan import Plan, plan
from icploop.errors import DataError
from icploop.io.home import starter_settings
from icploop.settings import FilesSource, Settings, parse_settings, parse_source
from tests.unit.domain.guess.exports import N, accounts, deals, export, mrr


def settings(made: Plan) -> tuple[Settings, FilesSource]:
    """The files of a plan, as they are read."""
    source = parse_source(source_text(made, "../exports"), "files.yaml")
    assert isinstance(source, FilesSource)
    return parse_settings(settings_text(made, starter_settings(), "Acme"), "icp.yaml"), source


def table(name: str, *exports: Export) -> Any:
    return settings(plan(exports))[1].tables[name]  # type: ignore[index]


def test_canonical_exports_need_nothing_but_their_names() -> None:
    made = plan(
        [
            accounts(Industry=["a", "b", "c", "a"] * 15),
            deals(),
            mrr(),
        ]
    )
    read, source = settings(made)
    assert {name: one.file for name, one in source.tables.items()} == {
        "accounts": "accounts.csv",
        "deals": "opportunities.csv",
        "revenue": "mrr.csv",
    }
    assert read.company == "Acme"
    assert [a.name for a in read.attributes] == ["industry"]
    assert made.unsure == ["no column says the currency: USD stands in conf/icp.yaml"]


def test_stages_are_mapped_and_unclear_ones_listed_with_their_counts() -> None:
    made = plan([accounts(), deals(Stage=["Closed Won", "Closed Lost", "Limbo"] * 20), mrr()])
    assert "stages of opportunities.csv that could be won, lost or open: Limbo (20)" in str(
        made.unsure
    )
    text = source_text(made, ".")
    assert "# Limbo: ?  # 20 deals" in text
    assert settings(made)[1].tables["deals"].words == {
        "outcome": {"Closed Lost": "lost", "Closed Won": "won"}
    }


def test_marks_of_the_system_count_more_than_names_of_stages() -> None:
    own = deals(
        Stage=["Done", "Archive", "Closed Won"] * 20,
        IsWon=["true", "false", "false"] * 20,
        IsClosed=["true", "true", "false"] * 20,
    )
    assert table("deals", accounts(), own, mrr()).words["outcome"] == {
        "Done": "won",
        "Archive": "lost",
        "Closed Won": "open",
    }


def test_a_reason_of_the_loss_tells_a_stage() -> None:
    own = deals(
        Stage=["Closed Won", "Closed Lost", "Limbo"] * 20, **{"Lost Reason": ["", "", "price"] * 20}
    )
    assert table("deals", accounts(), own, mrr()).words["outcome"]["Limbo"] == "lost"


def test_deals_may_have_marks_alone() -> None:
    own = deals(Stage=None, IsWon=["1", "0", "0"] * 20, IsClosed=["1", "1", "0"] * 20)
    read = table("deals", accounts(), own, mrr())
    assert "WHEN CAST(t.\"IsWon\" AS VARCHAR) IN ('1') THEN 'won'" in read.query


def test_the_day_of_the_close_may_stand_in_two_columns() -> None:
    own = deals(
        **{
            "Close Date": None,
            "Won time": ["2024-02-01", "", ""] * 20,
            "Lost time": ["", "2024-02-02", ""] * 20,
        }
    )
    read = table("deals", accounts(), own, mrr())
    assert 'coalesce(t."Won time", t."Lost time") AS "closed_at"' in read.query


def test_deals_that_name_companies_by_their_names_find_their_ids() -> None:
    names = [f"Firm number {i}" for i in range(N)]
    own = deals(**{"Account ID": None, "Associated Company": names})
    read = table("deals", accounts(), own, mrr())
    assert read.columns["account_id"] == "Associated Company"
    assert 'any_value(CAST("Account ID" AS VARCHAR)) AS id' in read.query


@pytest.mark.parametrize(
    ("ids", "sql"),
    [
        ([str(i) for i in range(1, N, 3) for _ in range(4)], "ltrim(trim("),
        ([f"00{i:04}" for i in range(0, N, 3) for _ in range(4)], None),
    ],
)
def test_ids_that_lost_their_zeros_find_them(ids: list[str], sql: str | None) -> None:
    read = table("revenue", accounts(), deals(), mrr(**{"Account ID": ids}))
    assert (sql is None) == (read.query is None)
    assert sql is None or sql in read.query


def test_two_systems_that_count_from_one_are_strangers() -> None:
    names = [f"Other firm {i}" for i in range(0, N, 3) for _ in range(4)]
    made = plan([accounts(), deals(), mrr(**{"Customer Name": names})])
    assert "names none of the accounts" in str(made.unsure)


# --- billing --------------------------------------------------------------------------------------


def bills(every: int, amount: str = "1200", **more: Any) -> Export:
    """Three bills of each customer, so many months apart."""
    who = [i for i in range(0, N, 3) for _ in range(3)]
    months = [(2021 * 12 + n * every) for _ in range(N // 3) for n in range(3)]
    rows = {
        "Account ID": [f"00{i:04}" for i in who],
        "Invoice date": [f"{m // 12}-{m % 12 + 1:02}-10" for m in months],
        "Amount": [amount] * len(who),
    }
    return export("invoices.csv", rows | more)


@pytest.mark.parametrize("every", [1, 3, 12])
def test_bills_are_for_the_months_until_the_next_one(every: int) -> None:
    assert table("revenue", accounts(), deals(), bills(every, str(100 * every))).spread == every


def test_a_column_of_intervals_says_for_how_long_a_bill_is() -> None:
    read = table("revenue", accounts(), deals(), bills(12, Turnus=["jährlich"] * 59 + ["Monat"]))
    assert read.spread == "months"
    assert read.words["months"] == {"jährlich": "12", "Monat": "1"}


def test_customers_who_are_billed_at_several_distances_have_their_own() -> None:
    yearly, monthly = bills(12).frame, bills(1).frame
    monthly = monthly.assign(**{"Account ID": [f"00{i + 1:04}" for i in range(0, N, 3)
                                               for _ in range(3)]})  # fmt: skip
    both = {c: [*yearly[c], *monthly[c]] for c in yearly}
    made = plan([accounts(), deals(), export("invoices.csv", both)])
    read = settings(made)[1].tables["revenue"]
    assert read.spread == "months"
    assert "THEN 12" in str(read.query) or "ELSE 12" in str(read.query)
    assert "no column of invoices.csv says for how long a bill is" in str(made.unsure)


def test_months_in_columns_become_rows() -> None:
    rows = {"Account ID": [f"00{i:04}" for i in range(0, N, 3)]} | {
        f"2024-0{m}": ["100"] * (N // 3) for m in range(3, 7)
    }
    read = table("revenue", accounts(), deals(), export("mrr.csv", rows))
    assert "UNPIVOT" in read.query
    assert read.spread is None


def test_a_months_row_of_what_a_year_brings_is_arr() -> None:
    assert table("revenue", accounts(), deals(), mrr(MRR=None, ARR=["1200"] * 80)).mrr_per == "year"
    as_much = mrr(MRR=None, Revenue=["1200"] * 80)
    assert table("revenue", accounts(), deals(), as_much).mrr_per == "year"
    assert table("revenue", accounts(), deals(), mrr()).mrr_per == "month"


def test_bills_that_nobody_owes_and_lines_that_do_not_recur_are_left_out() -> None:
    own = bills(12, Status=["paid", "void", "paid"] * 20, Type=["subscription", "setup fee"] * 30)
    read = table("revenue", accounts(), deals(), own)
    assert """t."Status" NOT IN ('void')""" in read.query
    assert """t."Type" NOT IN ('setup fee')""" in read.query


# --- cells ----------------------------------------------------------------------------------------


def test_what_can_be_read_in_two_ways_is_told_and_settled_by_neighbours() -> None:
    doubtful = deals(**{"Created Date": ["01/02/2024"] * N, "Close Date": ["03/04/2024"] * N})
    made = plan([accounts(), doubtful, mrr()])
    assert "can be read in several ways" in str(made.unsure)
    certain = deals(**{"Created Date": ["01/02/2024"] * N, "Close Date": ["03/25/2024"] * N})
    assert plan([accounts(), certain, mrr()]).tables["deals"].dates == {
        "created_at": "%m/%d/%Y",
        "closed_at": "%m/%d/%Y",
    }


def test_yes_and_no_of_other_languages_are_mapped() -> None:
    read = table("accounts", accounts(Exportiert=["ja", "nein"] * 30), deals(), mrr())
    assert read.words == {"exportiert": {"ja": "yes", "nein": "no"}}


def test_lists_with_commas_are_made_sets() -> None:
    own = accounts(Tools=["okta, jira", "jira", "okta", ""] * 15)
    read, source = settings(plan([own, deals(), mrr()]))
    assert {a.name: a.kind for a in read.attributes} == {"industry": "category", "tools": "set"}
    assert """replace(t."Tools", ',', '|')""" in str(source.tables["accounts"].query)


LEFT_OUT: dict[str, tuple[list[str], str]] = {
    "Email": ([f"ada.king@firm{i}.example" for i in range(N)], "a person's"),
    "Stripe id": ([f"cus_{i}" for i in range(N)], "an identifier"),
    "Region": (["EMEA"] * N, "the same in every row"),
    "Fund": (["x"] * 3 + [""] * (N - 3), "filled in 3 of 60 rows only"),
    "NPS": ([str(i % 10) for i in range(N)], "after the sale"),
    "Health": ([str(i % 10) if i % 3 == 0 else "" for i in range(N)], "after the sale"),
    "Grade": (["x" if i % 3 == 0 else "" for i in range(N)], "the same in every row"),
    "Score": ([str(i) if i % 3 == 0 else "" for i in range(N)], "filled after the sale only"),
    "Kind": (["Client" if i % 3 == 0 else "Lead" for i in range(N)], "says who was won"),
    "Seen on": (
        [f"2024-06-{1 + i % 9:02}" if i % 3 == 0 or i % 2 else "" for i in range(N)],
        "dated after the sale",
    ),
    "Street": ([f"Road {i}" for i in range(N - 2)] + ["Road 1"] * 2, "few repeat"),
    "Remark": (["we met at a fair and they liked it"] * 30 + ["no " * 9] * 30, "free text"),
    "Created By": (["a", "b"] * 30, "a note of the system"),
}


def test_what_cannot_be_learned_from_is_left_out_with_its_reason() -> None:
    own = accounts(**{column: cells for column, (cells, _) in LEFT_OUT.items()})
    made = plan([own, deals(), mrr()])
    assert [a.name for a in made.attributes] == ["industry"]
    told = {one.column: one.why for one in made.left_out}
    assert {c: why in told[c] for c, (_, why) in LEFT_OUT.items()} == dict.fromkeys(LEFT_OUT, True)


def test_what_was_known_before_the_sale_is_proposed_with_dimension_and_kind() -> None:
    own = accounts(
        **{
            "Number of Employees": [str(10 + i) for i in range(N)],
            "Tech Stack": ["okta;jira", "jira", "okta", "jira"] * 15,
            "Budget approved": ["yes", "no"] * 30,
            "Last funding round": ["2021-03-04", "2022-05-06"] * 30,
            "Pain": ["audit", "downtime", "cost", "audit"] * 15,
            "Use case": ["billing", "hr"] * 30,
        }
    )
    made = plan([own, deals(), mrr()])
    assert {a.name: (a.dimension, a.kind) for a in made.attributes} == {
        "industry": ("firmographic", "category"),
        "employees": ("firmographic", "number"),
        "tech_stack": ("technographic", "set"),
        "budget_approved": ("decision_authority", "flag"),
        "last_funding_round": ("trigger_event", "date"),
        "pain": ("pain_proof", "category"),
        "use_case": ("use_case", "category"),
    }


def test_ids_that_were_merged_away_are_aliases_where_bills_name_them() -> None:
    own = accounts(**{"Merged Company IDs": ["old1;old2"] + [""] * (N - 1)})
    who = ["old1"] * 4 + [f"00{i:04}" for i in range(3, N, 3) for _ in range(4)]
    read, _ = settings(plan([own, deals(), mrr(**{"Account ID": who})]))
    assert read.identity.aliases == {"old1": "000000"}


def test_the_currency_is_that_of_most_rows_and_the_others_are_told() -> None:
    made = plan([accounts(), deals(), mrr(Currency=["eur"] * 70 + ["usd"] * 10)])
    assert (made.currency, made.other_currencies) == ("EUR", ["USD"])
    assert "currencies: {USD: ?}" in settings_text(made, starter_settings(), "x")


# --- which file is which --------------------------------------------------------------------------


def test_files_with_the_same_columns_are_parts_of_one_table() -> None:
    whole = deals().frame
    parts = [Export(f"deals-{i}.csv", whole.iloc[i * 30 : i * 30 + 30], 30) for i in range(2)]
    read = table("deals", accounts(), *parts, mrr())
    assert 'FROM "deals-0" UNION ALL BY NAME FROM "deals-1"' in read.query


def test_a_file_that_is_there_twice_is_refused() -> None:
    again = Export("opportunities (1).csv", deals().frame, N)
    with pytest.raises(DataError, match="hold the same rows; keep the one that is meant"):
        plan([accounts(), deals(), again, mrr()])


def test_two_files_that_look_like_deals_are_refused() -> None:
    other = Export("crm-export.csv", deals(Extra=["x"] * N).frame, N)
    other_too = Export("crm-export-old.csv", deals(More=["y"] * N).frame, N)
    with pytest.raises(DataError, match="both look like deals; leave the one that is meant"):
        plan([accounts(), other, other_too, mrr()])


def test_the_accounts_are_those_that_deals_name() -> None:
    others = export(
        "customers.csv", {"id": [f"cus_{i}" for i in range(N)], "plan": ["a", "b"] * 30}
    )
    made = plan([others, accounts(), deals(), mrr()])
    assert made.tables["accounts"].file == "accounts.csv"
    assert made.unused == {"customers.csv": "looks like none of the tables"}


def test_without_billing_the_rest_is_written_and_told() -> None:
    made = plan([accounts(), deals()])
    assert "no file looks like billing" in made.unsure[-1]
    assert set(settings(made)[1].tables) == {"accounts", "deals"}


def test_accounts_without_anything_to_learn_from_are_refused() -> None:
    with pytest.raises(DataError, match="has nothing to learn from beside its keys"):
        plan([accounts(Industry=None), deals(), mrr()])


def test_signals_are_found_beside_the_rest() -> None:
    tickets = export(
        "tickets.csv",
        {
            "Account ID": [f"00{i:04}" for i in range(N)],
            "Date": ["2024-05-01"] * N,
            "Event": ["ticket", "call"] * 30,
            "Count": ["1"] * N,
        },
    )
    assert table("signals", accounts(), deals(), mrr(), tickets).columns["kind"] == "Event"


def test_whatever_a_column_is_called_it_is_written_so_that_it_is_read() -> None:
    names = ["a: b", "Kunden #1", "no", "'x'", 'say "hi"', "[1]", "ja, nein", "1", "x y", "~", "é"]
    made = plan([accounts(**{name: ["alpha", "beta"] * 30 for name in names}), deals(), mrr()])
    read, source = settings(made)
    columns = source.tables["accounts"].columns
    assert {columns.get(a.name, a.name) for a in read.attributes} == {*names, "Industry"}
