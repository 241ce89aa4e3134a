"""Reviews: a review on its way: sources, tables, text, ranks, ids, rectangles, buckets."""
