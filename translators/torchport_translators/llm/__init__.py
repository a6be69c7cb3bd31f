"""A language model for what the rules left open: its prompt, its reply, and what keeps both in bounds.

Nothing here runs what a model wrote, and nothing is sent unless the user asks for it. The loop that
checks a reply, and asks again, is `torchport_checks.repair`.
"""
