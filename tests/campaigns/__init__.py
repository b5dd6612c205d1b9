"""Campaigns: slower than tests, started by hand, each with a documented command."""
