"""Feeders' scripts read by an allow-list after OpenDSS's own tokens, before OpenDSS sees them."""
