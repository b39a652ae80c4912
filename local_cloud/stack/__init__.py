"""Start the whole of Packhorse on one machine, and keep it running.

`processes.py` keeps processes alive, `settings.py` says what each is told,
`deployment.py` does what Terraform does on Google Cloud, and `stack.py` puts
them together.
"""
