"""Tokens of third-party libraries verify here, ours verify there, and every other token is refused.

The malicious ones follow the HS256 cases of Wycheproof and RFC 7515, built anew for the secret of each run.
"""

import base64
import hashlib
import hmac
import json
import socket
import time

import jwt
import pytest
from jwcrypto import jwk
from jwcrypto import jwt as jwcrypto_jwt

SECRET = "shared with another back end, and long enough for HS512, which must be refused all the same"
OLDER = "the older secret, which must still be good: any back end may go on signing with it for some time"
HEADER = {"alg": "HS256", "typ": "JWT"}
KEYS = {"new": SECRET, "old": OLDER}


@pytest.fixture
def secrets(tmp_path):
    file = tmp_path / "secrets"
    file.write_text("# the first signs\n" + "".join(f"{kid}:{secret}\n" for kid, secret in KEYS.items()))
    return str(file)


@pytest.fixture
def server(start, secrets):
    return start("--secret-file", secrets)


@pytest.fixture
def issuer(start, secrets, tmp_path):
    """A server with an account, too; the hash was made by another implementation of Argon2."""
    users = tmp_path / "users"
    users.write_text(
        "홍길동:$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiBob25nIDE2Yg$3YBrGnxlQuHBrV0UERBwONMVvuDazoTdXeo0neMUU8I\n"
    )
    return start("--secret-file", secrets, "--users", str(users))


def good_claims(**more):
    return {"sub": "홍길동", "exp": int(time.time()) + 600, **more}


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def as_bytes(part):
    if isinstance(part, bytes):
        return part
    return (part if isinstance(part, str) else json.dumps(part)).encode()


def sign(signing_input, secret=SECRET, digest=hashlib.sha256):
    return encode(hmac.new(as_bytes(secret), signing_input, digest).digest())


def mint(header=HEADER, claims=None, **how):
    """A correct signature over any header and claims: JSON, text or bytes."""
    signing_input = encode(as_bytes(header)) + b"." + encode(as_bytes(good_claims() if claims is None else claims))
    return signing_input + b"." + sign(signing_input, **how)


def present(server, token):
    """Status, fields and body of the answer to a token; the token is sent as it is, byte by byte."""
    host, port = server.host.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST /auth/ws-ticket HTTP/1.1\r\nHost: {server.host}\r\nConnection: close\r\nAuthorization: Bearer "
        try:
            connection.sendall(head.encode() + token + b"\r\n\r\n")
        except ConnectionError:
            pass
        answer = b""
        try:
            while chunk := connection.recv(65536):
                answer += chunk
        except ConnectionResetError:
            pass
    head, _, body = answer.decode().partition("\r\n\r\n")
    lines = head.split("\r\n")
    fields = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
    return int(lines[0].split()[1]), fields, body


def accepted(server, token):
    status, _, body = present(server, as_bytes(token))
    assert status in (200, 401), body
    return status == 200


def assert_refused(server, tokens):
    """Fails with every token that was not refused as RFC 6750 says."""
    failures = []
    for name, token in tokens.items():
        status, fields, body = present(server, token)
        challenge = fields.get("www-authenticate", "")
        told = challenge.startswith('Bearer error="invalid_token"') and 'error_description="' in challenge
        if status != 401 or not told or json.loads(body)["error"]["code"] != "invalid_token":
            failures.append(f"{name}: {status} {challenge} {body}")
    assert not failures, "\n" + "\n".join(failures)


def test_a_token_of_pyjwt_is_accepted(server):
    for claims in [
        good_claims(),
        good_claims(jti="7", iat=int(time.time()), nbf=int(time.time()), iss="https://back.example"),
    ]:
        assert accepted(server, jwt.encode(claims, SECRET, algorithm="HS256"))
        assert accepted(server, jwt.encode(claims, OLDER, algorithm="HS256"))
        assert accepted(server, jwt.encode(claims, OLDER, algorithm="HS256", headers={"kid": "old"}))
        assert not accepted(server, jwt.encode(claims, OLDER, algorithm="HS256", headers={"kid": "new"}))
        assert not accepted(server, jwt.encode(claims, SECRET, algorithm="HS384"))
        assert not accepted(server, jwt.encode(claims, SECRET, algorithm="HS512"))
        assert not accepted(server, jwt.encode(claims, None, algorithm="none"))
        assert not accepted(server, jwt.encode(claims, SECRET + "!", algorithm="HS256"))


