"""What is kept how long, and what smaller thing stays when it goes (server 2.4)."""
