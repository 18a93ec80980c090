"""The decision log on this host: records that are written before a reply leaves, in a chain of segment files.

`log` is what the decision API writes to: `records` spells decisions, `spool` appends them, whatever process they come
from, and `committing` lets replies wait for the disk. `scribe`, `files` and `head` are what the spool stands on,
`recovery` is what it does after a crash; `shipper` and `shipping` bring finished segments to a store.
docs/reference/decision-log.md is the contract, `policy_core.decision_log` the format.
"""
