"""What a fit says of its parameters: tests, intervals, comparisons, refits."""
