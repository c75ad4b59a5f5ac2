"""A file a page: it asks, calls and renders."""
