"""The strongest moments of several results, with cuts that an editor would make. Numpy only."""
