"""The commands of `limosa-agent`, one module each; heavy imports stay inside the functions."""
