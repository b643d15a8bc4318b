"""What refits ordinarily do: the constants of the gate's prior, in one place, with their source.

They come from simulated companies whose truth is known (29 of two families with a fast learner, 12
to 14 quarterly rounds each, and 20 with this fit model); `make bench-gate` measures what the rule
is worth with them (`docs/measured.md`). They are hashed with the policy: another constant is
another policy.
"""

from __future__ import annotations

from icploop.settings.base import Frozen


class Refits(Frozen):
    """What is known of refits before any outcome is looked at; gains are points of NRR.

    `turnover` is the share of the best capacity share of the prospects that changes with a refit,
    for the square root of the growth of data (the log of customers now over customers then;
    between companies .98 +- .19 of it). `least_turnover` is what counts as none. From
    `unusual_from` times the ordinary turnover on, something other than customers has changed: it
    holds for 3% of ordinary refits and 78% of those that learned from corrupted outcomes. `gain` is
    what a refit brings for the growth of data (3.1 +- 1.3 between companies), in proportion to its
    turnover up to `most_turnover` times the ordinary one. `spread` and `spread_squared` say how
    widely true gains scatter, for the turnover and for its square.

    `first_gain` and `first_spread` are those of a first version over the average customer profile:
    16 of 16 at 150 and 400 wins were better, by 3.7 to 12.4. They are taken low, so that of pure
    noise no more than one in three passes at 65% (a test simulates it).
    `evidence_error` is how much wider the error of what customers did is than their scatter says,
    because out-of-fold scores are not the version's own. `shown_skill` is the skill, in standard
    errors, from which on the whole prior counts: 5% of pure noise reaches it.
    """

    turnover: float = 0.42
    least_turnover: float = 0.02
    most_turnover: float = 1.5
    unusual_from: float = 2.0
    gain: float = 3.2
    spread: float = 4.0
    spread_squared: float = 12.0
    first_gain: float = 5.0
    first_spread: float = 4.0
    evidence_error: float = 1.5
    shown_skill: float = 1.645


REFITS = Refits()
