"""``python -m builder`` is ``writ``."""

import sys

from builder.cli.main import main

sys.exit(main())
