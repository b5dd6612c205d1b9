"""Stage 5: index -> what people look at. Sees the index only."""
