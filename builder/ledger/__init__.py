"""The ledger: branch ``live/<channel>`` of the policy repository, one commit per release.

Each commit is a pure function of signed metadata and source, so that every clone derives the same ids and a lost branch
is no loss: the signed history in the store is the truth, the branch is how plain git answers "what was live when".
"""
