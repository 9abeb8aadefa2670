"""Commands of the fleet server party; each speaks REST or, for `server run`, is the server."""
