"""What people write instead: scripts `URL JOBS CONCURRENCY SAMPLES SIDE FOLDER`, without journal, checks or index."""
