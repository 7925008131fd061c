"""A circuit read into a `Network`, with a ledger of what was read how; gate, check, sites by rule, export."""

__all__ = ["branches", "check", "export", "gate", "ledger", "loads", "model", "read", "sites", "topology", "unbalance"]
