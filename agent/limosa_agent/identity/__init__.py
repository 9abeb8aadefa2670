"""Who this device is: enrolment, certificate, renewal (trust 6)."""
