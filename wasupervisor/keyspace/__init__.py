"""Redis: keys of the wrong type, found for nothing, set aside without loss, put back on request."""
