"""Finds cells of tables."""

from amtss.table import Table


def cell(table: Table, row: str, column: str) -> str:
    return next(r for r in table.rows if r[0] == row)[table.header.index(column)]
