"""The page on one's own machine: colouring, comparing, correcting, judging."""
