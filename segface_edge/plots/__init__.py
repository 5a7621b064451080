"""Figures (matplotlib) and contact sheets: what people look at."""
