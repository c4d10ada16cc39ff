"""Elements of diving and gymnastics: what makes one, its names, and how it is counted."""
