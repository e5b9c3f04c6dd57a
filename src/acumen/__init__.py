"""Learned choices for systems software."""
