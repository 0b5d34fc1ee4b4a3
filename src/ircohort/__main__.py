"""``python -m ircohort`` is the command line."""

import sys

try:
    from ircohort.cli import main

    main()
except KeyboardInterrupt:  # while the command line was still being loaded
    sys.exit(130)
