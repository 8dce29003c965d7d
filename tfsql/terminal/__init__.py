"""What the command line and the prompt are made of."""
