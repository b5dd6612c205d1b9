"""What a port promises, claimed of every implementation alike."""
