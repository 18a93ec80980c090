"""Sign and publish: keys, metadata, the commit point, and what a real client says to all of it.

The only code that touches private keys. Everything it writes before the commit point is invisible to hosts, so that a
publish may stop at any moment and the next one goes on.
"""
