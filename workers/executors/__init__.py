"""Where a job folder runs; a child process of this machine is the one that comes with Assay."""
