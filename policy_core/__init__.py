"""The pure core: rule model, matcher, decision, bundle format and trust layout.

Nothing here reads a file, a socket, a clock or the environment; values come in, values or typed errors go out.
"""

__version__ = "0.1.0"
