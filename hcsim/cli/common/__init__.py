"""What commands share: consoles and exit codes, options, progress."""
