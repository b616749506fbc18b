"""Parts of make_golden.py: pictures, small models, lively random weights, and the recording of every stage."""
