"""The decision log on this host: records that are written before a reply leaves, in a chain of segment files.

`log` is what the decision API writes to: `records` spells decisions, `spool` appends them, whatever process they come
from, and `committing` lets replies wait for the disk. In a spool, `writing` is what happens at the end of the log,
`recovery` what is done there after a crash, `syncing` makes it durable, and `shedding` gives up the oldest for lack of
room; `scribe`, `files` and `head` are what they stand on. `shipper` and `shipping` bring finished segments to a store.
docs/reference/decision-log.md is the contract, `policy_core.decision_log` the format.
"""
