"""What the server decides: pure. Facts and time come in as values, decisions go out as values."""
