"""How data sets lie on disk: a file a layout, each with its row `LAYOUT`."""
