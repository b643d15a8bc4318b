"""A company whose exports are as messy as a first afternoon's, and what is true of it.

Five files: companies out of a German CRM (semicolons, cp1252), deals out of another export of it
(stages of its own, in mixed case), bills for a year and for a month, a spreadsheet of
persons, and a price list. The truth is made beside them, month by month, by none of the program's
code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

LAST_DAY = date(2025, 6, 30)
HORIZON = 12
_FIRST_MONTH = 2021 * 12
_LAST_MONTH = 2025 * 12 + 5


@dataclass
class Company:
    """Its files as frames, and its truth: MRR by account and month, and the month of each win."""

    files: dict[str, pd.DataFrame] = field(default_factory=dict)
    mrr: dict[tuple[str, int], float] = field(default_factory=dict)
    first_month: dict[str, int] = field(default_factory=dict)
    never_billed: dict[str, tuple[int, float]] = field(default_factory=dict)

    def truth(self) -> dict[str, float]:
        """NRR, GRR and logo retention of all who have matured, and how many they are."""
        starts, ends = [], []
        for account, first in self.first_month.items():
            if first + HORIZON > _LAST_MONTH:
                continue
            starts.append(self.mrr[account, first])
            ends.append(self.mrr.get((account, first + HORIZON), 0.0))
        for closed, acv in self.never_billed.values():
            # The first bill was due a month after the close.
            if closed + 1 + HORIZON <= _LAST_MONTH:
                starts.append(acv / 12)
                ends.append(0.0)
        start, end = np.array(starts), np.array(ends)
        return {
            "nrr": float(end.sum() / start.sum()),
            "grr": float(np.minimum(end, start).sum() / start.sum()),
            "retention": float((end > 0).mean()),
            "matured": float(len(start)),
        }


def german(number: float) -> str:
    """`1.234,50`."""
    return f"{number:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")


def day(of: date) -> str:
    return f"{of:%d.%m.%Y}"


def month_day(number: int, of_month: int = 1) -> date:
    return date(number // 12, number % 12 + 1, of_month)


def draw(seed: int = 3, companies: int = 420) -> Company:
    """The company with this seed."""
    rng = np.random.default_rng(seed)
    made = Company()
    ids = [f"{i:07}" for i in range(1, companies + 1)]
    branches = ["Maschinenbau", "Handel", "Gesundheit", "Software"]
    rows, deals, bills = [], [], []
    first_names = ["Anna", "Peter", "Julia", "Thomas", "Sarah"]
    for i, own in enumerate(ids):
        branch = branches[int(rng.integers(4))]
        employees = int(rng.lognormal(5.5, 1.0)) + 5
        erp = rng.random() < 0.5
        created = month_day(_FIRST_MONTH + int(rng.integers(0, 50)), int(rng.integers(1, 27)))
        closed = created + timedelta(days=int(rng.integers(10, 70)))
        fit = 0.55 + 0.2 * (branch == "Software") + 0.15 * erp - 0.15 * (employees > 600)
        roll = rng.random()
        outcome = "won" if roll < 0.55 else "lost" if roll < 0.85 else "open"
        if closed > LAST_DAY:
            outcome = "open"
        acv = float(rng.integers(20, 400)) * 60 + 0.5 * int(rng.integers(2))
        stage = {
            "won": ["Gewonnen", "gewonnen", "GEWONNEN", "Auftrag erteilt"],
            "lost": ["Verloren", "verloren", "Abgesagt"],
            "open": ["Angebot versendet", "Verhandlung"],
        }[outcome]
        word = stage[int(rng.integers(len(stage)))]
        is_paid = outcome == "won" and rng.random() < 0.97
        rows.append(
            {
                "Kundennr": own,
                "Firma": f"Müller & Söhne {i} GmbH",
                "Webseite": f"https://www.firma-{i}.example/de",
                "Branche": [branch, branch.upper(), branch.lower()][int(rng.integers(3))],
                "Mitarbeiter": f"{employees:,}".replace(",", "."),
                "Jahresumsatz (EUR)": german(employees * 93_500.5),
                "ERP-Systeme": "; ".join(["SAP"] * erp + ["Navision"] * (rng.random() < 0.4))
                or "--",
                "Exportiert": "ja" if rng.random() < 0.4 else "nein",
                "Gegründet": day(date(int(rng.integers(1950, 2018)), 5, int(rng.integers(1, 28)))),
                "Ansprechpartner": f"{first_names[i % 5]} Weber",
                "E-Mail": f"{first_names[i % 5].lower()}.weber@firma-{i}.example",
                "Land": "Deutschland",
                "Notiz": f"Anruf am Montag wegen Angebot Nummer {i}, bitte noch einmal melden",
                "Kundenzufriedenheit": str(int(rng.integers(1, 11))) if is_paid else "",
                "Zusammengeführt in": "",
            }
        )
        deals.append(
            {
                "Vorgang": f"V{i:06}",
                "Kunden-Nr": own,
                "Angelegt am": day(created),
                "Abgeschlossen am": day(closed) if outcome != "open" else "",
                "Phase": word,
                "Auftragswert": german(acv),
                "Betreuer": "Max Huber",
            }
        )
        if outcome != "won":
            continue
        if not is_paid:
            made.never_billed[own] = closed.year * 12 + closed.month - 1, acv
            continue
        _bill(made, bills, rng, own, closed, acv, fit)
    _merge(made, rows, deals, bills, ids[0])
    made.files = {
        "Kundenstamm.csv": pd.DataFrame(rows),
        "Verkaufschancen Export.csv": pd.DataFrame(deals),
        "Rechnungen.csv": pd.DataFrame(bills),
        "Ansprechpartner.csv": pd.DataFrame(
            {
                "Vorname": [first_names[i % 5] for i in range(60)],
                "Nachname": [f"Weber{i}" for i in range(60)],
                "Kundennr": ids[:60],
                "Mobil": [f"+49 170 {i:07}" for i in range(60)],
            }
        ),
        "Artikel.csv": pd.DataFrame(
            {
                "Artikel": [f"A{i}" for i in range(12)],
                "Preis": [german(90.0 + i) for i in range(12)],
            }
        ),
    }
    return made


def _bill(
    made: Company,
    bills: list[dict[str, str]],
    rng: np.random.Generator,
    own: str,
    closed: date,
    acv: float,
    fit: float,
) -> None:
    """Bills by the year or by the month from the month after the close, until somebody leaves."""
    first = closed.year * 12 + closed.month  # the month after: months count from 0
    if first > _LAST_MONTH:
        return
    made.first_month[own] = first
    by_year = rng.random() < 0.7
    price, month = acv, first
    while month <= _LAST_MONTH:
        months = 12 if by_year else 1
        amount = round(price * months / 12, 2)
        bills.append(_line(len(bills), own, month, months, amount))
        for n in range(months):
            made.mrr[own, month + n] = amount / months
        month += months
        if by_year or (month - first) % 12 == 0:
            if rng.random() > fit:
                return
            price *= float(rng.choice([0.8, 1.0, 1.0, 1.3]))


def _line(nth: int, own: str, month: int, months: int, amount: float) -> dict[str, str]:
    last = month_day(month + months) - timedelta(days=1)
    return {
        "Belegnr": f"R{nth:06}",
        "Debitor": own.lstrip("0"),
        "Leistung von": day(month_day(month)),
        "Leistung bis": day(last),
        "Netto": german(amount),
        "MwSt": german(amount * 0.19),
        "Status": "bezahlt",
    }


def _merge(
    made: Company,
    rows: list[dict[str, str]],
    deals: list[dict[str, str]],
    bills: list[dict[str, str]],
    into: str,
) -> None:
    """The CRM merged a company into the first one; billing still bills the old id."""
    old = "9000001"
    rows.append({**rows[0], "Kundennr": old, "Firma": "Alte Firma", "Zusammengeführt in": into})
    month = made.first_month.get(into)
    if month is None:
        return
    # The first year under the old id as well: both add up.
    bills.append(_line(len(bills), old, month, 12, 1200.0))
    for n in range(12):
        made.mrr[into, month + n] = made.mrr.get((into, month + n), 0.0) + 100.0


def write(made: Company, folder: Path) -> None:
    """The files as they were exported: semicolons, cp1252, every cell in quotes where it must."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in made.files.items():
        frame.to_csv(folder / name, index=False, sep=";", encoding="cp1252", lineterminator="\r\n")
