"""``python -m agent_sidecar`` is ``writ-sidecar``."""

import sys

from agent_sidecar.cli.main import main

sys.exit(main())
