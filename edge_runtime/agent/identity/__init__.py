"""Who this device is: its key, its enrolment, its read token."""
