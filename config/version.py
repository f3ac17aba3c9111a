"""The product's version: the one place, beside pyproject.toml, which a test holds to it.

Semantic: what an installation must do to go on (a setting renamed, an API field gone) raises the first number. Shown by
`manage.py version`, at the foot of the admin's pages and in the OpenAPI document.
"""

VERSION = "1.0.0"
