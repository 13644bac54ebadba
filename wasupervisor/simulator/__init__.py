"""A gateway that lies on request, with the HTTP of the real ones. Used by the demo and the tests."""
