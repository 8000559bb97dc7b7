"""Promotion cases: campaigns, a cart and what the cart must get, in a form of plain words.

`cases` reads a file, `scenarios` turns a case into campaigns, a cart and facts of our engine,
`comparison` holds the decision against what the case expects, `policies` knows where we decided
otherwise on purpose, `runner` does all of it. A word of the form that nobody reads makes the case
unsupported: nothing is ever passed over in silence.
"""
