"""A grocery chain's real year, replayed through the gateway, and the proof of every total."""
