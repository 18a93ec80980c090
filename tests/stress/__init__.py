"""Publishing under stress: any operation, over any store, with a fault at any request, in real processes.

`operations` is the table (a new operation is one row), `faults` what may happen at a request, `processes` runs
operations in processes that may die, `scene` sets up where they run and says what must hold afterwards.
"""
