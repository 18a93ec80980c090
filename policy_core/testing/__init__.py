"""What tests of the core and of its users share: the reference evaluator and hypothesis strategies. Never on a host."""
