"""Every command on companies of every shape: it does what it says, or says why it does not."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib.figure
import pandas as pd
import pytest

from icploop.io import registry
from icploop.io.home import Home
from tests.unit import planted, shapes
from tests.unit.io_fixtures import CommandResult, files_source, icp, inbox, new_home, write_csv
from tests.unit.shapes import Shape

DAY = planted.LAST_DAY
# Each with the verdict on its first round, which without these shapes is to promote.
MODELLED: dict[str, tuple[str, tuple[Shape, ...]]] = {
    "won only, nameless, no acv, no signals": (
        "PROMOTE",
        (shapes.won_only, shapes.no_acv, shapes.nameless, shapes.no_signals),
    ),
    "no prospects, window of three, by policy": (
        "PROMOTE",
        (shapes.no_prospects, shapes.window_of_three, shapes.approved_by_policy),
    ),
    "customers only, one attribute, retention": (
        "INCONCLUSIVE",
        (shapes.customers_only, shapes.one_attribute, shapes.retention),
    ),
    "two motions, value, many levels": (
        "PROMOTE",
        (shapes.two_motions, shapes.value, shapes.many_levels),
    ),
    "not ascii": ("PROMOTE", (shapes.not_ascii,)),
}
UNMODELLED = {
    "one customer": (shapes.one_customer,),
    "few matured, with a hypothesis": (shapes.few_matured, shapes.believing),
    "no revenue": (shapes.no_revenue,),
    "no deals, no signals": (shapes.no_deals, shapes.no_signals),
}


@dataclass(frozen=True)
class Founded:
    """A company in its home, after its exports were ingested and its first round was watched."""

    home: Home
    tables: shapes.Frames
    stated: shapes.Stated
    watched: CommandResult

    def run(self, *words: object, status: int = 0) -> CommandResult:
        """Run a command on the company's day, which ends with this status."""
        dated = [] if words[0] == "lint" else ["--as-of", DAY]
        answer = icp(*words, *dated, home=self.home)
        assert answer.status == status, answer.err
        return answer

    @property
    def motion(self) -> str:
        return str(self.stated["motions"][0])

    @cached_property
    def round(self) -> dict[str, Any]:
        return dict(self.watched.json["round"])

    @cached_property
    def accounts(self) -> set[str]:
        return set(self.tables["accounts"]["account_id"])

    @cached_property
    def customers(self) -> set[str]:
        deals = self.tables["deals"]
        return set(deals.loc[deals["outcome"] == "won", "account_id"])

    def file(self, name: str) -> Path:
        return self.home.root / name


@pytest.fixture(scope="module")
def found(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Founded]]:
    def founded(*made_of: Shape) -> Founded:
        tables, stated = shapes.company(*made_of)
        source = files_source(**{name: {"file": f"{name}.csv"} for name in tables})
        root = tmp_path_factory.mktemp("shape") / "home"
        home = new_home(root, stated, files=source)
        write_csv(inbox(home), tables)
        home.mlruns.mkdir()
        shutil.copyfile(migrated, home.mlruns / "mlflow.db")
        assert icp("ingest", home=home).status == 0
        watched = icp("watch", "--as-of", DAY, "--json", home=home)
        assert watched.status == 0, watched.err
        return Founded(home, tables, stated, watched)

    with pytest.MonkeyPatch.context() as patch:
        # Every figure is made; only that it is drawn dot by dot, which costs most, is left out.
        patch.setattr(matplotlib.figure.Figure, "savefig", lambda self, to, **_: _blank(to))
        yield founded


@pytest.fixture(scope="module", params=MODELLED.values(), ids=MODELLED)
def modelled(request: pytest.FixtureRequest, found: Callable[..., Founded]) -> Founded:
    """A company whose first round made a version that came into force."""
    verdict, made_of = request.param
    company = found(*made_of)
    assert company.round["verdict"] == verdict, company.round["reasons"]
    assert company.round["in_force"] == (shapes.approved_by_policy in made_of)
    if verdict == "PROMOTE" and not company.round["in_force"]:
        decided = ("approve", "challenger", "--by", "Ада", "--reason", "проверено")
        company.run(*decided)
    return company


