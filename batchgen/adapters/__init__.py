"""The ports in production. They do not know each other; the runner knows them by their ports alone."""
