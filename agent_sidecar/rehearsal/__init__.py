"""Rehearsal: a new policy is loaded once in a process that may die of it, before the one that answers loads it."""
