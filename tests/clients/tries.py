"""What schemathesis needs to know of the server beside /openapi.json: it is run with this as its hooks."""

import os

import httpx
import schemathesis
from hypothesis import strategies as st

# Names that are allowed, by the rules that no JSON schema can say. None is that of the account whose token is used, which a ban or revocation would end.
LETTERS = "abcxyzABC019가각힣홍길동éß한字_~"
NAMES = st.builds(
    lambda first, middle, last: first + middle + last,
    st.sampled_from(LETTERS),
    st.text(st.sampled_from(LETTERS + " .,/%?&=#'\"<>+-"), max_size=20),
    st.sampled_from(LETTERS),
).filter(lambda name: name != "admin")

for name in ["room-name", "user-name"]:
    schemathesis.openapi.format(name, NAMES)



def token():
    """A new one of the demo's account."""
    form = {"username": "admin", "password": "secret"}
    answer = httpx.post(f"{os.environ['TRIED_URL']}/auth/login", json=form, trust_env=False)
    return answer.raise_for_status().json()["access_token"]


class Administrator:
    """Signs every request, unless a check wants it without."""

    def __init__(self):
        self.token = token()

    def get(self, case, context):
        # A sign-out ends its token for good.
        return token() if case.path == "/auth/logout" else self.token

    def set(self, case, data, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


class BackEnd(Administrator):
    """Signs every request with an API key."""

    def __init__(self):
        self.token = os.environ["TRIED_KEY"]

    def get(self, case, context):
        return self.token


WHO = {"administrator": Administrator, "key": BackEnd}.get(os.environ.get("TRIED_AS"))
if WHO:
    schemathesis.auth(refresh_interval=None)(WHO)


def with_integers(value):
    """JSON Schema takes 5.0 for an integer, the server does not, which /openapi.json says in words."""
    if isinstance(value, dict):
        return {name: with_integers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [with_integers(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.hook
def map_body(context, body):
    return with_integers(body)
