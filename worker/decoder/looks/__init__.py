"""How pictures look to people: whole ones instead of two fields, in the colours of ordinary screens."""
