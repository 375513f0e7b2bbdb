"""A worker that carries inspected datagrams, without its process's other parts: policy of three lines, beats, one door.

``datagram_worker.py FOLDER GRANTS.json``: prints ``ready``, then takes lines of JSON: ``{"withdraw": 12}``.  What it
records stands in FOLDER/worker-1.ring.
"""
