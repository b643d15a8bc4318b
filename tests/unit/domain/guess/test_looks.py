import pandas as pd
import pytest

from icploop.domain.guess.looks import Column, Export, is_stages, is_unique_key, stage_of
from icploop.domain.guess.words import COLUMNS, name_score, phrase


@pytest.mark.parametrize(
    ("stage", "outcome"),
    [
        ("Closed Won", "won"),
        ("closedwon", "won"),
        ("5. GEWONNEN (100%)", "won"),
        ("Auftrag erteilt", "won"),
        ("Gagnée", "won"),
        ("Cerrada ganada", "won"),
        ("Closed Lost - No budget", "lost"),
        ("Verloren an Wettbewerb", "lost"),
        ("Perdida", "lost"),
        ("Nicht qualifiziert", "lost"),
        ("Not interested", "lost"),
        ("appointmentscheduled", "open"),
        ("Angebot versendet", "open"),
        ("Négociation", "open"),
        ("On Hold", "open"),
        ("Phase 3", None),
        ("Archiv", None),
        ("Closed", None),
        ("Won or lost", None),
        ("Not won", None),
    ],
)
def test_a_stage_says_what_it_is_or_nothing(stage: str, outcome: str | None) -> None:
    assert stage_of(stage) == outcome


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Deal - CloseDate (UTC)", "deal close date utc"),
        ("Größe_in_m²", "groesse in m2"),
        ("HSObjectID", "hs object id"),
        ("Associated Company IDs", "associated company ids"),
        ("Créé le", "cree le"),
        ("Связь", "связь"),
    ],
)
def test_names_are_compared_by_their_plain_words(text: str, plain: str) -> None:
    assert phrase(text) == plain


def test_the_likeliest_name_fits_best_and_a_longer_one_less() -> None:
    known = COLUMNS["deals"]["created_at"]
    scores = [name_score(n, known) for n in ("created_at", "Add time", "Deal created date", "x")]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1
    assert scores[-1] == 0


def test_a_key_names_each_row_by_another_name() -> None:
    assert is_unique_key(Column("id", pd.Series(["a", "b", "c"])))
    assert not is_unique_key(Column("id", pd.Series(["a", "b", "b"])))
    assert not is_unique_key(Column("id", pd.Series(["2024-01-01", "2024-01-02"])))
    assert not is_unique_key(Column("id", pd.Series(["a", None])))


def test_stages_have_a_won_one_and_another() -> None:
    assert is_stages(Column("x", pd.Series(["Won", "Lost", "Whatever"])))
    assert not is_stages(Column("x", pd.Series(["Won", "Won"])))
    assert not is_stages(Column("x", pd.Series(["paid", "void"])))


def test_columns_without_any_cell_are_none() -> None:
    export = Export("a.csv", pd.DataFrame({"id": ["1"], "empty": [None], "nothing": ["--"]}), 1)
    assert list(export.columns) == ["id"]
