"""Algorithm 1: Equations 4 and 7, margins, the training loop, and X-LM-Tiny."""
