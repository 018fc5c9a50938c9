"""transformers checkpoints and architectures, and the hardware they run on."""
