"""What goes wrong on purpose: killed workers and children, lies, full disks, limits."""
