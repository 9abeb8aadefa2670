"""The dashboard: every page is a resource in HTML, works without script, and follows live by SSE."""
