"""What a recipe names that is not ours: functions, models of MLflow, YAML of other tools (compiler 1)."""
