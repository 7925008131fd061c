"""PV and BESS as native OpenDSS elements; inverter curves; which controls are held."""

__all__ = ["as_text", "autonomous_pv", "fleets", "held_controls", "inverter_curves", "load_shapes", "own_devices"]
