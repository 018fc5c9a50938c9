"""`python -m amtss`, which is also what torchrun starts."""

from amtss.cli.stages import main

main()
