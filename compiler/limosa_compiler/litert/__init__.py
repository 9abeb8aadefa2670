"""LiteRT (.tflite) targets: an environment of their own, conversion, quantization, running (compiler 4)."""
