"""What is HTTP: endpoints with what they take and answer, and who may ask."""
