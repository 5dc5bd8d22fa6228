"""The verbs of the record, one file a topic: lock, check the state, change, record the event."""
