"""One engine for callers over HTTP: `segface-edge serve`. What it answers, and how: docs/serve.md."""
