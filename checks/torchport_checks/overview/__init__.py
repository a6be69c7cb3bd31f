"""How far a project's migration is: `torchport status`. Nothing of the project is run."""
