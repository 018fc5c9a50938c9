"""`python -m flows.pin ko pl`: let the params.yaml of this folder's workspace onboard new languages
to the champion."""

import sys
from pathlib import Path

from amtss import onboarding
from amtss.errors import AmtssError
from amtss.paths import Layout

if __name__ == "__main__":
    try:
        onboarding.prepare(Layout(Path()), onboarding.Request(tuple(sys.argv[1:])))
    except AmtssError as error:
        raise SystemExit(f"amtss: {error}") from None
