"""What runs the network, and nothing else: L at network size in, logits or ab out."""
