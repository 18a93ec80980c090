"""Where bundles and their metadata live: the store port and its ``s3://``, ``file://`` and ``https://`` forms."""
