"""``python -m match_service`` and the console script ``match-service``."""

import sys

from match_service.cli import main

if __name__ == "__main__":
    sys.exit(main())
