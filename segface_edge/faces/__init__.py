"""Where the faces of a picture are, and where they go through a video."""
