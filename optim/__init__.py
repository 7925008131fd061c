"""The claim: arrays in, schedule out. No OpenDSS, no files, no terminal here (see CONTRIBUTING.md)."""
