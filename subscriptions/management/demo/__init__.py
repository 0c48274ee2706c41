"""The demo's data, one module per context, made through the services. A second run adds nothing."""
