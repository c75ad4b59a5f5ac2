"""From verdicts to alerts that last, and from alerts to incidents with one cause.  `watch` is the loop around it."""