def test_a_token_of_jwcrypto_is_accepted(server):
    for kid, secret in KEYS.items():
        key = jwk.JWK(kty="oct", k=encode(secret.encode()).decode())
        for header in [{"alg": "HS256"}, {"alg": "HS256", "typ": "at+jwt", "kid": kid},
                       {"alg": "HS256", "typ": "application/at+jwt"}]:
            token = jwcrypto_jwt.JWT(header=header, claims=good_claims())
            token.make_signed_token(key)
            assert accepted(server, token.serialize())
    # The same key can encrypt, but an encrypted token is not a signed one.
    token = jwcrypto_jwt.JWT(header={"alg": "dir", "enc": "A256CBC-HS512"}, claims=good_claims())
    token.make_encrypted_token(jwk.JWK.generate(kty="oct", size=512))
    assert not accepted(server, token.serialize())


def test_our_token_verifies_in_other_libraries(issuer):
    login = issuer.rest.post("/auth/login", json={"username": "홍길동", "password": "비밀번호 하나"})
    assert login.status_code == 200, login.text
    token = login.json()["access_token"]
    renewed = issuer.rest.post("/auth/refresh", headers={"Authorization": f"Bearer {token}"}).json()["access_token"]
    for one in [token, renewed]:
        assert jwt.get_unverified_header(one) == {"alg": "HS256", "typ": "JWT", "kid": "new"}
        required = {"require": ["sub", "iat", "exp", "jti"]}
        claims = jwt.decode(one, SECRET, algorithms=["HS256"], options=required)
        assert claims["sub"] == "홍길동"
        assert claims["exp"] - claims["iat"] == login.json()["expires_in"] == 3600
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(one, OLDER, algorithms=["HS256"])
        key = jwk.JWK(kty="oct", k=encode(SECRET.encode()).decode())
        other = jwcrypto_jwt.JWT(jwt=one, key=key, algs=["HS256"], check_claims={"sub": "홍길동", "exp": None})
        assert json.loads(other.claims) == claims


