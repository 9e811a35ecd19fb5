"""What knows BIDS names: entities, sidecars, events, the inventory."""
