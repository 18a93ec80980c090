"""The rows of the tamper matrix, in the order of the page."""

from tamper import (
    rows_bundles,
    rows_channel,
    rows_files,
    rows_host,
    rows_network,
    rows_oncall,
    rows_online,
    rows_pending,
    rows_people,
    rows_publishers,
    rows_root,
    rows_store,
)

SECTIONS = {
    "Whoever can write to the store": [*rows_store.ROWS, *rows_files.ROWS],
    "Whoever answers in its place": rows_network.ROWS,
    "Stolen: the keys of timestamp and snapshot": rows_online.ROWS,
    "Stolen: a channel's only key": [*rows_channel.ROWS, *rows_bundles.ROWS],
    "Stolen: the key of who is on call": rows_oncall.ROWS,
    "Stolen: keys of root and targets": rows_root.ROWS,
    "Two of three people": rows_people.ROWS,
    "The host itself": rows_host.ROWS,
}
ATTACKS = [row for rows in SECTIONS.values() for row in rows]
ALARMS = [*rows_publishers.ROWS, *rows_pending.ROWS]
