"""A province in small: a world that is only thought, and real agents that report it over the real wire.

`province` says what there is, `day` lets time pass, `troubles` disturbs it, `measured` turns it into readings; none of
these knows a socket.  `fleet` runs one real agent a device.  No other room of the controller imports the agent.
"""
