"""A gateway that lies on request, with the HTTP of the real ones. Used by the demo and the tests.

From the inside out: `virtual` (time), `timings`, `world`, `waha_world` and `evolution_world` (pure, in virtual time),
`faults` (the language of what goes wrong) and `happen` (makes it so), `waha` and `evolution` (the recorded HTTP),
`httpd`, `uplink` and `server` (real ports), `script` (a story of faults), `control` and `__main__` (as a process).

In process: `server.serve`. As a process: `python -m wasupervisor.simulator --help`.
"""
