"""The operator's settings: schema, loading, units."""
