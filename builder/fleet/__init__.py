"""What the hosts of a fleet report: listed, held against what is live, and against what a bundle requires."""
