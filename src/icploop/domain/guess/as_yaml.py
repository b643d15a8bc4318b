"""The settings of a plan as the files that a person edits: each guess with its reason beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import yaml

from icploop.domain.guess.plan import Plan, TablePlan, Word
from icploop.settings import DIMENSIONS, TABLES

_WIDEST = 46


def source_text(plan: Plan, folder: str) -> str:
    """`conf/sources/files.yaml`; `folder` is where the exports lie, seen from the home."""
    lines = [
        "# Written by `icp init --from`: each line is a guess, and its reason stands beside it.",
        "# Read it once from top to bottom, and mend what is wrong; docs/your-data.md says how.",
        *_listed("# Look at these first:", plan.unsure),
        *_listed("# Not used:", [f"{name}: {why}" for name, why in sorted(plan.unused.items())]),
        "kind: files",
        *_beside(
            f"folder: {_scalar(folder)}", "the files stay there: the next exports go there too"
        ),
        *_beside("mode: full", "exports are whole: what is no longer in them is gone"),
        *_dialects(plan),
        "tables:",
    ]
    for name in TABLES:
        if name in plan.tables:
            lines += _table(plan.tables[name])
    return "\n".join(lines) + "\n"


def settings_text(plan: Plan, starter: str, company: str) -> str:
    """`conf/icp.yaml`: the starter's, with the company's currency, attributes and aliases."""
    text = re.sub(r"(?m)^company: .*$", lambda _: f"company: {_scalar(company)}", starter)
    currency = "\n".join(
        [
            *_beside(f"currency: {plan.currency}", plan.currency_why),
            *_other_currencies(plan),
        ]
    )
    text = re.sub(r"(?m)^currency: .*$", lambda _: currency, text)
    begin = text.index("# The attributes of an account")
    end = text.index("# When to retrain")
    text = text[:begin] + "\n".join(_dimensions(plan)) + "\n\n" + text[end:]
    if plan.aliases:
        aliases = ", ".join(f"{_scalar(old)}: {_scalar(new)}" for old, new in plan.aliases.items())
        text = re.sub(
            r"(?m)^# identity:\n#   aliases: .*\n(#   merge_duplicates: .*\n)",
            lambda found: (
                "# Ids of accounts that were merged, and that deals or bills still name.\n"
                f"identity:\n  aliases: {{{aliases}}}\n{found[1]}"
            ),
            text,
        )
    return text


def _other_currencies(plan: Plan) -> list[str]:
    if not plan.other_currencies:
        return []
    rates = ", ".join(f"{code}: ?" for code in plan.other_currencies)
    return [
        "# Money in other currencies waits in quarantine until you say what a unit of it is worth",
        f"# in {plan.currency}: currencies: {{{rates}}}",
    ]


def _dimensions(plan: Plan) -> Iterator[str]:
    yield "# The attributes of an account, by dimension. Only what is declared is learned from."
    yield "# Kinds: category (one word), number, flag (yes, no), set (a|b|c), date (its age)."
    yield "# Dimensions and kinds are guesses; take out what is not known before the sale."
    yield "dimensions:"
    for dimension in DIMENSIONS:
        own = [one for one in plan.attributes if one.dimension == dimension]
        if not own:
            continue
        yield f"  {dimension}:"
        for one in own:
            named = "" if one.name == one.column else f"`{one.column}`: "
            yield from _beside(f"    {_scalar(one.name)}: {one.kind}", f"{named}{one.why}")
    if plan.left_out:
        yield "# Left out, with the reason:"
        for left in plan.left_out:
            yield from _wrapped(f"#   {_in_a_line(left.column)}: {left.why}")


def _table(made: TablePlan) -> Iterator[str]:
    yield f"  {made.table}:"
    for note in made.notes:
        yield from _wrapped(f"    # {note}")
    yield from _rows(made)
    renamed = [one for one in made.columns if one.ours != one.theirs or one.why]
    if renamed:
        yield "    columns:"
        for one in renamed:
            yield from _beside(f"      {_scalar(one.ours)}: {_scalar(one.theirs)}", one.why)
    if any(made.words.values()):
        yield "    values:"
        for column, words in made.words.items():
            yield from _words(column, words)
    for key, formats in (("dates", made.dates), ("numbers", made.numbers)):
        if formats:
            yield f"    {key}:"
            yield from (f"      {_scalar(ours)}: {_quoted(one)}" for ours, one in formats.items())
    for key, value, why in made.stated:
        yield from _beside(f"    {key}: {value}", why)


def _rows(made: TablePlan) -> Iterator[str]:
    if made.query:
        yield "    query: |"
        yield from (f"      {line}" for line in made.query.splitlines())
        return
    file, _, sheet = made.file.partition("/")
    yield f"    file: {_scalar(file)}"
    if sheet:
        yield f"    sheet: {_scalar(sheet)}"


def _words(column: str, words: Sequence[Word]) -> Iterator[str]:
    known = [word for word in words if word.ours is not None]
    unclear = [word for word in words if word.ours is None]
    if not known:
        yield f"      {_scalar(column)}: {{}}"
    else:
        yield f"      {_scalar(column)}:"
        for word in known:
            ours = word.ours if not word.ours or not word.ours.isdigit() else f'"{word.ours}"'
            ours = f'"{ours}"' if ours in ("yes", "no") else ours
            yield from _beside(f"        {_scalar(word.theirs)}: {ours}", word.why)
    if unclear:
        yield "        # UNCLEAR: say won, lost or open, and take the # away"
        for word in unclear:
            yield f"        # {_scalar(word.theirs)}: ?  # {word.why}"


def _dialects(plan: Plan) -> Iterator[str]:
    used = {made.file for made in plan.tables.values()} | set(plan.exports)
    stated = {name: plan.exports[name].dialect for name in sorted(used) if name in plan.exports}
    if not any(stated.values()):
        return
    yield "dialects:"
    for name, dialect in stated.items():
        if dialect:
            inside = ", ".join(f"{key}: {_quoted(value)}" for key, value in dialect.items())
            yield f"  {_scalar(name)}: {{{inside}}}"


def _listed(head: str, items: Iterable[str]) -> Iterator[str]:
    told = list(items)
    if told:
        yield head
        for item in told:
            yield from _wrapped(f"#   - {item}")


def _beside(line: str, why: str) -> Iterator[str]:
    """A line with its reason behind it, or above it where both are long."""
    if not why:
        yield line
    elif len(line) + len(why) <= 118:
        yield f"{line.ljust(_WIDEST)}  # {_in_a_line(why)}"
    else:
        indent = line[: len(line) - len(line.lstrip())]
        yield from _wrapped(f"{indent}# {why}")
        yield line


def _wrapped(comment: str) -> Iterator[str]:
    """A comment in lines that fit, each of which is one."""
    text = _in_a_line(comment)
    indent = text[: text.index("#")]
    inner = re.match(r"#\s*(?:- )?", text.lstrip())
    hang = " " * (len(inner[0]) - 1) if inner else " "
    width, line = 100, ""
    first = True
    for word in text.lstrip().split(" "):
        if line and len(indent) + len(line) + 1 + len(word) > width:
            yield indent + line
            line, first = f"#{hang}{word}", False
        else:
            line = f"{line} {word}" if line or not first else word
    yield indent + line


def _in_a_line(text: str) -> str:
    return re.sub(r"[\r\n\x85\u2028\u2029]+", " ", text)


def _scalar(value: str) -> str:
    """A text as YAML writes it within a mapping, on one line."""
    shown = yaml.safe_dump([value], allow_unicode=True, width=10**6, default_flow_style=True)
    return shown.strip()[1:-1]


def _quoted(value: str) -> str:
    return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=10**6).strip()
