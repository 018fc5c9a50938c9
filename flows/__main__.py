"""`python -m flows up | down | run DEPLOYMENT [--param ...]`"""

import argparse
import os

from amtss.errors import AmtssError


def main() -> None:
    """Run a command; a user's mistake is one line."""
    os.environ.setdefault("DO_NOT_TRACK", "1")  # Prefect reads it when it is imported
    from flows import local

    parser = argparse.ArgumentParser("python -m flows", description=local.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start a server, a worker and the deployments")
    commands.add_parser("down", help="stop them, with all that runs")
    run = commands.add_parser("run", help="run a deployment and watch it")
    run.add_argument("deployment", help="such as distill/demo")
    known, rest = parser.parse_known_args()
    try:
        if known.command == "run":
            local.run(known.deployment, rest)
        elif rest:
            parser.error(f"expected no more arguments, found {' '.join(rest)}")
        else:
            {"up": local.up, "down": local.down}[known.command]()
    except AmtssError as error:
        raise SystemExit(f"amtss: {error}") from None


if __name__ == "__main__":
    main()
