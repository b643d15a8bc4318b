"""What real exports do, each with its right value: cells, ids, units and files, to the outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from icploop.domain.identity import families
from icploop.domain.outcomes import kpis, outcomes
from icploop.domain.predicate import Predicate
from icploop.errors import DataError
from icploop.modeling.accounts.coding import coded_batch
from icploop.modeling.accounts.features import attributes_at, attributes_in, coverage
from icploop.settings import Outcome, Settings
from tests.companies import tables
from tests.unit.exports import SETTINGS, Export, Read, read

Rows = Sequence[Mapping[str, str]]
LATER = date(2025, 3, 31)


def bills(account: str, *mrr: str, first: str = "2024-01") -> list[dict[str, str]]:
    months = [pd.Period(first, "M") + i for i in range(len(mrr))]
    return [
        {"account_id": account, "month": f"{month}-01", "mrr": amount}
        for month, amount in zip(months, mrr, strict=True)
    ]


def won(account: str, acv: str = "1200", **more: str) -> dict[str, str]:
    days = {"created_at": "2024-01-02", "closed_at": "2024-01-04"}
    return {"deal_id": f"D{account}", "account_id": account, "outcome": "won", "acv": acv} | (
        days | more
    )


def export(accounts: Rows, deals: Rows, revenue: Rows, /, **tables: Any) -> Export:
    given = {"accounts": accounts, "deals": deals, "revenue": revenue}
    cells = {name: pd.DataFrame(list(rows)).fillna("") for name, rows in given.items() if rows}
    return Export(cells, tables)  # type: ignore[arg-type]


def company_of(deals: Rows, revenue: Rows, /, **tables: Any) -> Export:
    accounts = [{"account_id": deal["account_id"]} for deal in deals]
    return export(accounts, deals, revenue, **tables)


def kpi(found: Read, horizon: int = 12) -> tuple[float, float]:
    judged = outcomes(found.seen, "default", Outcome(horizon_months=horizon))
    of_all = kpis(judged[judged["matured"]])
    return round(of_all.nrr, 3), round(of_all.retention, 3)


class TestNearlyNothing:
    """Sums that cancel to the cent leave dust."""

    @pytest.mark.parametrize(
        ("dust", "expected"),
        [
            (["0.0003", "-0.0004"], (0.8, 0.8)),
            (["0.00999", "-0.00999"], (0.8, 0.8)),
            (["1e-9", "-0"], (0.8, 0.8)),
            (["0.01", "0.01"], (0.8, 1.0)),
        ],
    )
    def test_it_retains_nobody(
        self, tmp_path: Path, dust: list[str], expected: tuple[float, float]
    ) -> None:
        accounts = [f"A{i}" for i in range(60)]
        rows = []
        for i, account in enumerate(accounts):
            ends = [dust[i % 2]] * 10 if i < 12 else ["100"] * 10
            rows += bills(account, *["100"] * 5, *ends)
        found = read(company_of([won(a) for a in accounts], rows), tmp_path, day=LATER)
        assert not found.refused
        assert kpi(found, horizon=8) == expected

    def test_where_all_cancel_there_is_nothing_to_refuse(self, tmp_path: Path) -> None:
        rows = [row for i in range(12) for row in bills(f"A{i}", "100", *["-0.0004"] * 14)]
        found = read(company_of([won(f"A{i}") for i in range(12)], rows), tmp_path, day=LATER)
        assert (found.refused, kpi(found)) == ([], (0.0, 0.0))

    def test_a_hundredth_below_nothing_is_refused(self, tmp_path: Path) -> None:
        found = read(company_of([won("A")], bills("A", "100", "-0.01")), tmp_path)
        assert found.refused == ["mrr >= 0"]


NOTHING = [
    *("--", "-", "N/A", "n/a", "n.a.", "NA", "NULL", "None", "(No value)", "-None-", "#N/A"),
    *("unknown", "", "  ", "Unknown", "<NA>", "nan"),
]


class TestNothing:
    @pytest.mark.parametrize("word", NOTHING)
    def test_it_is_missing_in_every_kind_whether_learned_or_scored(self, word: str) -> None:
        declared = Settings(
            company="T",
            dimensions={
                "firmographic": {"c": "category", "n": "number", "f": "flag", "s": "set"},
                "trigger_event": {"d": "date"},
            },
        ).attributes
        row = {"account_id": "a", **dict.fromkeys("cnfsd", word)}
        at = pd.Timestamp(2024, 1, 1)
        assert coverage(attributes_in(pd.DataFrame([row]), at, declared)).tolist() == [0]
        coded, unreadable = coded_batch(pa.RecordBatch.from_pylist([row]), at, declared)
        assert coded.known([a.name for a in declared]).tolist() == [0]
        assert not unreadable

    @pytest.mark.parametrize("word", ["n.a.", "unknown", "-"])
    def test_it_makes_no_family(self, word: str, tmp_path: Path) -> None:
        accounts = [{"account_id": f"A{i}", "domain": word, "parent_id": word} for i in range(15)]
        found = read(export(accounts, [won("A1")], bills("A1", "100")), tmp_path)
        assert families(found.seen.accounts).nunique() == 15

    def test_a_word_that_is_meant_is_kept(self, tmp_path: Path) -> None:
        stated = {"keep": {"industry": ["NA"]}, "nothing": {"industry": ["tbd"]}}
        accounts = [{"account_id": f"A{i}", "industry": w} for i, w in enumerate(["NA", "TBD"])]
        found = read(export(accounts, [won("A1")], bills("A1", "100"), accounts=stated), tmp_path)
        assert found.seen.accounts["industry"].fillna("?").tolist() == ["NA", "?"]
        meant = Settings(
            company="T",
            dimensions={"firmographic": {"industry": {"kind": "category", "keep": ["NA"]}}},
        ).attributes
        at = pd.Timestamp(2024, 1, 1)
        lead = pd.DataFrame([{"account_id": "l", "industry": "NA"}])
        assert attributes_in(lead, at, meant)["industry"].tolist() == ["NA"]
        coded, _ = coded_batch(pa.RecordBatch.from_pandas(lead), at, meant)
        assert coded.texts["industry"].distinct == ("NA",)

    @pytest.mark.parametrize("column", ["parent_id", "domain"])
    def test_a_value_of_hundreds_is_told(self, tmp_path: Path, column: str) -> None:
        accounts = [{"account_id": f"A{i}", column: "tbd.example"} for i in range(300)]
        found = read(export(accounts, [won("A1")], bills("A1", "100")), tmp_path)
        assert "crowded_parent" in found.codes


class TestIds:
    @pytest.mark.parametrize("cut", ["8.12346E+12", "4.15087e+18", "1E+15"])
    def test_those_that_lost_their_digits_are_no_account(self, tmp_path: Path, cut: str) -> None:
        deals = [won(cut) | {"deal_id": f"D{i}"} for i in range(3)]
        found = read(export([{"account_id": cut}] * 3, deals, bills("A", "1")), tmp_path)
        assert found.outcomes.empty
        assert any("export the file again" in rule for rule in found.refused)

    @pytest.mark.parametrize("account", ["006000000000001", "0010000000", "000123"])
    def test_zeros_in_front_stay(self, tmp_path: Path, account: str) -> None:
        found = read(company_of([won(account)], bills(account, "100")), tmp_path)
        assert found.outcomes["account_id"].tolist() == [account]

    @pytest.mark.parametrize("written", [" A  1", "A\u00a01", "A\u200b 1", "\ufeffA 1 "])
    def test_blanks_and_what_is_not_seen_tell_nobody_apart(
        self, tmp_path: Path, written: str
    ) -> None:
        found = read(export([{"account_id": "A 1"}], [won(written)], bills("A 1", "9")), tmp_path)
        assert found.outcomes["account_id"].tolist() == ["A 1"]
        assert "keys_folded" in found.codes

    def test_a_nul_is_refused(self, tmp_path: Path) -> None:
        found = read(export([{"account_id": "A"}], [won("A\x00")], bills("A", "9")), tmp_path)
        assert "account_id has no control characters" in found.refused


class TestUnits:
    def european(self, **stated: Any) -> Export:
        rows = [*bills("A", "1.000", *["900"] * 14, first="2024-02")]
        accounts = [{"account_id": "A", "employees": "1.200"}]
        given = export(accounts, [won("A")], rows, **stated)
        given.delimiter = ";"
        return given

    def test_thousands_are_read_as_stated(self, tmp_path: Path) -> None:
        numbers = {"numbers": "1.234,56"}
        given = self.european(revenue=numbers, accounts=numbers)
        found = read(given, tmp_path, day=date(2025, 4, 30))
        assert kpi(found) == (0.9, 1.0)
        assert found.seen.accounts["employees"].tolist() == [1200]

    @pytest.mark.parametrize("stated", ["revenue", "accounts"])
    def test_and_refused_with_the_line_to_write_where_nobody_says(
        self, tmp_path: Path, stated: str
    ) -> None:
        with pytest.raises(DataError, match=r"can be read in two ways.*numbers: \{\w+: \"1"):
            read(self.european(**{stated: {"numbers": "1.234,56"}}), tmp_path)

    @pytest.mark.parametrize(
        ("cell", "example", "value"),
        [
            ("EUR 8.075,12", "EUR 1.234,56", 8075.12),
            ("$48,048,000", "$1,234.56", 48_048_000),
            ("8 075,12 €", "1 234,56 €", 8075.12),
            ("(1.200,00)", "1.234,56", None),
        ],
    )
    def test_money_with_its_sign_is_read_as_stated_or_refused(
        self, tmp_path: Path, cell: str, example: str, value: float | None
    ) -> None:
        deals = [won("A", acv=cell)]
        found = read(company_of(deals, []), tmp_path / "a", day=LATER)
        assert found.refused
        assert "numbers" in found.refused[0]
        stated = read(
            company_of(deals, [], deals={"numbers": {"acv": example}}), tmp_path / "b", day=LATER
        )
        if value is None:
            assert stated.refused == ["acv >= 0"]
        else:
            assert stated.seen.deals["acv"].tolist() == [value]

    def mixed(self) -> Export:
        deals = [won(f"A{i}", acv="12000", currency="USD") for i in range(9)]
        deals.append(won("J", acv="6000000", currency="JPY"))
        return company_of(deals, [r for i in range(9) for r in bills(f"A{i}", *["1000"] * 14)])

    def test_currencies_are_converted_by_their_rates(self, tmp_path: Path) -> None:
        rates = SETTINGS.model_copy(update={"currencies": {"JPY": 1 / 150}})
        found = read(self.mixed(), tmp_path, rates, day=LATER)
        assert kpi(found)[0] == 0.73
        assert "money_converted" in found.codes

    def test_and_refused_without_one(self, tmp_path: Path) -> None:
        found = read(self.mixed(), tmp_path, day=LATER)
        assert found.refused == [
            "the currency JPY has a rate (state `currencies: {JPY: ...}` in conf/icp.yaml)"
        ]
        assert kpi(found)[0] == 1.0

    @pytest.mark.parametrize("term", [{"term_years": "5"}, {"term_months": "60"}])
    def test_a_term_belongs_to_acv(self, tmp_path: Path, term: dict[str, str]) -> None:
        deals = [won("L", acv="50000", **term), won("S", acv="10000", **dict.fromkeys(term, ""))]
        found = read(company_of(deals, bills("S", *["833.3333333"] * 14)), tmp_path, day=LATER)
        assert kpi(found)[0] == 0.5
        assert "acv_annualised" in found.codes

    def test_acv_of_a_year_is_said_to_be(self, tmp_path: Path) -> None:
        deals = [won("L", acv="10000", term_years="5")]
        found = read(company_of(deals, [], deals={"acv_per": "year"}), tmp_path, day=LATER)
        assert found.seen.deals["acv"].tolist() == [10_000]

    def test_invoices_of_a_year_are_told(self, tmp_path: Path) -> None:
        rows = []
        for i in range(8):
            rows += bills(f"A{i}", "1200") + bills(f"A{i}", "1200", first="2025-01")
        found = read(company_of([won(f"A{i}") for i in range(8)], rows), tmp_path, day=LATER)
        assert "unlike_acv" in found.codes


SPELLED = ["Retail", "Retail", "retail", "RETAIL ", "Health", "health", "Finance & Law"]


class TestSpellings:
    def test_they_are_one_level_that_the_commonest_shows(self, tmp_path: Path) -> None:
        accounts = [{"account_id": f"A{i}", "industry": w} for i, w in enumerate(SPELLED)]
        found = read(export(accounts, [won("A1")], bills("A1", "100")), tmp_path)
        assert "spellings_folded" in found.codes
        attributes = [a for a in SETTINGS.attributes if a.name == "industry"]
        at = pd.DataFrame({"account_id": [f"A{i}" for i in range(7)], "at": pd.Timestamp.now()})
        levels = attributes_at(found.seen.accounts, at, attributes)["industry"]
        assert levels.astype("str").tolist() == [*["Retail"] * 4, *["Health"] * 2, "Finance & Law"]

    def test_members_of_sets_are_too(self) -> None:
        accounts = [
            {"account_id": f"A{i}", "tech": t} for i, t in enumerate(["crm|ERP", "ERP|erp"])
        ]
        accounts += [{"account_id": "B", "tech": "CRM|crm"}, {"account_id": "C", "tech": "ERP"}]
        at = pd.DataFrame({"account_id": ["A0", "A1", "B"], "at": pd.Timestamp(2024, 1, 1)})
        attributes = [a for a in SETTINGS.attributes if a.name == "tech"]
        found = attributes_at(tables(accounts=accounts).accounts, at, attributes)["tech"]
        assert found.astype("str").tolist() == ["ERP|crm", "ERP", "crm"]

    @pytest.mark.parametrize("stated", ["retail", "Retail", "RETAIL"])
    def test_conditions_and_leads_may_spell_them_as_they_like(self, stated: str) -> None:
        frame = pd.DataFrame({"industry": SPELLED})
        assert Predicate("industry", any_of=(stated,)).holds(frame).sum() == 4
        attributes = [a for a in SETTINGS.attributes if a.name == "industry"]
        batch = pa.RecordBatch.from_pydict({"account_id": ["l"], "industry": [f" {stated} "]})
        coded, _ = coded_batch(batch, pd.Timestamp(2024, 1, 1), attributes)
        texts = coded.texts["industry"]
        assert texts.having(["Health", "Retail"], "category")[:, texts.codes[0]].tolist() == [0, 1]
