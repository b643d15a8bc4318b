"""Companies of odd shapes, each made from the planted one by taking away what others have.

A shape is a function that changes tables and settings in place. Shapes that do not hide one another
are put together, so that few rounds run all of them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from tests.unit import planted

Frames = dict[str, pd.DataFrame]
Stated = dict[str, Any]
Shape = Callable[[Frames, Stated], None]

WON, LOST, PROSPECTS = 110, 60, 70
BASE: Stated = {
    "company": "Shapes",
    "motions": ["default"],
    "dimensions": planted.SETTINGS["dimensions"],
    "trigger": {"closed_deals": 60},
    "policy": {"min_matured": 40, "newest": 80, "draws": 200},
}


def won_only(tables: Frames, stated: Stated) -> None:
    tables["deals"] = tables["deals"][tables["deals"]["outcome"] == "won"]


def no_acv(tables: Frames, stated: Stated) -> None:
    tables["deals"] = tables["deals"].drop(columns="acv")


def no_prospects(tables: Frames, stated: Stated) -> None:
    """Every account is a customer: whoever was lost had been won, or was later."""
    deals = tables["deals"].copy()
    won = deals.loc[deals["outcome"] == "won", "account_id"].tolist()
    other = deals["outcome"] != "won"
    deals.loc[other, "account_id"] = won[: other.sum()]
    tables["deals"] = deals
    tables["accounts"] = tables["accounts"][tables["accounts"]["account_id"].isin(won)]


def customers_only(tables: Frames, stated: Stated) -> None:
    won_only(tables, stated)
    known = tables["accounts"]["account_id"].isin(tables["deals"]["account_id"])
    tables["accounts"] = tables["accounts"][known]


def one_customer(tables: Frames, stated: Stated) -> None:
    deals = tables["deals"]
    tables["deals"] = deals[(deals["outcome"] != "won") | (deals["account_id"] == "w1")]
    tables["revenue"] = tables["revenue"][tables["revenue"]["account_id"] == "w1"]


def no_signals(tables: Frames, stated: Stated) -> None:
    del tables["signals"]


def no_revenue(tables: Frames, stated: Stated) -> None:
    tables["revenue"] = tables["revenue"][:0]


def no_deals(tables: Frames, stated: Stated) -> None:
    tables["deals"] = tables["deals"][:0]


def nameless(tables: Frames, stated: Stated) -> None:
    """Neither names, domains nor parents, nor when anything was known."""
    tables["accounts"] = tables["accounts"].drop(
        columns=["name", "domain", "parent_id", "observed_at"]
    )


def two_motions(tables: Frames, stated: Stated) -> None:
    """The same accounts are sold to twice, under another motion."""
    stated["motions"] = ["default", "upsell"]
    first = tables["deals"].assign(motion="default")
    second = first.assign(motion="upsell", deal_id="u" + first["deal_id"])
    tables["deals"] = pd.concat([first, second])


def value(tables: Frames, stated: Stated) -> None:
    stated["objective"] = "value"
    stated["value"] = {"gross_margin": 0.8, "cost_of_pursuit": 1000}


def retention(tables: Frames, stated: Stated) -> None:
    stated["objective"] = "retention"


def window_of_three(tables: Frames, stated: Stated) -> None:
    stated["outcome"] = {"window_months": 3}


def approved_by_policy(tables: Frames, stated: Stated) -> None:
    stated["policy"] = {**stated["policy"], "approval": "auto"}


def not_ascii(tables: Frames, stated: Stated) -> None:
    """Ids, names, domains, attributes, levels, motions and reasons in other scripts."""

    def other(ids: pd.Series) -> pd.Series:
        return ids.str.replace("w", "в").str.replace("p", "п")

    accounts = tables["accounts"].rename(
        columns={"industry": "отрасль", "tech": "技術", "employees": "größe"}
    )
    levels = {"health": "здоровье", "retail": "ro|zn ica", "gaming": "ゲーム 業"}
    accounts["отрасль"] = accounts["отрасль"].map(levels)
    accounts["技術"] = accounts["技術"].str.replace("crm", "système").str.replace("erp", "Größe")
    accounts["account_id"] = other(accounts["account_id"])
    accounts["name"] = accounts["name"].str.replace("Company", "Компания «Ё»")
    accounts["domain"] = accounts["account_id"] + ".рф"
    tables["accounts"] = accounts.drop(columns="parent_id")
    for name in ("deals", "revenue", "signals"):
        tables[name] = tables[name].assign(account_id=other(tables[name]["account_id"]))
    tables["deals"]["motion"] = "новый бизнес"
    tables["signals"]["kind"] = "жалоба"
    stated |= {
        "company": "Фирма «Ё»",
        "currency": "₽",
        "motions": ["новый бизнес"],
        "dimensions": {
            "firmographic": {"отрасль": {"kind": "category", "label": "Отрасль"}},
            "technographic": {"技術": "set"},
            "use_case": {"größe": "number"},
        },
        "hypothesis": [{"attribute": "отрасль", "any_of": ["ro|zn ica"], "points": 1}],
        "exclusions": [{"attribute": "отрасль", "any_of": ["ゲーム 業"], "reason": "не наш рынок"}],
    }


def one_attribute(tables: Frames, stated: Stated) -> None:
    stated["dimensions"] = {"firmographic": {"industry": "category"}}


def many_levels(tables: Frames, stated: Stated) -> None:
    """Forty attributes of five hundred levels beside the one that counts."""
    rng = np.random.default_rng(0)
    accounts = tables["accounts"]
    names = [f"code_{i}" for i in range(40)]
    drawn = rng.integers(0, 500, (len(accounts), len(names))).astype(str)
    codes = pd.DataFrame(drawn, columns=names, index=accounts.index)
    tables["accounts"] = pd.concat([accounts, codes], axis=1)
    stated["dimensions"] = {
        "firmographic": {"industry": "category", **dict.fromkeys(names, "category")}
    }


def few_matured(tables: Frames, stated: Stated) -> None:
    stated["policy"] = {**stated["policy"], "min_matured": 90}


def believing(tables: Frames, stated: Stated) -> None:
    stated["hypothesis"] = [{"attribute": "industry", "any_of": ["health"], "points": 2}]


def company(*shapes: Shape) -> tuple[Frames, Stated]:
    """The tables and the settings of a company of these shapes."""
    tables, stated = planted.company(won=WON, lost=LOST, prospects=PROSPECTS), copy.deepcopy(BASE)
    for shape in shapes:
        shape(tables, stated)
    return tables, stated
