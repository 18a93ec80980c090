"""Compile, load and decide: the pure function from request to answer, behind an index."""

from policy_core.matcher.encoding import MatcherFormatError, decode_rules, encode_rules
from policy_core.matcher.matcher import Matcher, load, loading

__all__ = ["Matcher", "MatcherFormatError", "decode_rules", "encode_rules", "load", "loading"]
