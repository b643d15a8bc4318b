"""Which rule promotes what is truly better? The gate against what others do instead.

Run as `python -m benchmarks.gate [LEARNER] [COMPANIES]` (product and 4). Simulated companies of
three families live through quarterly rounds (`benchmarks.rounds`, fitted once and kept, so that a
rule costs seconds), and rules are replayed over them:

1. Regret: how many NRR points of what is pursued an oracle, which promotes exactly what is truly
   better, is ahead of a rule; when all rounds are clean, when a fifth of them learn from outcomes
   of which half were mixed up, when these rounds are judged on such outcomes too, when the market
   shifts, and when in the middle another recipe is tried, worse or better. With the promotions,
   the harmful ones, and how much of the list turned over.
2. What the gate states against what is true: probability and gain, by tenths.
3. Null and power: pairs of versions of known worth on holdouts of 60, 150 and 400 customers.
4. First verdicts: real and noise, with the coverage of the interval.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.rounds import AVERAGE, CLEAN, CORRUPTED, NOISE, POOR, Archive, archives
from benchmarks.worlds import PURSUED
from icploop.domain.gate import Comparison, decide
from icploop.domain.outcomes import WINSORISED_AT
from icploop.domain.posterior import Belief, Refit, first_prior, prior
from icploop.modeling.judging.advantage import advantage
from icploop.modeling.judging.comparison import compare, skill
from icploop.modeling.scoring.learned import ChangedOutcomes, Learned, Recipe
from icploop.modeling.statistics.cross_fit import newest_matured
from icploop.settings import GatePolicy, Learning, Outcome

RESULTS = Path(__file__).parent / "results"
_DRAWS = 200
_HARMFUL = -0.5
_CORRUPTED_SHARE = 0.2


@dataclass(frozen=True)
class Contest:
    """A round: the challenger and the champion by name ("3 clean"), and who judges them.

    `control` is the champion's recipe refitted, where another one is tried. `judged_on_mixed` has
    them judged on the outcomes that a corrupted round saw.
    """

    archive: Archive
    number: int
    challenger: str
    champion: str
    control: str | None = None
    judged_on_mixed: bool = False

    @cached_property
    def customers(self) -> pd.DataFrame:
        """All customers of the round."""
        of = self.archive
        return of.mixed(self.number) if self.judged_on_mixed else of.of_round[self.number]

    @cached_property
    def holdout(self) -> pd.DataFrame:
        """The newest matured ones."""
        return newest_matured(self.customers[self.customers["matured"]], GatePolicy().newest)

    @cached_property
    def comparison(self) -> Comparison:
        """The gate's own comparison, with its belief."""
        return replace(self.compared(self.holdout), belief=self.belief)

    def compared(self, judged: pd.DataFrame, draws: int = _DRAWS) -> Comparison:
        """The paired comparison on some matured customers."""
        return compare(
            judged,
            self.archive.said[self.challenger],
            self.archive.said[self.champion],
            rival="the champion",
            capacity=PURSUED,
            interval=0.9,
            draws=draws,
            seed=0,
        )

    @cached_property
    def belief(self) -> Belief:
        """What the gate believes."""
        if self.control is None:
            return self._step(self.challenger, self.champion, ())
        new = self._step(self.challenger, self.control, ("the recipe",))
        return new.after(self._step(self.control, self.champion, ()))

    def _step(self, ours: str, theirs: str, changed: tuple[str, ...]) -> Belief:
        of, now = self.archive, len(self.customers)
        one, other = of.listed(ours, self.number), of.listed(theirs, self.number)
        then = len(of.of_round[int(theirs.split(maxsplit=1)[0])])
        turnover = 1 - len(one & other) / len(one)
        refit = Refit(turnover, now, self._skill(ours), then, changed)
        recent = self.customers[self.customers["at"] >= self.holdout["at"].min()]
        did = advantage(recent, of.said[ours], of.said[theirs], "nrr", Outcome()).gain(PURSUED)
        return Belief.of(refit, prior(refit), did, int(recent["matured"].sum()))

    def _skill(self, version: str) -> float:
        ripe = self.customers[self.customers["matured"]]
        return skill(ripe, self.archive.said[version]).z

    @property
    def truth(self) -> float:
        """By how many points the challenger is truly better in the market of the round."""
        worth = self.archive.worth
        return worth(self.challenger, self.number) - worth(self.champion, self.number)

    @cached_property
    def past(self) -> ChangedOutcomes:
        """How outcomes read now that had matured when the champion was trained."""
        then = self.archive.of_round[int(self.champion.split()[0])]
        known = then.loc[then["matured"].to_numpy(dtype=bool), "nrr"]
        now = self.customers.loc[self.customers["matured"].to_numpy(dtype=bool), "nrr"]
        recipe = Recipe((), (), Outcome(), Learning())
        return Learned(recipe, len(then), known).changed_outcomes(now)


