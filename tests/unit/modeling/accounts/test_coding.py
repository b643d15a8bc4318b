from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from icploop.domain.calendar import last_moment
from icploop.modeling.accounts.coding import Coded, Texts, coded_batch, coded_frame
from icploop.modeling.accounts.features import attributes_in
from tests.companies import SETTINGS

AT = last_moment(date(2024, 6, 30))
ATTRIBUTES = SETTINGS.attributes

AS_TEXT = {
    "employees": [" 12 ", "", "many", "1e400", None, "-3.5"],
    "industry": ["health", " health", "", "  ", None, "a|b"],
    "tech": ["crm|erp", "erp;crm", " erp | crm ", "||", None, "sso"],
    "funded_on": ["2020-02-29", "2020-02-29T10:00:00Z", "yesterday", "", None, "2030-01-01"],
    "has_sponsor": ["yes", "NO", "maybe", "", None, "1.0"],
}
MOMENTS = pd.to_datetime(
    ["2020-02-29", None, "2024-06-30 23:59:59.123456", "1999-01-01"], format="ISO8601"
)
CASES = {
    "text": pa.table(AS_TEXT),
    "large text": pa.table({n: pa.array(v, pa.large_string()) for n, v in AS_TEXT.items()}),
    "codes": pa.table({n: pa.array(v).dictionary_encode() for n, v in AS_TEXT.items()}),
    "typed": pa.table(
        {
            "employees": [1.5, None, float("inf"), 7.0],
            "industry": [1, 2, None, 1],
            "tech": [["a", "b"], ["b", "a"], None, ["c"]],
            "funded_on": pa.array(MOMENTS),
            "has_sponsor": [True, None, False, True],
        }
    ),
    "otherwise typed": pa.table(
        {
            "employees": pa.array([1, None, 3], pa.int64()),
            "industry": [1.0, 2.5, None],
            "tech": [True, None, False],
            "funded_on": pa.array([date(2020, 1, 1), None, date(2021, 1, 1)]),
            "has_sponsor": [1, 0, None],
        }
    ),
    "with a zone": pa.table(
        {"funded_on": pa.array(MOMENTS.tz_localize("America/New_York")), "employees": [None] * 4}
    ),
    "without rows": pa.table({n: pa.array([], pa.string()) for n in AS_TEXT}),
}


def as_frame(coded: Coded) -> pd.DataFrame:
    return plain(coded.frame([a.name for a in ATTRIBUTES]))


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """An attribute frame with its texts as texts."""
    return frame.astype(dict.fromkeys(("industry", "tech"), "str"))


@pytest.mark.parametrize("case", list(CASES))
def test_a_batch_is_read_as_a_frame_of_the_same_rows_is(case: str) -> None:
    (batch,) = CASES[case].combine_chunks().to_batches() or [
        pa.RecordBatch.from_pylist([], CASES[case].schema)
    ]
    coded, _ = coded_batch(batch, AT, ATTRIBUTES)
    expected = plain(attributes_in(batch.to_pandas(), AT, ATTRIBUTES))
    pd.testing.assert_frame_equal(as_frame(coded), expected, check_exact=True, check_dtype=False)


def test_cells_that_are_filled_in_but_cannot_be_read_are_counted() -> None:
    (batch,) = CASES["text"].to_batches()
    _, unreadable = coded_batch(batch, AT, ATTRIBUTES)
    assert unreadable == {"employees": 2, "tech": 1, "funded_on": 1, "has_sponsor": 1}


def test_a_frame_survives_being_coded() -> None:
    features = attributes_in(CASES["text"].to_pandas(), AT, ATTRIBUTES)
    coded = coded_frame(features, ATTRIBUTES)
    pd.testing.assert_frame_equal(as_frame(coded), plain(features), check_dtype=False)
    assert coded.known(coded.names).tolist() == features.notna().sum(axis=1).tolist()
    part = as_frame(coded.part(2, 5))
    pd.testing.assert_frame_equal(
        part, plain(features)[2:5].reset_index(drop=True), check_dtype=False
    )


def test_what_is_known_of_a_text_is_looked_up_for_each_account() -> None:
    texts = Texts(np.array([1, -1, 0]), ("a", "b"))
    assert texts.spread(np.array([False, True]), missing=False).tolist() == [True, False, False]
