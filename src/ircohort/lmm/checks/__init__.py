"""Whether the assumptions of a fit hold: residuals, serial correlation, influence."""
