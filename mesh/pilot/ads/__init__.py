"""xDS to the proxies: the protocol as a state machine, the sessions, the pushes, and the gRPC shell."""
