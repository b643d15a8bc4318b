"""Whatever form an export has, its numbers are the same; whatever changes them is told."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icploop.domain.calendar import seen_by
from icploop.errors import DataError
from icploop.io.warehouse import Warehouse
from icploop.pipelines.ingest import ingest
from tests.unit import exports
from tests.unit.exports import Export, Read, company, compressed, read
from tests.unit.io_fixtures import new_home

Form = Callable[[Export], None]
FORMS: dict[str, Form] = {}
CHANGES: dict[str, Form] = {}


def form(change: Form) -> Form:
    """One of the transformations that change no meaning."""
    FORMS[change.__name__] = change
    return change


def change(altered: Form) -> Form:
    """One of the transformations that do."""
    CHANGES[altered.__name__] = altered
    return altered


def rewritten(export: Export, table: str, column: str, cell: Callable[[str], str]) -> None:
    frame = export.cells[table]  # type: ignore[index]
    frame[column] = frame[column].map(lambda text: cell(text) if text else text)


@form
def columns_in_another_order(export: Export) -> None:
    export.cells = {name: frame[list(frame)[::-1]] for name, frame in export.cells.items()}


@form
def rows_in_another_order(export: Export) -> None:
    export.cells = {n: f.sample(frac=1, random_state=1) for n, f in export.cells.items()}


@form
def further_columns(export: Export) -> None:
    for frame in export.cells.values():
        frame["remark of ours"] = "as agreed, see folder"


@form
def semicolons(export: Export) -> None:
    export.delimiter = ";"


@form
def tabs(export: Export) -> None:
    export.delimiter = "\t"


@form
def every_cell_quoted(export: Export) -> None:
    export.quoting = csv.QUOTE_ALL


@form
def lines_as_on_windows(export: Export) -> None:
    export.ends = "\r\n"


@form
def windows_1252(export: Export) -> None:
    export.encoding = "cp1252"


@form
def utf_16(export: Export) -> None:
    export.encoding = "utf-16"


@form
def utf_8_with_its_mark(export: Export) -> None:
    export.encoding = "utf-8-sig"


@form
def compressed_by_gzip(export: Export) -> None:
    compressed(export, ".csv.gz")


@form
def parquet(export: Export) -> None:
    export.kind = ".parquet"


@form
def workbooks(export: Export) -> None:
    exports.needs_calamine()
    export.kind = ".xlsx"


@form
def json_lines(export: Export) -> None:
    export.kind = ".jsonl"


@form
def another_word_for_nothing(export: Export) -> None:
    words = ["--", "N/A", "(No value)", "NULL", "#N/A", " - "]
    for frame in export.cells.values():
        for number, column in enumerate(frame):
            frame[column] = frame[column].mask(frame[column] == "", words[number % len(words)])


@form
def split_into_files(export: Export) -> None:
    export.pieces = 3


@form
def moments_of_a_stated_clock(export: Export) -> None:
    for column in ("created_at", "closed_at"):
        rewritten(export, "deals", column, lambda day: f"{day}T00:30:00+02:00")
    export.source["timezone"] = "Africa/Cairo"


@form
def ids_padded_with_blanks(export: Export) -> None:
    rewritten(export, "revenue", "account_id", lambda text: f"  {text.replace(' ', '  ')} ")


@form
def ids_in_another_unicode_form(export: Export) -> None:
    rewritten(export, "deals", "account_id", lambda text: unicodedata.normalize("NFD", text))


@form
def headers_that_are_mapped(export: Export) -> None:
    for name, frame in export.cells.items():
        export.tables.setdefault(name, {})["columns"] = {c: f"OUR {c.upper()}" for c in frame}
        frame.columns = [f"OUR {column.upper()}" for column in frame]


def european(text: str) -> str:
    return f"{float(text):,.2f}".translate(str.maketrans(",.", ".,"))


@form
def numbers_in_a_stated_format(export: Export) -> None:
    rewritten(export, "revenue", "mrr", european)
    rewritten(export, "deals", "acv", european)
    rewritten(export, "accounts", "employees", european)
    for table in ("revenue", "deals", "accounts"):
        example = {"mrr": "1.234,56", "acv": "1.234,56", "employees": "1.234,56"}
        export.tables.setdefault(table, {})["numbers"] = example


@form
def dates_in_a_stated_format(export: Export) -> None:
    for column in ("created_at", "closed_at"):
        rewritten(export, "deals", column, lambda day: f"{day[8:]}.{day[5:7]}.{day[:4]}")
    export.tables.setdefault("deals", {})["dates"] = "%d.%m.%Y"


@form
def percent_and_money_with_its_sign(export: Export) -> None:
    rewritten(export, "deals", "gross_margin", lambda share: f"{float(share):.1%}")
    rewritten(export, "deals", "acv", lambda acv: f"${float(acv):,.2f}")
    export.tables.setdefault("deals", {})["numbers"] = {"acv": "$1,234.56", "gross_margin": "1.5 %"}


@form
def spellings_of_one_level(export: Export) -> None:
    frame = export.cells["accounts"]
    frame.loc[frame.index[::6], "industry"] = frame["industry"].str.upper() + " "


# Two of these would state two things of one cell.
EXCLUSIVE = (
    {"numbers_in_a_stated_format", "percent_and_money_with_its_sign"},
    {"dates_in_a_stated_format", "moments_of_a_stated_clock"},
    {"ids_in_another_unicode_form", "windows_1252"},  # which has no such letters
)
# Renamed columns are looked for by no other.
LAST = "headers_that_are_mapped"


@pytest.fixture(scope="module")
def as_it_is(tmp_path_factory: pytest.TempPathFactory) -> Read:
    found = read(company(), tmp_path_factory.mktemp("export"))
    assert not found.refused
    assert not found.codes
    assert found.outcomes["matured"].sum() == 24
    return found


def same(export: Export, expected: Read) -> Read:
    with TemporaryDirectory() as folder:
        found = read(export, Path(folder))
    assert not found.refused
    pd.testing.assert_frame_equal(found.outcomes, expected.outcomes, check_exact=True)
    return found


@pytest.mark.parametrize("name", FORMS)
def test_no_form_changes_an_outcome(name: str, as_it_is: Read) -> None:
    export = company()
    FORMS[name](export)
    found = same(export, as_it_is)
    accounts = found.seen.accounts.set_index("account_id").sort_index()
    before = as_it_is.seen.accounts.set_index("account_id").sort_index()
    assert accounts["employees"].tolist() == before["employees"].tolist()
    assert accounts["industry"].isna().tolist() == before["industry"].isna().tolist()


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(names=st.lists(st.sampled_from(list(FORMS)), min_size=2, max_size=5, unique=True))
def test_nor_do_several_together(names: list[str], as_it_is: Read) -> None:
    for pair in EXCLUSIVE:
        if pair <= set(names):
            names.remove(min(pair))
    export = company()
    for name in sorted(names, key=lambda name: name == LAST):
        FORMS[name](export)
    same(export, as_it_is)


@change
def money_a_hundredfold(export: Export) -> None:
    rewritten(export, "revenue", "mrr", lambda mrr: f"{100 * float(mrr):.2f}")


@change
def acv_of_a_month(export: Export) -> None:
    rewritten(export, "deals", "acv", lambda acv: f"{float(acv) / 12:.2f}")


@change
def a_years_invoices_in_a_month(export: Export) -> None:
    frame = export.cells["revenue"]
    yearly = frame[frame["month"].str[5:7] == "04"].copy()
    yearly["mrr"] = [f"{12 * float(mrr):.2f}" for mrr in yearly["mrr"]]
    export.cells["revenue"] = yearly


@change
def a_required_column_dropped(export: Export) -> None:
    del export.cells["deals"]["outcome"]


@change
def a_header_lost(export: Export) -> None:
    frame = export.cells["revenue"]
    frame.columns = frame.iloc[0].tolist()


@change
def ids_in_scientific_notation(export: Export) -> None:
    rewritten(export, "deals", "account_id", lambda text: "4.15087E+18")


@change
def day_and_month_swapped(export: Export) -> None:
    for column in ("created_at", "closed_at"):
        rewritten(export, "deals", column, lambda day: f"{day[8:]}/{day[5:7]}/{day[:4]}")
    export.tables["deals"] = {"dates": "%m/%d/%Y"}


@change
def another_currency_in_some_rows(export: Export) -> None:
    export.cells["deals"]["currency"] = ["USD", "JPY", "EUR", "USD", "USD"] * 5


@change
def months_twice(export: Export) -> None:
    frame = export.cells["revenue"]
    again = frame.head(20).assign(mrr="17")
    export.cells["revenue"] = pd.concat([frame, again])


@change
def a_file_cut_off_in_a_line(export: Export) -> None:
    export.mend = lambda name, data: data[:-12] if name == "revenue" else data


@change
def an_encoding_that_is_not_the_files(export: Export) -> None:
    export.encoding = "cp1252"
    export.source["dialects"] = {"accounts.csv": {"encoding": "utf-8"}}


@change
def letters_of_another_alphabet_unstated(export: Export) -> None:
    rewritten(export, "accounts", "name", lambda text: "株式会社東京")
    export.encoding = "shift_jis"
    rewritten(export, "accounts", "account_id", lambda text: text.replace("é", "e"))
    rewritten(export, "deals", "account_id", lambda text: text.replace("é", "e"))
    rewritten(export, "revenue", "account_id", lambda text: text.replace("é", "e"))
    export.cells["accounts"]["name"] = "株式会社東京"


@change
def thousands_or_a_fraction(export: Export) -> None:
    rewritten(export, "revenue", "mrr", lambda mrr: f"{float(mrr) / 1000:.3f}")


@change
def numbers_unlike_the_stated_format(export: Export) -> None:
    export.tables["revenue"] = {"numbers": "1.234,56"}


@change
def revenue_below_nothing(export: Export) -> None:
    export.cells["revenue"].loc[3, "mrr"] = "-250.00"


@change
def a_stage_that_is_not_mapped(export: Export) -> None:
    export.cells["deals"].loc[:4, "outcome"] = "Closed Won"


@change
def accounts_that_nobody_knows(export: Export) -> None:
    export.cells["accounts"] = export.cells["accounts"].iloc[:-6]
    export.cells["accounts"].loc[99] = ["Prospect", "P", "", "900", "Health", "crm"]


@change
def most_bills_of_a_month_missing(export: Export) -> None:
    frame = export.cells["revenue"]
    month = frame[frame["month"] == "2023-09-01"].index
    export.cells["revenue"] = frame.drop(month[: 2 * len(month) // 3])


@change
def the_newest_month_half_billed(export: Export) -> None:
    frame = export.cells["revenue"]
    newest = frame[frame["month"] == "2024-06-01"].index
    export.cells["revenue"] = frame.drop(newest[: len(newest) // 2])


@change
def one_customer_a_thousandfold(export: Export) -> None:
    frame = export.cells["revenue"]
    own = frame["account_id"] == "Café 01"
    frame.loc[own, "mrr"] = [f"{1000 * float(mrr):.2f}" for mrr in frame.loc[own, "mrr"]]


@change
def closed_before_created(export: Export) -> None:
    export.cells["deals"].loc[:2, "closed_at"] = "2022-01-01"


@change
def one_parent_of_all(export: Export) -> None:
    export.cells["accounts"]["parent_id"] = "TBD"


@change
def months_that_are_days(export: Export) -> None:
    rewritten(export, "revenue", "month", lambda day: day[:8] + "17")


@change
def a_delimiter_within_cells_that_are_not_quoted(export: Export) -> None:
    export.mend = lambda name, data: (
        data.replace("Müller &".encode(), "Müller, &".encode()) if name == "accounts" else data
    )


@change
def a_page_to_sign_in_instead(export: Export) -> None:
    export.mend = lambda _, data: b"<!DOCTYPE html><html><body>Sign in</body></html>"


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_an_outcome_is_told(name: str, as_it_is: Read, tmp_path: Path) -> None:
    export = company()
    CHANGES[name](export)
    try:
        found = read(export, tmp_path)
    except DataError:
        # Refused as a whole, with nothing stored.
        return
    assert found.refused or found.codes


def test_there_are_twenty_of_both() -> None:
    assert min(len(FORMS), len(CHANGES)) >= 20


def test_increments_come_to_the_whole_and_half_an_export_is_refused(
    as_it_is: Read, tmp_path: Path
) -> None:
    home = new_home(tmp_path, exports.SETTINGS.model_dump(mode="json", exclude_defaults=True))

    def bring(rows: slice, mode: str) -> None:
        export = company()
        export.cells["revenue"] = export.cells["revenue"].iloc[rows]
        export.tables["revenue"] = {"mode": mode}
        source = export.write(tmp_path / "data" / "inbox")
        (home.sources_folder / "files.yaml").write_text(yaml.safe_dump(source))
        ingest(home, as_of=exports.DAY)

    rows = len(company().cells["revenue"])
    for half in (slice(0, rows // 2), slice(rows // 2, rows)):
        bring(half, "increment")
    seen = seen_by(Warehouse(home.warehouse_file).tables(), exports.DAY)
    assert exports.judged(seen, exports.SETTINGS).equals(as_it_is.outcomes)
    with pytest.raises(DataError, match="no longer in the export"):
        bring(slice(0, rows // 2), "full")
