"""From a trial to a belief: what kind of round it is, and what customers did.

The rule itself is `icploop.domain.posterior`; here its numbers are read off lists and customers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from icploop.domain.posterior import Belief, Gain, Refit, first_prior, prior
from icploop.modeling.judging.advantage import advantage
from icploop.modeling.judging.trial import AVERAGE, CHALLENGER, CHAMPION, CONTROL, Trial
from icploop.modeling.scoring.learned import Recipe
from icploop.modeling.scoring.version import IcpVersion
from icploop.modeling.statistics.capacity import pursued
from icploop.settings import Settings

# What a version of before recipes were kept differs in, as far as anybody can tell.
_NOT_KEPT = "the way in which versions are kept"
# What the old recipe can be learned again without.
_REPEATABLE = {"attributes", "hypothesis", "learning"}


@dataclass(frozen=True)
class Lists:
    """What each of three ranks today's reference prospects by, on one index.

    `rival` and `control` are None where there is none.
    """

    challenger: pd.Series
    rival: pd.Series | None = None
    control: pd.Series | None = None


def changed_recipe(settings: Settings, champion: IcpVersion) -> tuple[str, ...]:
    """What differs in the recipe since the champion was learned."""
    if champion.learned is None:
        return (_NOT_KEPT,)
    return Recipe.of(settings).changed_since(champion.learned.recipe)


def wants_control(settings: Settings, champion: IcpVersion | None) -> Recipe | None:
    """The champion's recipe, where another one is tried and the old one can be learned again.

    Today's code cannot learn as older code did, nor another outcome than today's, and of `value`
    nothing is known before customers speak.
    """
    if champion is None or champion.learned is None or settings.objective == "value":
        return None
    changed = changed_recipe(settings, champion)
    return champion.learned.recipe if changed and set(changed) <= _REPEATABLE else None


def turnover(ours: pd.Series, theirs: pd.Series, capacity: float) -> float:
    """The share of the one's best capacity share of the prospects that is not in the other's."""
    chosen, others = (pursued(s, capacity).to_numpy() for s in (ours, theirs.loc[ours.index]))
    total = float(chosen.sum())
    return 1 - float(np.minimum(chosen, others).sum()) / total if total else 0.0


def believe(
    trial: Trial, lists: Lists, rival: str, settings: Settings, champion: IcpVersion | None
) -> Belief:
    """How probably the challenger is better than its rival, and what that rests on.

    `rival` names the column of `trial.scores` that it is judged against.
    """
    now, skill = len(trial.customers), trial.skill.z
    if champion is None:
        differs = 0.0
        if lists.rival is not None:
            differs = turnover(lists.challenger, lists.rival, trial.capacity)
        refit = Refit(differs, now, skill)
        usual = first_prior(refit, settings.objective)
        if rival != AVERAGE:
            # What first versions gain was measured against the average customer profile.
            usual = Gain(0.0, usual.error)
        return Belief.of(refit, usual, evidence(trial, CHALLENGER, rival, settings), _n(trial))
    ranked: dict[str, pd.Series | None] = {
        CHALLENGER: lists.challenger,
        CONTROL: lists.control,
        CHAMPION: lists.rival,
    }

    def step(ours: str, theirs: str, changed: tuple[str, ...]) -> Belief:
        one, other = ranked[ours], ranked[theirs]
        if one is None or other is None:
            raise ValueError(f"{ours} and {theirs} have to rank the prospects")
        differs = turnover(one, other, trial.capacity)
        refit = Refit(differs, now, skill, _learned_from(champion), changed)
        did = evidence(trial, ours, theirs, settings)
        return Belief.of(refit, prior(refit, settings.objective), did, _n(trial))

    changed = changed_recipe(settings, champion)
    if lists.control is None:
        return step(CHALLENGER, CHAMPION, changed)
    return step(CHALLENGER, CONTROL, changed).after(step(CONTROL, CHAMPION, ()))


def evidence(trial: Trial, ours: str, theirs: str, settings: Settings) -> Gain:
    """What customers did says of one score over another (columns of `trial.scores`)."""
    tell = trial.judged.loc[trial.holdout] if settings.objective == "value" else trial.telling
    found = advantage(
        tell, trial.scores[ours], trial.scores[theirs], settings.objective, settings.outcome
    )
    return found.gain(trial.capacity)


def _n(trial: Trial) -> int:
    return int(trial.telling["matured"].sum())


def _learned_from(champion: IcpVersion) -> int:
    return champion.learned.customers if champion.learned else len(champion.archived)
