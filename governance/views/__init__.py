"""Pages that need the record alone: sign in, models, jobs, events, stored files."""
