"""Several hosts on one machine, and what their network costs a training: `TestBed` is the hosts, the other modules measure on them."""
