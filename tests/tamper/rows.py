"""The rows of the tamper matrix, in the order of the page."""

from tamper import rows_channel, rows_network, rows_online, rows_store

ATTACKS = [*rows_store.ROWS, *rows_network.ROWS, *rows_online.ROWS, *rows_channel.ROWS]
