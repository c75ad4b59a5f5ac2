"""When toner will be empty, what to order, and whom to visit with which parts.  Thinks only."""
