"""Pure: values in, values out. No I/O, no clock, no dice of its own."""
