"""The networks, their losses, and the response curve that the losses aim at."""
