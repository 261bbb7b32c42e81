"""The explorer's page: what it is sent about an analysis, and the page as one file with its data inside."""
