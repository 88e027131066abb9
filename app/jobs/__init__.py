"""Jobs: the record, its store, events, idempotency keys and the message broker."""
