"""What a run found, in the form that its reader takes.

`terminal` and `html` are for people; `sarif` and `github` put problems on lines of code, `junit` gives
a build server a test per definition; JSON is the verdict itself, whose schema `schema` writes.
`problems` says once, for all of them, what is a problem and where.
"""
