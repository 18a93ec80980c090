"""Approval grants on the side of those who give them: their keys, what they are asked, and what they sign."""