def always(_contest: Contest) -> bool:
    return True


def never(_contest: Contest) -> bool:
    return False


def oracle(contest: Contest) -> bool:
    return contest.truth > 0


def ahead(contest: Contest) -> bool:
    return contest.comparison.uplift.estimate > 0


def bootstrap(contest: Contest, level: float) -> bool:
    return contest.comparison.uplift.ahead >= 1 - level


def correlation(contest: Contest, z: float) -> bool:
    """The t-statistic of score difference x outcome, as in the literature on paired uplift."""
    judged, said = contest.holdout, contest.archive.said
    ours, theirs = (
        (s - s.mean()) / s.std(ddof=0)
        for s in (said.loc[judged.index, name] for name in (contest.challenger, contest.champion))
    )
    nrr = judged["nrr"].clip(upper=WINSORISED_AT)
    product = (ours - theirs) * (nrr - nrr.mean())
    spread = float(product.std())
    return spread > 0 and float(product.mean()) / spread * np.sqrt(len(product)) > z


def gate(contest: Contest, policy: GatePolicy, *, keeps_outcomes: bool = False) -> bool:
    """The product's verdict; with `keeps_outcomes` also its look at outcomes that changed."""
    if keeps_outcomes and contest.past.share > policy.max_changed_outcomes:
        return False
    return decide(contest.comparison, policy).verdict == "PROMOTE"


def without_control(contest: Contest) -> bool:
    """`balanced` without the control arm: another recipe has no prior."""
    if contest.control is None:
        return gate(contest, GatePolicy())
    bare = replace(contest, control=None)
    belief = bare._step(contest.challenger, contest.champion, ("the recipe",))
    return decide(replace(bare.compared(bare.holdout), belief=belief), GatePolicy()).verdict == (
        "PROMOTE"
    )


Rule = Callable[[Contest], bool]
RULES: dict[str, Rule] = {
    "never": never,
    "always": always,
    "ahead on the holdout": ahead,
    "paired bootstrap, 5%": partial(bootstrap, level=0.05),
    "correlation z, 20%": partial(correlation, z=0.842),
    "icploop, balanced": partial(gate, policy=GatePolicy()),
    "icploop, balanced, outcomes kept": partial(gate, policy=GatePolicy(), keeps_outcomes=True),
    "icploop, balanced, no control arm": without_control,
    "icploop, balanced, may disagree": partial(gate, policy=GatePolicy(holdout="may_disagree")),
    "icploop, careful": partial(gate, policy=GatePolicy(preset="careful")),
    "icploop, fresh": partial(gate, policy=GatePolicy(preset="fresh")),
    "icploop, strict": partial(gate, policy=GatePolicy(preset="strict")),
}
DEFAULT = "icploop, balanced"


