"""The builder: from a policy repository to signed, published bundles, and from git back to what was live."""
