"""The accounts that could buy: what is true of them, and what of it anybody wrote down.

The simulated company sells compliance automation. A market frame has one row per account with its
true attribute values, no gaps; the members of a set are columns of their own, `tech=okta`.
`recorded` turns it into what a CRM would hold.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

ATTRIBUTES: dict[str, dict[str, str]] = {
    "firmographic": {
        "employees": "number",
        "annual_revenue": "number",
        "industry": "category",
        "region": "category",
        "funding_stage": "category",
        "founded_year": "number",
        "fiscal_year_end": "category",
    },
    "technographic": {
        "tech": "set",
        "crm": "category",
        "cloud": "category",
        "engineers_share": "number",
        "website_languages": "number",
    },
    "use_case": {
        "primary_use_case": "category",
        "frameworks": "set",
        "team_size_using": "number",
        "multi_entity": "flag",
    },
    "trigger_event": {
        "recent_funding_at": "date",
        "hired_vp_compliance": "flag",
        "new_regulation": "flag",
        "triggers": "set",
    },
    "decision_authority": {
        "economic_buyer": "category",
        "champion_identified": "flag",
        "buying_committee_size": "number",
        "procurement_involved": "flag",
    },
    "pain_proof": {
        "pains": "set",
        "current_solution": "category",
        "manual_hours_per_week": "number",
        "failed_audits": "number",
    },
}
KINDS = {name: kind for attributes in ATTRIBUTES.values() for name, kind in attributes.items()}

# No truth ever depends on these: whoever finds an effect of them has found chance.
NEVER_MATTER = ("founded_year", "fiscal_year_end", "website_languages", "procurement_involved")

# level: share among accounts of average size, tilt with size, tilt with the Microsoft stack
CATEGORIES: dict[str, dict[str, tuple[float, float, float]]] = {
    "industry": {
        "Software": (0.19, -0.3, -0.6),
        "Financial services": (0.15, 0.5, 0.3),
        "Healthcare": (0.13, 0.2, 0.3),
        "Professional services": (0.12, -0.3, 0.2),
        "Manufacturing": (0.10, 0.5, 0.6),
        "Retail": (0.09, 0.0, 0.0),
        "Logistics": (0.08, 0.2, 0.3),
        "Education": (0.06, -0.1, 0.0),
        "Media": (0.05, -0.4, -0.7),
        "Energy": (0.03, 0.6, 0.5),
    },
    "region": {
        "North America": (0.38, 0.0, 0.0),
        "UK & Ireland": (0.19, 0.0, 0.0),
        "DACH": (0.16, 0.2, 0.5),
        "Benelux & France": (0.12, 0.0, 0.2),
        "Nordics": (0.09, -0.1, -0.3),
        "APAC": (0.06, 0.2, 0.0),
    },
    "funding_stage": {
        "Bootstrapped": (0.26, -1.3, 0.2),
        "Seed": (0.14, -1.8, -0.3),
        "Series A": (0.20, -0.7, -0.3),
        "Series B": (0.16, 0.2, -0.1),
        "Series C+": (0.10, 1.1, -0.1),
        "Private equity": (0.09, 1.2, 0.5),
        "Public": (0.05, 2.7, 0.5),
    },
    "fiscal_year_end": {
        "December": (0.62, 0.0, 0.0),
        "March": (0.15, 0.0, 0.0),
        "June": (0.13, 0.0, 0.0),
        "September": (0.10, 0.0, 0.0),
    },
    "crm": {
        "HubSpot": (0.36, -0.7, -0.3),
        "Salesforce": (0.32, 0.8, 0.0),
        "Pipedrive": (0.14, -1.2, 0.0),
        "Dynamics 365": (0.12, 0.6, 1.8),
        "Zoho": (0.06, -0.4, 0.0),
    },
    "cloud": {
        "AWS": (0.42, 0.2, -0.9),
        "Azure": (0.30, 0.3, 1.7),
        "Google Cloud": (0.17, -0.1, -1.2),
        "On premises": (0.11, 0.5, 0.6),
    },
    "primary_use_case": {
        "SOC 2 readiness": (0.32, -0.7, -0.4),
        "ISO 27001": (0.23, 0.2, 0.3),
        "Vendor risk": (0.16, 0.8, 0.0),
        "Privacy": (0.13, 0.0, 0.2),
        "Audit automation": (0.10, 0.6, 0.2),
        "Policy management": (0.06, 0.0, 0.0),
    },
    "economic_buyer": {
        "CTO": (0.28, -0.4, -0.3),
        "CISO": (0.21, 0.9, 0.0),
        "Founder": (0.18, -1.9, 0.0),
        "CFO": (0.14, 0.3, 0.2),
        "Head of Compliance": (0.12, 0.6, 0.2),
        "COO": (0.07, 0.0, 0.0),
    },
    "current_solution": {
        "Spreadsheets": (0.40, -0.6, 0.2),
        "Consultants": (0.20, 0.2, 0.0),
        "Competitor": (0.17, 0.3, 0.0),
        "In-house tool": (0.13, 0.6, -0.3),
        "Nothing": (0.10, -0.9, 0.0),
    },
}

# member: share, tilt with size, with digital maturity, with the Microsoft stack
SETS: dict[str, dict[str, tuple[float, float, float, float]]] = {
    "tech": {
        "okta": (0.34, 0.9, 1.4, -1.2),
        "azure_ad": (0.38, 0.6, -0.3, 2.3),
        "microsoft_365": (0.55, 0.2, -0.6, 2.1),
        "google_workspace": (0.45, -0.6, 0.6, -2.1),
        "slack": (0.52, 0.0, 1.2, -1.0),
        "teams": (0.46, 0.5, -0.4, 2.0),
        "github": (0.50, 0.0, 1.4, -0.4),
        "gitlab": (0.18, 0.3, 0.6, 0.0),
        "jira": (0.51, 0.8, 0.6, 0.0),
        "confluence": (0.40, 0.8, 0.6, 0.0),
        "notion": (0.25, -1.0, 1.1, -0.7),
        "servicenow": (0.12, 2.0, -0.3, 0.6),
        "workday": (0.14, 1.8, 0.0, 0.2),
        "bamboohr": (0.22, -0.6, 0.5, -0.1),
        "netsuite": (0.20, 0.8, 0.0, 0.0),
        "snowflake": (0.22, 0.9, 1.5, 0.0),
        "datadog": (0.27, 0.5, 1.5, -0.4),
        "crowdstrike": (0.25, 1.2, 0.6, 0.2),
        "jamf": (0.17, 0.2, 0.9, -1.3),
        "intune": (0.28, 0.5, -0.1, 1.8),
    },
    "frameworks": {
        "soc2": (0.55, -0.3, 0.5, 0.0),
        "iso27001": (0.45, 0.3, 0.0, 0.3),
        "gdpr": (0.50, 0.0, 0.0, 0.2),
        "hipaa": (0.18, 0.2, 0.0, 0.2),
        "pci_dss": (0.20, 0.5, 0.0, 0.0),
        "nis2": (0.15, 0.8, 0.0, 0.3),
    },
    "triggers": {
        "customer_questionnaire": (0.42, -0.4, 0.3, 0.0),
        "failed_vendor_review": (0.20, 0.0, 0.0, 0.0),
        "breach_in_industry": (0.22, 0.3, 0.0, 0.0),
        "enterprise_deal_blocked": (0.30, -0.6, 0.5, 0.0),
        "ipo_plans": (0.10, 1.2, 0.3, 0.0),
        "merger": (0.12, 1.1, 0.0, 0.2),
    },
    "pains": {
        "evidence_collection": (0.50, 0.0, 0.3, 0.0),
        "audit_delays": (0.32, 0.5, 0.0, 0.0),
        "access_reviews": (0.34, 0.8, 0.0, 0.2),
        "vendor_questionnaires": (0.40, -0.1, 0.3, 0.0),
        "policy_sprawl": (0.18, 0.6, -0.3, 0.2),
        "staff_turnover": (0.15, 0.0, 0.0, 0.0),
    },
}

# flag: share, tilt with size, with digital maturity
FLAGS: dict[str, tuple[float, float, float]] = {
    "multi_entity": (0.30, 0.9, 0.0),
    "hired_vp_compliance": (0.20, 0.6, 0.0),
    "new_regulation": (0.35, 0.0, 0.0),
    "champion_identified": (0.45, 0.0, 0.3),
    "procurement_involved": (0.40, 0.0, 0.0),
}

# Gaps of each attribute relative to the average one, from well kept to neglected.
_GAP_RATES = {name: 0.3 + 1.4 * (3 * place % 7) / 6 for place, name in enumerate(KINDS)}
_DAYS_BETWEEN_ROUNDS = 420
_TOOL_ADDED = 0.03  # chance of each tool, by the time an account is seen again

_FIRST = (
    "Alder Amber Apex Arbor Aster Atlas Beacon Birch Bright Calder Cedar Cobalt Copper Crest "
    "Delta Drift Echo Ember Fable Falcon Fern Flint Garnet Granite Harbor Hazel Helio Indigo "
    "Iron Juniper Kestrel Lark Linden Lumen Maple Meridian Mosaic Nimbus North Oak Onyx Opal "
    "Orchard Pioneer Quartz Raven River Rowan Sable Silver Sparrow Summit Thistle Timber Umber "
    "Vale Vector Willow Wren Zephyr"
)
_SECOND = (
    "bank bridge brook cast craft crest dale field forge gate grid hill lake land light line "
    "mark mill path point port ridge shore span spring stone stream track view ward wave way "
    "well wick wood works yard"
)
_LAST = (
    "Systems Labs Group Health Logistics Partners Capital Software Energy Networks Retail "
    "Analytics Media Industries Services Foods Mobility Technologies"
)


def draw_market(rng: np.random.Generator, first_seen: pd.DatetimeIndex) -> pd.DataFrame:
    """Draw accounts with their true attribute values, one for each day of first sight.

    Size, digital maturity and the choice between the Microsoft stack and its rivals run through
    all of them, so that attributes are as correlated as in a real market.
    """
    count = len(first_seen)
    size, maturity, microsoft = rng.normal(size=(3, count))
    columns: dict[str, object] = dict(_numbers(rng, size, maturity))
    for name, levels in CATEGORIES.items():
        columns[name] = _one_level_each(rng, levels, size, microsoft)
    for name, members in SETS.items():
        for member, (share, by_size, by_maturity, by_microsoft) in members.items():
            leaning = by_size * size + by_maturity * maturity + by_microsoft * microsoft
            columns[f"{name}={member}"] = _happens(rng, share, leaning)
    for name, (share, by_size, by_maturity) in FLAGS.items():
        columns[name] = _happens(rng, share, by_size * size + by_maturity * maturity)
    market = pd.DataFrame(columns)
    market["recent_funding_at"] = _last_funding(rng, market, first_seen)
    return market


def later_values(
    rng: np.random.Generator,
    market: pd.DataFrame,
    friction: Floats,
    first_seen: pd.DatetimeIndex,
    seen: pd.DatetimeIndex,
) -> pd.DataFrame:
    """The same accounts some months on: grown or shrunk, with new tools and new investors.

    Accounts that the hidden friction spares grow most. A feature that takes these values for those
    of the day of the sale therefore sees the future.
    """
    later = market.copy()
    growth = np.exp(-0.25 * friction + rng.normal(0, 0.2, len(market)))
    for name in ("employees", "annual_revenue", "team_size_using"):
        later[name] = _readable(market[name].to_numpy(dtype=float) * growth)
    for member in SETS["tech"]:
        later[f"tech={member}"] |= rng.random(len(market)) < _TOOL_ADDED
    funded, before = _last_funding(rng, market, seen), market["recent_funding_at"].to_numpy()
    later["recent_funding_at"] = np.where(funded > first_seen, funded, before)
    return later


def recorded(rng: np.random.Generator, market: pd.DataFrame, missing: Floats) -> pd.DataFrame:
    """What a CRM holds of a market: sets as `a|b|c`, and gaps.

    A share `missing` of the values of each account is empty on average; some attributes have more
    gaps than others, and small companies have more than large ones.
    """
    neglect = 0.4 + 1.2 * market["employees"].rank(pct=True, ascending=False).to_numpy()
    columns = {}
    for name, kind in KINDS.items():
        values = _as_text(market, name) if kind == "set" else market[name]
        if kind == "flag":
            values = values.astype("boolean")
        gaps = rng.random(len(market)) < missing * _GAP_RATES[name] * neglect
        columns[name] = values.mask(gaps)
    texts = [*CATEGORIES, *SETS]
    return pd.DataFrame(columns).astype(dict.fromkeys(texts, "str"))


def account_ids(places: npt.ArrayLike) -> pd.Series:
    """The ids of accounts by their place in the market."""
    numbers = pd.Series(np.asarray(places) + 1).astype("str")
    return "A" + numbers.str.zfill(6)


def company_names(rng: np.random.Generator, count: int) -> tuple[pd.Series, pd.Series]:
    """Made-up names, and web domains that are unique and can never exist."""
    parts = [np.array(words.split(), dtype=object) for words in (_FIRST, _SECOND, _LAST)]
    first, second, last = (words[rng.integers(len(words), size=count)] for words in parts)
    names = pd.Series(first + second + " " + last, dtype="str")
    repeat = names.groupby(names).cumcount()
    ending = ("-" + (repeat + 1).astype("str")).where(repeat > 0, "")
    return names, names.str.lower().str.replace(" ", "-") + ending + ".example"


def _one_level_each(
    rng: np.random.Generator,
    levels: dict[str, tuple[float, float, float]],
    size: Floats,
    microsoft: Floats,
) -> "pd.Categorical[str]":
    share, by_size, by_microsoft = np.array(list(levels.values())).T
    leaning = np.log(share) + np.outer(size, by_size) + np.outer(microsoft, by_microsoft)
    # The largest of the leanings with Gumbel noise is a draw from their softmax.
    chosen: npt.NDArray[np.intp] = np.argmax(leaning + rng.gumbel(size=leaning.shape), axis=1)
    return pd.Categorical.from_codes(chosen, categories=pd.Index(list(levels)))


def _happens(rng: np.random.Generator, share: float, leaning: Floats) -> Booleans:
    odds = share / (1 - share) * np.exp(leaning)
    return rng.random(len(leaning)) < odds / (1 + odds)


def _numbers(rng: np.random.Generator, size: Floats, maturity: Floats) -> dict[str, Floats]:
    count = len(size)

    def spread(of: float) -> Floats:
        return np.exp(rng.normal(0, of, count))

    employees = 180 * np.exp(1.25 * size)
    return {
        "employees": _readable(np.maximum(employees, 3)),
        "annual_revenue": _readable(140_000 * employees * spread(0.5)),
        "founded_year": 2021 - np.minimum(np.floor(12 * spread(0.8)), 120),
        "engineers_share": np.round(0.6 / (1 + np.exp(0.8 - 0.7 * maturity) * spread(0.7)), 2),
        "website_languages": 1 + rng.poisson(1.2, count).astype(float),
        "team_size_using": _readable(np.maximum(14 * np.exp(0.6 * size) * spread(0.7), 1)),
        "buying_committee_size": 2 + rng.poisson(np.exp(0.8 + 0.25 * size)).astype(float),
        "manual_hours_per_week": _readable(np.maximum(16 * np.exp(0.2 * size) * spread(0.8), 1)),
        "failed_audits": rng.poisson(np.exp(-0.1 + 0.15 * size - 0.3 * maturity)).astype(float),
    }


def _last_funding(
    rng: np.random.Generator, market: pd.DataFrame, seen: pd.DatetimeIndex
) -> pd.DatetimeIndex:
    """Day of the last funding round before an account was seen; none where nobody invested."""
    age = pd.to_timedelta(np.floor(rng.exponential(_DAYS_BETWEEN_ROUNDS, len(seen))), unit="D")
    return pd.DatetimeIndex((seen - age).where(market["funding_stage"] != "Bootstrapped"))


def _readable(values: Floats) -> Floats:
    """Whole numbers of two significant digits, as people state sizes."""
    digits = np.maximum(np.floor(np.log10(np.maximum(values, 1))) - 1, 0)
    return np.asarray(np.maximum(np.round(values / 10**digits) * 10**digits, 1))


def _as_text(market: pd.DataFrame, name: str) -> pd.Series:
    """The members of a set as one text `a|b|c`, empty (missing) where there are none."""
    text = np.full(len(market), "", dtype=object)
    for member in SETS[name]:
        text = np.where(market[f"{name}={member}"], text + f"|{member}", text)
    joined = pd.Series(text, index=market.index, dtype="str").str.removeprefix("|")
    return joined.mask(joined == "")