@pytest.fixture(scope="module", params=UNMODELLED.values(), ids=UNMODELLED)
def unmodelled(request: pytest.FixtureRequest, found: Callable[..., Founded]) -> Founded:
    """A company of which too few customers have matured."""
    return found(*request.param)


class TestWithAVersion:
    def test_every_command_works_on_it(self, modelled: Founded):
        """One test a company: a figure that it tells is held against its tables."""
        in_force = modelled.round["verdict"] == "PROMOTE"
        told = modelled.run("status", "--json").json
        assert told["champion"] == ("1" if in_force else None)
        _is_listed(modelled)
        _is_scored(modelled)
        _is_shown(modelled)
        _is_explained(modelled)
        modelled.run("health", "--out", modelled.file("health.html"))
        modelled.run("diff", "1", "1")
        modelled.run("lint")
        assert modelled.run("settle", "--json").json["done"] == []
        if modelled.accounts - modelled.customers:
            modelled.run("check", status=0 if in_force else 3)
        else:
            assert "every account is a customer" in modelled.run("check", status=3).err
        decided = ("--by", "Ада", "--reason", "ещё раз")
        again = modelled.run("approve", "1", *decided, status=0 if in_force else 4)
        assert ("already done" in again.out) == in_force
        for refused in (("reject", "1"), ("rollback",)):
            modelled.run(*refused, *decided, status=4)
        assert modelled.run("watch", "--json").json["due"] is False
        for other in modelled.stated["motions"][1:]:
            assert modelled.run("status", "--motion", other, "--json").json["champion"] is None
            modelled.run("list", "--motion", other, "--out", modelled.file("o.csv"), status=4)
        _reads_as_it_was_written(modelled)


class TestWithoutAVersion:
    def test_every_command_says_what_is_missing(self, unmodelled: Founded):
        has_deals, believes = len(unmodelled.tables["deals"]) > 0, "hypothesis" in unmodelled.stated
        assert unmodelled.watched.json["due"] is has_deals
        if has_deals:
            assert unmodelled.round["verdict"] == "INCONCLUSIVE"
            assert unmodelled.round["version"] is None
        told = unmodelled.run("status", "--json").json
        assert (told["champion"], told["pending_approval"]) == (None, None)
        source, target = inbox(unmodelled.home) / "accounts.csv", unmodelled.file("out.csv")
        score = ("score", "--in", source, "--out", target)
        assert unmodelled.run(*score, status=0 if believes else 4)
        assert target.exists() == believes
        unmodelled.run("list", "--out", target, status=0 if believes else 4)
        unmodelled.run("check", status=0 if believes else 3)
        unmodelled.run("health", "--out", unmodelled.file("health.html"))
        unmodelled.run("lint")
        unmodelled.run("retrain", "--force", "--json")
        unmodelled.run("settle")
        unmodelled.run("backtest", "--from", "2024-06-01", status=0 if has_deals else 3)
        for refused in (
            ("show",),
            ("explain", "w1"),
            ("publish",),
            ("approve", "challenger", "--by", "A", "--reason", "r"),
            ("reject", "challenger", "--by", "A", "--reason", "r"),
            ("rollback", "--by", "A", "--reason", "r"),
        ):
            assert unmodelled.run(*refused, status=4).err.startswith("icp: ")
        assert "is no version of" in unmodelled.run("diff", "1", "2", status=2).err

    def test_revenue_that_never_came_is_missed_by_name(self, unmodelled: Founded):
        owed = unmodelled.tables["revenue"].empty and not unmodelled.tables["deals"].empty
        judged = unmodelled.watched.json["round"] or {"reasons": []}
        said = " ".join(judged["reasons"])
        assert said.endswith("has not been seen yet: ingest newer revenue.") == owed


