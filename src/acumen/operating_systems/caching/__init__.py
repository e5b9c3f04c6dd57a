"""Caching: the cache that learns, and the race that shows whether it does."""
