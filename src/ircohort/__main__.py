"""``python -m ircohort`` is the command line."""

from ircohort.cli import main

main()
