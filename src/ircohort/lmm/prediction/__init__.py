"""What a fit says of people and times: conditional modes, curves and readings with intervals."""
