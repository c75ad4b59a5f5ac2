"""The routes of what the pages look like."""

OPEN = {("POST", "/theme")}

BODIES = {("POST", "/theme"): {"data": {"theme": "dark"}}}
