"""The student: its encoder and heads, its first weights, new languages."""
