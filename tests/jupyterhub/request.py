"""What the comparison asks: a request, or a wait until a server has come to a state."""

import dataclasses


@dataclasses.dataclass
class Request:
    name: str
    method: str
    path: str
    #: Whose token; None for no credentials.
    who: str | None = "admin"
    #: A JSON value, or bytes as they are; None for no body.
    body: object = None
    headers: dict = dataclasses.field(default_factory=dict)
    #: Keeps this key of the answer under the name: `token` of a new token, its `id`.
    keep: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Wait:
    """Until the default server of a user, or a named one, is in a state."""

    user: str
    server: str
    state: str


PAGES = {"Accept": "application/jupyterhub-pagination+json"}
