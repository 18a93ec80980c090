"""The policy language: strict YAML and CEL in, the rule model out, every problem with its place."""
