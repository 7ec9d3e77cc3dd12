"""`python -m fastcolor`."""

from .cli import main

main()
