"""Commands that run a schedule with a controller in the loop: operate, flexible, federate."""
