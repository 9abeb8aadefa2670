"""Pre- and postprocessing of the recipe, attached to the model as ONNX nodes."""
