"""Campaigns as code: files that are checked, tried, compared with an installation, and applied."""
