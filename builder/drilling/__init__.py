"""Rehearsals of what one person on call does at night, on a copy of the store that is thrown away."""
