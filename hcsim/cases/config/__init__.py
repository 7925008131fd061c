"""The sections of study.toml: default, unit and sentence of every key."""