def _is_listed(company: Founded) -> None:
    """Whoever is listed is a prospect, once, and everybody else is excluded for a reason."""
    target = company.file("список.csv")
    told = company.run("list", "--version", "1", "--out", target, "--json").json
    listed = pd.read_csv(target)
    assert len(listed) == told["listed"]
    assert listed["account_id"].is_unique
    assert set(listed["account_id"]) <= company.accounts - company.customers
    assert sum(told["excluded"].values()) + told["listed"] == len(company.accounts)
    assert (told["listed"] == 0) == (company.accounts == company.customers)


def _is_scored(company: Founded) -> None:
    """All accounts are, within the range of each column; what deals cannot tell stays empty."""
    source, target = inbox(company.home) / "accounts.csv", company.file("scored.csv")
    company.run("score", "--version", "1", "--in", source, "--out", target)
    scored, sent = pd.read_csv(target), pd.read_csv(source)
    assert scored["account_id"].tolist() == sent["account_id"].tolist()
    assert scored["fit_score"].between(0, 100).all()
    assert scored["p_retained"].between(0, 1).all()
    assert (scored["expected_nrr"] > 0).all()
    assert scored["expected_nrr"].std() > 0
    lost = company.tables["deals"]["outcome"].eq("lost").any()
    assert scored["p_win"].isna().all() != lost


def _is_shown(company: Founded) -> None:
    told = company.run("show", "1", "--json").json
    meaning = told["consequences"]
    assert meaning["market"] == len(company.accounts - company.customers)
    assert meaning["selected"] <= meaning["market"]
    assert meaning["matured"] == company.round["n_matured"]
    assert meaning["arr"] == pytest.approx(_arr(company))
    objective = company.stated.get("objective", "nrr")
    worth = {"nrr": "points of NRR", "retention": "points of retention", "value": "a deal"}
    if told["profile"]["lines"]:
        assert worth[objective] in told["markdown"]
    company.run("show", "1", "--out", company.file("page.html"))
    text = company.run("show", "1", "--out", company.file("page.json")).out
    assert text.startswith(f"ICP version 1, {company.motion}")


def _is_explained(company: Founded) -> None:
    account = max(company.accounts - company.customers, default=min(company.customers))
    told = company.run("explain", account, "--version", "1", "--json").json
    assert told["account_id"] == account


def _arr(company: Founded) -> float:
    """Twelve times what customers paid a month, over the window."""
    revenue = company.tables["revenue"]
    window = company.stated.get("outcome", {}).get("window_months", 1)
    months = pd.period_range(end=str(DAY)[:7], periods=window, freq="M")
    paid = pd.to_datetime(revenue["month"]).dt.to_period("M").isin(months)
    ours = revenue["account_id"].isin(company.customers)
    return float(12 * revenue.loc[paid & ours, "mrr"].sum() / window)


def _reads_as_it_was_written(company: Founded) -> None:
    """Whatever the script: no page, list, description or tag holds an escape instead."""
    described = registry.describe(company.home, company.motion, "1") if _is_nrr(company) else None
    tags = " ".join(described.tags.values()) + described.description if described else ""
    written = [company.file(name) for name in ("page.html", "page.json", "список.csv")]
    everything = tags + "".join(path.read_text() for path in written)
    assert "\\u04" not in everything
    if company.motion.isascii():
        return
    for text in ("здоровье", "ゲーム 業", "Отрасль", "не наш рынок", "Фирма «Ё»", "Компания «Ё»"):
        assert text in everything
    assert "Ада" in described.tags["approved_by"]


def _is_nrr(company: Founded) -> bool:
    return company.stated.get("objective", "nrr") == "nrr"


def _blank(target: Any) -> None:
    """A picture of nothing, where a figure would be written."""
    if isinstance(target, io.StringIO):
        target.write('<svg xmlns="http://www.w3.org/2000/svg" width="1pt" height="1pt"></svg>')
    elif hasattr(target, "write"):
        target.write(b"")
    else:
        Path(target).touch()
