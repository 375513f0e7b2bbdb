"""A small simulated plant: controllers, a SCADA poller and engineers in network namespaces.

Stands outside the gate and knows of it what any user can know.  It must never touch the machine's own network.
"""
