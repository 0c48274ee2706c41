"""Thousands of agents in one process: real keys, TLS and streams, but no gateway.

Written on sockets and epoll, because a gRPC client library would cost more of the machine than the server
that is measured.
"""