def test_the_example_of_rfc_7515_counts_in_its_shape_but_not_under_its_key(server):
    header = '{"typ":"JWT",\r\n "alg":"HS256"}'
    claims = '{"iss":"joe",\r\n "exp":%d,\r\n "http://example.com/is_root":true,\r\n "sub":"joe"}'
    assert accepted(server, mint(header, claims % (time.time() + 600)))
    key = base64.urlsafe_b64decode(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow=="
    )
    example = mint(header, '{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}', secret=key)
    assert example.endswith(b".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), "the test signs as the standard does"
    assert_refused(
        server,
        {
            "the example": example,
            "its key": mint(header, claims % (time.time() + 600), secret=key),
            "its claims": mint(header, '{"iss":"joe",\r\n "exp":1300819380,\r\n "sub":"joe"}'),
        },
    )


def test_malicious_tokens_of_wycheproof_are_refused(server):
    good = mint()
    head, body, signature = good.split(b".")
    raw = base64.urlsafe_b64decode(signature + b"=")
    none = encode(b'{"alg":"none"}')
    tokens = {
        "modified signature": head + b"." + body + b"." + encode(bytes([raw[0] ^ 0x14]) + raw[1:]),
        "modified header": encode(b'{"alg":"HS256","typ":"jwT"}') + b"." + body + b"." + signature,
        "modified payload": head + b"." + encode(as_bytes(good_claims(sub="admin"))) + b"." + signature,
        "missing signature": head + b"." + body + b".",
        "missing signature and separator": head + b"." + body,
        "missing payload": head + b".." + signature,
        "missing payload and separator": head + b"." + signature,
        "missing header": b"." + body + b"." + signature,
        "missing header and separator": body + b"." + signature,
        "missing header and signature": b"." + body + b".",
        "only a payload": body,
        "only separators": b"..",
        "a separator": b".",
        "an extra empty part": good + b".",
        "an empty part in front": b"." + good,
        "an extra part": good + b".foo",
        "five parts": good + b"." + body + b"." + signature,
        "none without a signature": none + b"." + body + b".",
        "none with a signature": mint('{"alg":"none"}'),
        "none with the signature of another": none + b"." + body + b"." + signature,
        "JSON serialization": json.dumps(
            {"payload": body.decode(), "protected": head.decode(), "signature": signature.decode()}
        ).encode(),
        "the general one": json.dumps(
            {"payload": body.decode(), "signatures": [{"protected": head.decode(), "signature": signature.decode()}]}
        ).encode(),
        "quoted": b'"' + good + b'"',
        "HS384": mint({"alg": "HS384"}, digest=hashlib.sha384),
        "HS512": mint({"alg": "HS512"}, digest=hashlib.sha512),
        "HS256 in name only": mint(digest=hashlib.sha512),
        "SHA-1": mint(digest=hashlib.sha1),
        "RS256 signed with the secret": mint({"alg": "RS256"}),
        "embedded key": mint({"alg": "HS256", "jwk": {"kty": "oct", "k": "YXR0YWNrZXI"}}, secret="attacker"),
        "key by address": mint({"alg": "HS256", "jku": "http://127.0.0.1:9/keys"}, secret="attacker"),
        "wrong key": mint(secret=SECRET + "x"),
        "empty key": mint(secret=""),
        "key as base64url": mint(secret=encode(SECRET.encode())),
        "key with its kid": mint(secret=f"new:{SECRET}"),
        **{f"signature of {n} bytes": head + b"." + body + b"." + encode(raw[:n]) for n in range(32)},
        **{f"signature of {n} bytes too many": good[: -len(signature)] + encode(raw + bytes(n)) for n in (1, 32)},
    }
    assert_refused(server, tokens)
    assert accepted(server, good)


def test_only_strict_base64url_is_read(server):
    def signed(head, body):
        return head + b"." + body + b"." + sign(head + b"." + body)

    texts = [json.dumps({**HEADER, "x": "?>?>~~~" + "y" * n}).encode() for n in range(3)]
    claims = [json.dumps(good_claims(x="?>?>~~~" + "y" * n)).encode() for n in range(3)]
    head, body = encode(texts[0]), encode(claims[0])
    tokens = {}
    for position, variants in [("header", texts), ("claims", claims)]:
        for text in variants:
            part = encode(text)
            assert accepted(server, signed(part, body) if position == "header" else signed(head, part))
            changed = {
                "a pad": part + b"=",
                "padding of four": part + b"====",
                "a newline": part[:8] + b"%0A" + part[8:],
                "the standard alphabet": base64.b64encode(text).rstrip(b"="),
                "a letter beyond": part[:8] + "é".encode() + part[8:],
                "hexadecimal": text.hex().encode(),
                "plain text": text.replace(b" ", b""),
            }
            if len(part) % 4:
                changed["the right padding"] = part + b"=" * (-len(part) % 4)
                alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                last = alphabet.index(part[-1])
                changed["bits left over"] = part[:-1] + alphabet[last + 1 : last + 2]
            else:
                changed["one character too many"] = part + b"A"
            for name, form in changed.items():
                if form != part:
                    token = signed(form, body) if position == "header" else signed(head, form)
                    tokens[f"{name} in the {position} of {len(text)} bytes"] = token
    ascii_tokens = {name: token for name, token in tokens.items() if token.isascii()}
    assert_refused(server, ascii_tokens)
    for name in tokens.keys() - ascii_tokens.keys():
        assert present(server, tokens[name])[0] in (400, 401), name


def test_json_is_read_strictly_and_once(server):
    exp = int(time.time()) + 600
    good = json.dumps(good_claims(), ensure_ascii=False)
    claims = {
        "exp twice": f'{{"sub":"a","exp":{exp},"exp":{exp}}}',
        "exp first expired": f'{{"sub":"a","exp":1,"exp":{exp}}}',
        "sub twice": f'{{"sub":"a","sub":"admin","exp":{exp}}}',
        "sub twice, escaped": f'{{"sub":"a","s\\u0075b":"admin","exp":{exp}}}',
        "an unknown claim twice": f'{{"sub":"a","exp":{exp},"x":1,"x":2}}',
        "BOM": b"\xef\xbb\xbf" + good.encode(),
        "UTF-16 with BOM": good.encode("utf-16"),
        "UTF-16, little end": good.encode("utf-16-le"),
        "UTF-32": good.encode("utf-32"),
        "Latin-1": json.dumps({"sub": "é", "exp": exp}, ensure_ascii=False).encode("latin-1"),
        "a surrogate in UTF-8": b'{"sub":"\xed\xa0\x80","exp":%d}' % exp,
        "overlong": b'{"sub":"\xc0\xaf","exp":%d}' % exp,
        "NUL after": good.encode() + b"\0",
        "NUL before": b"\0" + good.encode(),
        "NUL in sub": f'{{"sub":"admin\\u0000","exp":{exp}}}',
        "a bare newline in sub": f'{{"sub":"a\nb","exp":{exp}}}',
        "a comment": good[:-1] + "/* */}",
        "a comma at the end": good[:-1] + ",}",
        "single quotes": good.replace('"', "'"),
        "two objects": good + good,
        "an array around": f"[{good}]",
        "an array": f'["sub","a","exp",{exp}]',
        "a string": json.dumps(good),
        "empty": "",
        "null": "null",
        "unclosed": "{" * 1000,
    }
    headers = {
        "alg twice": '{"alg":"none","alg":"HS256"}',
        "alg twice, escaped": '{"alg":"HS256","\\u0061lg":"HS256"}',
        "BOM": b'\xef\xbb\xbf{"alg":"HS256"}',
        "UTF-16": '{"alg":"HS256"}'.encode("utf-16"),
        "an array": '[{"alg":"HS256"}]',
        "crit": '{"alg":"HS256","crit":["exp"],"exp":1}',
        "b64": '{"alg":"HS256","crit":["b64"],"b64":false}',
        "typ": '{"alg":"HS256","typ":"JWE"}',
        "empty": "",
    }
    tokens = {f"claims: {name}": mint(claims=text) for name, text in claims.items()}
    tokens.update({f"header: {name}": mint(text) for name, text in headers.items()})
    assert_refused(server, tokens)


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "nOnE", "hs256", "HS256 ", "RS256", "ES256", "EdDSA", "", None, 1]
)
def test_no_other_algorithm_is_accepted(server, alg):
    header = {"alg": alg, "typ": "JWT"}
    signed = mint(header)
    assert_refused(server, {"signed": signed, "bare": signed[: signed.rindex(b".") + 1]})


