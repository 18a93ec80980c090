"""What applications import: decisions in process, and guards for what they do (docs/reference/client.md)."""

from agent_sidecar.client.policy import Decided, Policy

__all__ = ["Decided", "Policy"]
