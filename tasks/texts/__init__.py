"""Texts: sources, tables, tokens, word ranks, ids, padding and batches by length."""