def test_times_are_numbers(server):
    def at(exp):
        return mint(claims='{"sub":"a","exp":%s}' % exp)

    now = int(time.time())
    fractions = [now + 600.5, f"{now + 600}.0", "4e9", "4000000000.5"]
    for good in [now + 600, "4000000000", 253402300799, *fractions]:
        assert accepted(server, at(good)), good
    bad = [
        "null",
        '"4000000000"',
        "-1",
        "-4e9",
        "0",
        now - 1,
        253402300800,
        2**53 - 1,
        2**53,
        2**63,
        2**64,
        "1e300",
        "1e999",
        "[]",
        "{}",
    ]
    bad += [now - 0.5, "true", "NaN", "Infinity", "-Infinity", "0x7fffffff", "1_000_000_000_000"]
    tokens = {f"exp {exp}": at(exp) for exp in bad}
    tokens["no exp"] = mint(claims={"sub": "a"})
    for name in ["nbf", "iat"]:
        for value in [now + 3600, now + 3600.5, str(now), None, [now], 1e300]:
            tokens[f"{name} {value}"] = mint(claims=good_claims(**{name: value}))
    assert_refused(server, tokens)
    for name in ["nbf", "iat"]:
        # The clocks of two machines differ; a minute is tolerated.
        assert accepted(server, mint(claims=good_claims(**{name: now + 30})))
        assert accepted(server, mint(claims=good_claims(**{name: now - 0.5})))


def test_bytes_that_are_no_token_are_refused(server):
    good = mint()
    head, body, signature = good.split(b".")
    for token in [
        b"",
        b"   ",
        good + b" " + good,
        good + b", " + good,
        good + b"\0",
        head + b". " + body + b"." + signature,
        head + b".\t" + body + b"." + signature,
        head + b"\0." + body + b"." + signature,
        head + b"." + body + b".\r\n " + signature,
        head + b"." + body + b".\n" + signature,
        head + b"%2E" + body + b"%2E" + signature,
        good.replace(b".", "．".encode()),
        b"\xef\xbb\xbf" + good,
        good.decode().encode("utf-16"),
        b"\xff" * 100,
    ]:
        status, _, body_text = present(server, token)
        assert status in (400, 401), token
        assert signature.decode() not in body_text
    assert accepted(server, good)


def test_a_token_has_at_most_8_kib(server):
    def sized(length):
        lengths = range(length * 3 // 4 - 300, length)
        tokens = (mint(claims=good_claims(x="x" * fill)) for fill in lengths)
        return next(token for token in tokens if len(token) >= length)

    assert accepted(server, sized(7 * 1024))
    assert_refused(server, {str(length): sized(length) for length in (8 * 1024 + 1, 9 * 1024, 15 * 1024)})
    for huge in [b"A" * 1024**2, b".".join([b"A" * 2**18] * 4), mint(claims=good_claims(x="x" * 1024**2))]:
        status, _, _ = present(server, huge)
        assert status == 431
    assert accepted(server, mint())


def test_depth_does_no_harm(server):
    for depth in [10, 127, 128, 1000, 2500]:
        nested = "[" * depth + "]" * depth
        objects = '{"":' * (depth // 3) + "1" + "}" * (depth // 3)
        exp = int(time.time()) + 600
        for deep in [nested, objects]:
            status, _, _ = present(server, mint(claims=f'{{"sub":"a","exp":{exp},"x":{deep}}}'))
            assert status in (200, 401)
            status, _, _ = present(server, mint(f'{{"alg":"HS256","x":{deep}}}'))
            assert status in (200, 401)
        assert not accepted(server, mint(claims=f'{{"sub":"a","exp":{exp},"x":{"[" * depth}}}'))
    assert accepted(server, mint(claims=good_claims(x=[[[[[1]]]]])))
