"""What people write instead: each a script `URL JOBS CONCURRENCY SAMPLES SIDE FOLDER`, without journal, checks or index."""
