"""What all three systems share in training: epochs, run folders, graph export."""
