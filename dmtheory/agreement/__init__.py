"""How two attributions relate, with intervals."""
