"""What `compare.py` measures the engine against: the same network in other runtimes. See compare.py."""
