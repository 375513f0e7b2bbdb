"""Encrypted channels of OPC UA that end at the gate: its own certificate towards the client, and towards the server."""