# --- years of rounds ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """What happens in the rounds of a company: which way each challenger is learned."""

    corrupted: float = 0.0
    judged_on_mixed: bool = False
    recipe: str = CLEAN
    later: str = CLEAN
    shifts: bool = False

    def ways(self, rounds: int, rng: np.random.Generator) -> list[str]:
        """The way in which each round learns; the first is sound."""
        turn = rounds // 2
        ways = [self.recipe if number < turn else self.later for number in range(rounds)]
        for number in range(1, rounds):
            if rng.random() < self.corrupted:
                ways[number] = CORRUPTED
        return ways


SCENARIOS = {
    "clean": Scenario(),
    "a fifth corrupted": Scenario(corrupted=_CORRUPTED_SHARE),
    "judged on corrupted": Scenario(corrupted=_CORRUPTED_SHARE, judged_on_mixed=True),
    "market shift": Scenario(shifts=True),
    "a worse recipe": Scenario(later=POOR),
    "a better recipe": Scenario(recipe=POOR),
}


def years(known: list[Archive]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What came of each rule in each company and scenario, and what the default stated.

    The first has a row for each: regret, promotions, harmful, turned (share of the list a round).
    The second has one for each of the default's rounds: stated (probability), gain, truth,
    promoted, unusual.
    """
    rows, stated = [], []
    for archive in known:
        fought: dict[tuple[object, ...], Contest] = {}
        for name, scenario in SCENARIOS.items():
            if scenario.shifts != archive.shifts:
                continue
            ways = scenario.ways(archive.rounds, np.random.default_rng(archive.seed))
            best = [worth for worth, _ in _lived(archive, scenario, ways, oracle, fought)]
            for rule_name, rule in RULES.items():
                if archive.shifts and rule_name.endswith("control arm"):
                    continue
                lived = list(_lived(archive, scenario, ways, rule, fought))
                contests = [contest for _, contest in lived]
                promoted = [rule(contest) for contest in contests]
                rows.append(
                    {
                        "family": archive.family,
                        "seed": archive.seed,
                        "scenario": name,
                        "rule": rule_name,
                        "regret": float(np.mean(np.subtract(best, [w for w, _ in lived]))),
                        "promotions": sum(promoted),
                        "harmful": sum(
                            p and c.truth < _HARMFUL
                            for p, c in zip(promoted, contests, strict=True)
                        ),
                        "turned": float(
                            np.mean(
                                [
                                    p * c.belief.refit.turnover
                                    for p, c in zip(promoted, contests, strict=True)
                                ]
                            )
                        ),
                    }
                )
                if rule_name == DEFAULT:
                    stated += [
                        {
                            "family": archive.family,
                            "scenario": name,
                            "way": contest.challenger.split()[1],
                            "stated": contest.belief.probability_better,
                            "gain": contest.belief.gain,
                            "truth": contest.truth,
                            "promoted": p,
                            "unusual": contest.belief.refit.is_unusual,
                            "customers": contest.belief.evidence.points,
                            "turnover": contest.belief.refit.turnover,
                            "ordinary": contest.belief.refit.ordinary_turnover,
                            "growth": contest.belief.refit.growth,
                        }
                        for p, contest in zip(promoted, contests, strict=True)
                    ]
    return pd.DataFrame(rows), pd.DataFrame(stated)


def _lived(
    archive: Archive,
    scenario: Scenario,
    ways: list[str],
    rule: Rule,
    fought: dict[tuple[object, ...], Contest],
) -> Iterator[tuple[float, Contest]]:
    """What is pursued is worth after each round, and the contest of the round."""
    champion = f"0 {ways[0]}"
    for number in range(1, archive.rounds):
        way = ways[number]
        recipe = POOR if POOR in champion else CLEAN
        ours = POOR if way == POOR else CLEAN
        control = f"{number} {recipe}" if recipe != ours else None
        mixed = scenario.judged_on_mixed and way == CORRUPTED
        key = (number, way, champion, control, mixed)
        contest = fought.setdefault(
            key, Contest(archive, number, f"{number} {way}", champion, control, mixed)
        )
        if rule(contest):
            champion = contest.challenger
        yield archive.worth(champion, number), contest


# --- null and power -------------------------------------------------------------------------------


def _kind(difference: float) -> str | None:
    if abs(difference) < 0.25:
        return "equal"
    if 3.5 <= difference <= 7:
        return "better by 3.5 to 7"
    return "worse by 2 to 5" if -5 <= difference <= -2 else None


def passes(known: list[Archive], draws: int = 60) -> pd.DataFrame:
    """How often `balanced` promotes versions of known worth, by kind, customers and kind of round.

    Versions of one company meet on so many matured customers of its last round, and two thirds as
    many younger ones.
    """
    rows = []
    for archive in (a for a in known if not a.shifts):
        rng = np.random.default_rng(archive.seed)
        last = archive.rounds - 1
        names = [name for name in archive.said if name.split()[1] in (CLEAN, CORRUPTED, POOR)]
        worth = {name: archive.worth(name, last) for name in names}
        pairs: dict[str, list[tuple[str, str]]] = {}
        for one in names:
            for other in names:
                kind = _kind(worth[one] - worth[other])
                if one != other and kind:
                    pairs.setdefault(kind, []).append((one, other))
        customers = archive.of_round[last]
        ripe = customers["matured"].to_numpy(dtype=bool)
        for kind, found in pairs.items():
            for size in (60, 150, 400):
                if ripe.sum() < size:
                    continue
                for place in rng.integers(len(found), size=max(1, draws // len(known) + 1)):
                    ours, theirs = found[int(place)]
                    judged = customers[ripe].iloc[rng.permutation(int(ripe.sum()))[:size]]
                    young = customers[~ripe].iloc[
                        rng.permutation(int((~ripe).sum()))[: round(size * 2 / 3)]
                    ]
                    recent = pd.concat([judged, young])
                    contest = Contest(archive, last, ours, theirs)
                    compared = contest.compared(judged, 200)
                    did = advantage(
                        recent, archive.said[ours], archive.said[theirs], "nrr", Outcome()
                    ).gain(PURSUED)
                    shown = skill(judged, archive.said[ours]).z
                    one, other = archive.listed(ours, last), archive.listed(theirs, last)
                    turned = 1 - len(one & other) / len(one)
                    for round_is, changed in (("another recipe", ("the recipe",)), ("a refit", ())):
                        refit = Refit(turned, 341, shown, 300, changed)
                        belief = Belief.of(refit, prior(refit), did, size)
                        ruling = decide(replace(compared, belief=belief), GatePolicy())
                        rows.append((round_is, kind, size, ruling.verdict == "PROMOTE"))
    table = pd.DataFrame(rows, columns=["round", "challenger", "matured", "promoted"])
    grouped = table.groupby(["round", "challenger", "matured"], sort=False)["promoted"]
    return grouped.agg(["mean", "size"]).reset_index()


# --- first verdicts -------------------------------------------------------------------------------


def firsts(known: list[Archive]) -> pd.DataFrame:
    """A row for each version as if it were the first: what was stated, and what is true."""
    rows = []
    for archive in known:
        for name in archive.said:
            number, way = int(name.split()[0]), name.split()[1]
            if way not in (CLEAN, NOISE):
                continue
            contest = Contest(archive, number, name, f"{number} {AVERAGE}")
            customers = contest.customers
            ripe = customers[customers["matured"]]
            shown = skill(ripe, archive.said[name])
            refit = Refit(0.0, len(customers), shown.z)
            did = advantage(
                customers, archive.said[name], archive.said[contest.champion], "nrr", Outcome()
            ).gain(PURSUED)
            belief = Belief.of(refit, first_prior(refit), did, len(ripe))
            compared = replace(contest.compared(ripe, 1000), belief=belief)
            found, truth = compared.uplift, contest.truth
            rows.append(
                {
                    "family": archive.family,
                    "seed": archive.seed,
                    "way": way,
                    "matured": len(ripe),
                    "skill_z": shown.z,
                    "truth": truth,
                    "stated": belief.probability_better,
                    "gain": belief.gain,
                    "customers": did.points,
                    "error": did.error,
                    "uplift": 100 * found.estimate,
                    "uplift_error": 100 * found.standard_error,
                    "promoted": decide(compared, GatePolicy()).verdict == "PROMOTE",
                    "covered": 100 * found.low <= truth <= 100 * found.high,
                }
            )
    return pd.DataFrame(rows)


def by_tenths(stated: pd.DataFrame) -> pd.DataFrame:
    """Stated probability and gain against the truth, by tenths of the probability."""
    tenth = (stated["stated"] * 10).clip(upper=9).astype(int)
    grouped = stated.assign(better=stated["truth"] > 0).groupby(tenth)
    return grouped.agg(
        rounds=("stated", "size"),
        stated=("stated", "mean"),
        true=("better", "mean"),
        gain=("gain", "mean"),
        true_gain=("truth", "mean"),
    )


def summary(lived: pd.DataFrame) -> pd.DataFrame:
    """The means of companies, with paired errors of regret against the default."""
    keys = ["family", "seed", "scenario"]
    default = lived[lived["rule"] == DEFAULT].set_index(keys)["regret"]
    paired = lived["regret"] - default.reindex(lived[keys]).to_numpy()
    grouped = lived.assign(paired=paired).groupby(["rule", "scenario"], sort=False)
    return grouped.agg(
        regret=("regret", "mean"),
        error=("regret", "sem"),
        against_default=("paired", "mean"),
        paired_error=("paired", "sem"),
        promotions=("promotions", "mean"),
        harmful=("harmful", "mean"),
        turned=("turned", "mean"),
        companies=("regret", "size"),
    ).reset_index()


def main(learner: str = "product", companies: str = "4", only_kept: str = "") -> None:
    """Measure, print, and keep the tables."""
    known = list(archives(learner, int(companies), only_kept=bool(only_kept)))
    print(f"{len(known)} histories, learner {learner}", flush=True)
    with threadpool_limits(1):
        lived, stated = years(known)
        first = firsts(known)
        power = passes(known)
    table = summary(lived)
    _keep(table, f"gate-years-{learner}")
    print(table.pivot_table("regret", "rule", "scenario", sort=False).round(2).to_string())
    print(table.pivot_table("harmful", "rule", "scenario", sort=False).round(2).to_string())
    for family, rows in lived.groupby("family"):
        print(family, summary(rows).pivot_table("regret", "rule", "scenario", sort=False).round(2))
    _keep(by_tenths(stated).reset_index(drop=True), f"gate-stated-{learner}")
    print(by_tenths(stated).round(2).to_string())
    _keep(power, f"gate-power-{learner}")
    print(power.round(2).to_string())
    size = pd.cut(first["matured"], [0, 100, 250, 1000], labels=["60", "150", "400"])
    grouped = first.assign(size=size, better=first["truth"] > 0).groupby(
        ["way", "size"], observed=True
    )
    table = grouped.agg(
        n=("truth", "size"),
        promoted=("promoted", "mean"),
        better=("better", "mean"),
        stated=("stated", "mean"),
        gain=("gain", "mean"),
        truth=("truth", "mean"),
        covered=("covered", "mean"),
    ).reset_index()
    _keep(table, f"gate-first-{learner}")
    print(table.round(2).to_string())
    first.to_csv(RESULTS.parent / "cache" / f"first-{learner}.csv")
    stated.to_csv(RESULTS.parent / "cache" / f"stated-{learner}.csv")


def _keep(table: pd.DataFrame, name: str) -> None:
    table.round(3).to_csv(RESULTS / f"{name}.csv", index=False)


if __name__ == "__main__":
    main(*sys.argv[1:4])
