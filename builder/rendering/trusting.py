"""Who may take which role, in words that all forms share."""

from builder.rendering.access import Principal

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
SUBJECT = "repo:{}:ref:refs/heads/main"
"""What the forge says of a workflow on the main branch of a repository; pull requests are told apart."""

SERVICES = ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com", "lambda.amazonaws.com", "pods.eks.amazonaws.com"]
TAGGED = ["sts:AssumeRole", "sts:TagSession"]
"""What services do to take a role; EKS tags the session with pod and namespace."""


def people_of(principal: Principal) -> str:
    """Return the name of the input that lists the people of a principal."""
    return f"{principal.name}s" if principal.name.endswith("r") else principal.name
