"""The decision log on this host: records that are written before a reply leaves, in a chain of segment files.

`spool` writes them, whatever process they come from; `files` and `head` are what it stands on, `recovery` is what it
does after a crash. `records` spells decisions, `log` is what the decision API writes to. docs/reference/decision-log.md
is the contract, `policy_core.decision_log` the format.
"""
