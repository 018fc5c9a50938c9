"""New languages for a student: pieces of vocabulary and their embeddings."""
