"""The report: the paper's tables and figures for this run."""
