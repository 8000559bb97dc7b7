"""Developer tools: the embedded stack, generation, checks, the demo and the benches."""
