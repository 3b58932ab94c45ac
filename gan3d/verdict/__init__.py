"""The answer: studies, scaling curves, physics and generation speed joined into one document. Data, not pages."""
