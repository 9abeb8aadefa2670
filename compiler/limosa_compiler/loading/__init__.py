"""The start of a build: model and data are read, refused or made to fit."""
