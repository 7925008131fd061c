"""The page of a validated dispatch: verdict, map and worst things first, the rest an annex."""
