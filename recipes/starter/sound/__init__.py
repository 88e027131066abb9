"""The second training stage of the shipped audio encoder: real sounds, real music and calm voices with their labels."""
