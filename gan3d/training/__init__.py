"""One trial: state, step, loop, validation, checkpoint, clock; `worker` alone knows Ray."""
