"""Figures of the local stack: `make bench`. Absolute times are this machine's; quote ratios measured in one run."""
