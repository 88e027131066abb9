"""Training code shared by all three systems: epochs, run folders, graph export."""
