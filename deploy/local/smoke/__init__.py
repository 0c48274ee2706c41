"""`make smoke`: the main job from nothing to withdrawal, through public interfaces only."""
