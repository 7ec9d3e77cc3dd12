"""How good colours are: measures, their protocols, and reports."""
