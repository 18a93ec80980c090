"""What hosts trust: where TUF metadata lies, what a release is, and how a chain and its history are verified. Pure."""
