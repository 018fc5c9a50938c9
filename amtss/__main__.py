"""`python -m amtss`, which is also what torchrun starts."""

from amtss.cli.main import main

main()
