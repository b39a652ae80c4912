"""Cloud KMS on loopback: asymmetric signing keys, their versions and states."""
