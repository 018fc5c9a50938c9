"""The student: its encoder and heads, its initial weights and tokenizer, new languages."""
