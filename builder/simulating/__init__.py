"""What a change would have decided otherwise: recorded requests replayed on two revisions (``writ simulate``)."""
