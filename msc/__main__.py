"""`python -m msc`."""

from msc.cli.main import main

main()
