"""`python -m loadtests.openloop`."""

from loadtests.openloop.main import main

main()
