"""The product: schemas, shards, releases, reading."""
