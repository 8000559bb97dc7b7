"""Between the contract's messages and the engine's dataclasses; nothing here decides."""
