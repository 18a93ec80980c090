"""``writ import``: a job-style policy file becomes a document of ours, and is held against what it said before."""
