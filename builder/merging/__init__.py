"""Approvals of what was merged: who vouches for the commits since the last release, checked rather than believed."""
