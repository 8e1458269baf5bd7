"""Search strategies compared on spaces whose every member has been measured."""
