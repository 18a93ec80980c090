"""What hosts report of themselves: in the name of an object what a listing of the fleet needs, in it the rest, signed.

docs/reference/fleet.md is the contract. Pure.
"""
