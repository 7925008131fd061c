"""The page of an operated schedule: how many days pass under which policy, and what that costs."""
