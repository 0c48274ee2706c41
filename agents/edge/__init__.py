"""The agent: runs beside the gateways of a cluster, without Django."""

import os

# gRPC's own lines on stderr say less than ours, in another format. It reads this when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
