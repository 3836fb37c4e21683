"""Parts of the fixture recorder: network namespaces, captures, endpoints, scenarios."""
