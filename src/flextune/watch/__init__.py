"""The page of a report, live: a small web application that reads a database and tells browsers what is new in it."""
