"""`make bench`: what the product costs and how fast it is, on this machine, through its real processes.

Not part of the tests: nothing here passes or fails. Each figure is printed beside its target and beside a
baseline, and kept as JSON in benchmarks/results/.
"""
