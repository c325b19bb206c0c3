"""From pictures in storage to the batches of one step."""
