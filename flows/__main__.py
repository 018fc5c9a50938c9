"""`python -m flows up | down | work [--at-once N] | run DEPLOYMENT [--param ...]`"""

import argparse
import os

from amtss.errors import AmtssError


def main() -> None:
    """Run a command; a user's mistake is one line."""
    os.environ.setdefault("DO_NOT_TRACK", "1")  # Prefect reads it when it is imported
    from flows import server

    parser = argparse.ArgumentParser("python -m flows", description=server.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start a server, a worker and the deployments")
    commands.add_parser("down", help="stop them, with all that runs")
    work = commands.add_parser("work", help="start a worker for other machines' teachers")
    work.add_argument("--at-once", type=int, help="how many; one per GPU, or else cores and one")
    run = commands.add_parser("run", help="run a deployment and watch it")
    run.add_argument("deployment", help="such as distill/demo")
    known, rest = parser.parse_known_args()
    try:
        if known.command == "run":
            server.run(known.deployment, rest)
        elif rest:
            parser.error(f"expected no more arguments, found {' '.join(rest)}")
        elif known.command == "work":
            server.work(known.at_once)
        else:
            {"up": server.up, "down": server.down}[known.command]()
    except AmtssError as error:
        raise SystemExit(f"amtss: {error}") from None


if __name__ == "__main__":
    main()
