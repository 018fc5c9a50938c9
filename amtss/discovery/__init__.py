"""A folder of somebody's data: what its files are, and a first params.yaml for them."""
