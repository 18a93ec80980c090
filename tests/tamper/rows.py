"""The rows of the tamper matrix, in the order of the page."""

from tamper import (
    rows_channel,
    rows_host,
    rows_network,
    rows_oncall,
    rows_online,
    rows_people,
    rows_root,
    rows_store,
)

MODULES = (rows_store, rows_network, rows_online, rows_channel, rows_oncall, rows_root, rows_people, rows_host)
ATTACKS = [row for module in MODULES for row in module.ROWS]
