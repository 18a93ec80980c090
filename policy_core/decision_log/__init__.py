"""The decision log's format: lines, segments, the chain through them, and what proves that nothing is missing. Pure.

A host writes one *chain* of records into numbered *segments* (JSON lines). Every line but the last of a segment goes
into one running SHA-256, so that none can be changed, moved, added or taken away unseen; checkpoints sign it with the
host's key. docs/reference/decision-log.md is the contract.
"""
