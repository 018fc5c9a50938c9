"""Algorithm 1, Equation 7, margins and importance weights, and X-LM-Tiny."""
