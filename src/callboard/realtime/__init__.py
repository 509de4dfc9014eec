"""The socket server of one process, without PostgreSQL.

Owns: connections, namespaces, rooms and delivery to them. Never: SQL, HTTP, or what a message means.
"""
