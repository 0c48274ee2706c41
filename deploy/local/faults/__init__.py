"""`make faults`: people at work while things break, then a check that nothing was lost.

The driver does what people do, the nemesis breaks things, the watch notices what must never be, the
checker says what must be so once all is healed. Each of them draws from the seed alone.
"""
