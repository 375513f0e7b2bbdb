"""How the processes of one gate talk: typed messages over local sockets, and the workers' journals in shared memory.

Stands between the packages that run in different processes.  It must never carry anything but the values of `model`.
"""
