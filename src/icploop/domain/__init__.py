"""Pure rules of the field: tables, calendar, outcomes, trigger, gate, profile, tiers, ledger."""
