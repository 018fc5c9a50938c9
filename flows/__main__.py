"""`python -m flows up | down | work [--at-once N] | run DEPLOYMENT [--param ...]`"""

import argparse
import os

from amtss.errors import AmtssError


def main() -> None:
    """Run a command; a user's mistake is one line on stderr."""
    os.environ.setdefault("DO_NOT_TRACK", "1")  # Prefect reads it when it is imported
    from flows import server

    parser = argparse.ArgumentParser("python -m flows", description=server.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start a server and a worker, create the deployments")
    commands.add_parser("down", help="stop workers, server and running flows")
    work = commands.add_parser("work", help="start a worker for teachers of other machines' runs")
    work.add_argument("--at-once", type=int, help="teachers at once; by default one per GPU, or "
                      "one more than there are CPU cores")
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
