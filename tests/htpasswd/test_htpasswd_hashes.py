"""One stored hash: judged, verified, made."""

import re
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import htpasswd
from htpasswd import hashes
from htpasswd.hashes import BCRYPT_BYTES, DEFAULT_COST, dummy_like, hash_password, scheme, verify

PHRASE = "correct horse"
ACCENTS = "pässwörd€😀"
COLONS = "a:b:c"
LONG = "x" * 80

# Made by Apache's htpasswd 2.4.71 (-nb) and OpenSSL 3.0 (openssl passwd); none by the code under test.
VECTORS = {
    "apache -B": ("bcrypt", 4, PHRASE, "$2y$04$Y9oE3Ux8B/P3Hxw16Z5xMujbwCWgMx77gP4dUvkjT3x/yHSP5C1xC"),
    "apache -m": ("apr1", 1000, PHRASE, "$apr1$WZivYkZP$2BP4HoAQvzqdrDT36IoI01"),
    "apache -s": ("sha1", 0, PHRASE, "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A="),
    "apache -2": (
        "sha256-crypt",
        5000,
        PHRASE,
        "$5$2DGY9q4mMVtTwAW1$pOhoO0lCpE.JsYej.ltoesPpHltOB7lzmCsqKvkqsz7",
    ),
    "apache -5": (
        "sha512-crypt",
        5000,
        PHRASE,
        "$6$8rolWxiWBCOjsbxY$K9qnAYYHlDB7eO1v1Kme7F2mcbHQWxv.bDQ1lEWUGNN.dsznoWSSpA.9XP12kXCLlKf57OiN.ZplwyS8nqh3L1",
    ),
    "apache -2 -r": (
        "sha256-crypt",
        1000,
        PHRASE,
        "$5$rounds=1000$OZTwSkn3Lz1vHV8l$wd7vk.guTjou4pWO1d.7aLoytJqwJSoKUIs6hck5HGC",
    ),
    "apache -5 -r": (
        "sha512-crypt",
        1000,
        PHRASE,
        (
            "$6$rounds=1000$Ridd7i4fDkSNsRod$"
            "RdXxbhSmt42O9VuChllsM7oshIs4Oe3IkJnsOrXCuK9Y8/.ZnPx2Ze6MtHWsJZydnWMI9zzjd5fih2zwFttEX0"
        ),
    ),
    "openssl -apr1": ("apr1", 1000, PHRASE, "$apr1$Dw5oVWvz$ncJIGg0afMY7sBZsARQ7V."),
    "openssl -1": ("md5-crypt", 1000, PHRASE, "$1$16j9DiSP$Z9wOi3It4qccSc10p9mWS1"),
    "openssl -5": (
        "sha256-crypt",
        5000,
        PHRASE,
        "$5$SloZ.FOPOtiRus/X$CfBb4r7UZZZzvq39mYkYKlRSZvvc8tNcawAWcaVAol7",
    ),
    "openssl -6": (
        "sha512-crypt",
        5000,
        PHRASE,
        "$6$HvwawBCAg4cyVMjB$wWG.QynbDq6FpPvHOU3l2gEUFAvT8LLdj2oiSZNp/rf9hGlahvAC48f97BuoDFM8vK6Rbcsg.LBAAtRbf5xyH0",
    ),
    "unicode -B": ("bcrypt", 5, ACCENTS, "$2y$05$9gwVcoIxFdMvUDEBvBOP0OCm.GR2gSz7hYyevM.fHeJgIG8LvMpOy"),
    "unicode -m": ("apr1", 1000, ACCENTS, "$apr1$354EbA2q$af7GLLnTbnB24BK13auJh."),
    "unicode -s": ("sha1", 0, ACCENTS, "{SHA}kQ4aLD3HtADzaPphce/Fnq9Z7S0="),
    "unicode -5": (
        "sha512-crypt",
        1000,
        ACCENTS,
        (
            "$6$rounds=1000$CRH7ASf/Pd.uzNo/$"
            "IVduCJJ005Sip87hKSRryFZGNE8rNh/mM89IoQ4QJlduug3Ho5.eJtdJX1AxEh4vp8xi9RtHp/TJu1dZHWQ.w0"
        ),
    ),
    "colons -B": ("bcrypt", 4, COLONS, "$2y$04$SuKxOdrC7l1sfxx9RfL7o.kihja4esI8k5q5tYpVNPvZuQI5HnYjy"),
    "colons -m": ("apr1", 1000, COLONS, "$apr1$V38kNkI6$s.i5OZ6StXGef2UkG4nUf/"),
    "colons -s": ("sha1", 0, COLONS, "{SHA}cLzgnoJ6mP5qz3w+mwvPE2vDgu0="),
    "long -m": ("apr1", 1000, LONG, "$apr1$PuPBxsBt$tL9jIzL89rD5JcZeUtChx0"),
    "long -5": (
        "sha512-crypt",
        1000,
        LONG,
        (
            "$6$rounds=1000$YPMW0jS8bPa.5VNj$"
            "xi8an.U.TeO58LK8pdVO788AQIfEfg5Kl0EtlN9RAHa//BjUaLutVDeAqUvZIBM8PkHUMgfkNLy5/2cuokI8x."
        ),
    ),
    "shipped account": ("sha1", 0, "kamshory", "{SHA}PUkSovNmiq8EkRemJdSniuPfezM="),
}
BCRYPT = VECTORS["apache -B"][3]
LONG_BCRYPT = "$2y$04$GrLMFjJ22m49sFn6kBjjdOottmmfIa.DSBcRx0aZDIeyoFVuW6ERS"  # htpasswd -B of LONG
DES = "vJo0Sxp/6IGSs"  # htpasswd -d of PHRASE
ONE_OF_EACH = {name: stored for name, _, _, stored in VECTORS.values()}

every_vector = pytest.mark.parametrize(("name", "cost", "password", "stored"), VECTORS.values(), ids=VECTORS)
every_scheme = pytest.mark.parametrize("stored", ONE_OF_EACH.values(), ids=ONE_OF_EACH)


@every_vector
def test_verify_right_password(name: str, cost: int, password: str, stored: str) -> None:
    """What Apache and OpenSSL made from a password, that password opens."""
    assert verify(password, stored)


@every_vector
def test_verify_wrong_password(name: str, cost: int, password: str, stored: str) -> None:
    """A character more or less, or none at all, does not."""
    assert not verify(password + "!", stored)
    assert not verify(password[:-1], stored)
    assert not verify("", stored)


@every_vector
def test_verify_hash_as_password(name: str, cost: int, password: str, stored: str) -> None:
    """Whoever has read the file does not get in with the hash, not even where plain text is allowed."""
    assert not verify(stored, stored)
    assert not verify(stored, stored, allow_plaintext=True)


@every_vector
def test_scheme_of_whole_hash(name: str, cost: int, password: str, stored: str) -> None:
    """A whole hash is usable, and its scheme and cost are known."""
    found = scheme(stored)
    assert (found.name, found.cost, found.reason, found.usable) == (name, cost, None, True)
    assert found.effort > 0


@pytest.mark.parametrize("letter", ["a", "b", "y"])
def test_verify_bcrypt_letters(letter: str) -> None:
    """$2a$, $2b$ and $2y$ are one algorithm."""
    assert verify(PHRASE, f"$2{letter}${BCRYPT[4:]}")


def test_verify_bcrypt_above_72_bytes() -> None:
    """What bcrypt compares is the first 72 bytes, as in Apache; it never raises for a longer password."""
    assert verify(LONG, LONG_BCRYPT)
    assert verify("x" * 72 + "something else", LONG_BCRYPT)
    assert not verify("x" * 71, LONG_BCRYPT)
    assert not verify("x" * 71 + "y" + "x" * 8, LONG_BCRYPT)


def test_verify_bcrypt_cut_inside_a_character() -> None:
    """The 72 bytes may end inside a character of UTF-8."""
    stored = bcrypt.hashpw(("a" * 71 + "é").encode()[:72], bcrypt.gensalt(4)).decode()
    assert verify("a" * 71 + "é and more", stored)


@every_scheme
@pytest.mark.parametrize(
    "password",
    ["\0", f"{PHRASE}\0", f"\0{PHRASE}", "half \ud800 a pair", "x" * 4097, "€" * 100_000],
    ids=["NUL", "NUL at the end", "NUL in front", "surrogate", "4097 bytes", "300,000 bytes"],
)
def test_verify_odd_password(stored: str, password: str) -> None:
    """What no password can be is a wrong password, never an exception."""
    assert verify(password, stored) is False


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("stored", [DES, "_J9..XXXXXXXXXXXXXXX"], ids=["DES", "extended DES"])
def test_des_crypt(stored: str, allowed: bool) -> None:
    """DES crypt is refused with its reason, for its password and for the hash itself."""
    found = scheme(stored, allow_plaintext=allowed)
    assert found.name == "des-crypt"
    assert found.reason == "DES crypt is refused: it looks at 8 characters of a password"
    assert not verify(PHRASE, stored, allow_plaintext=allowed)
    assert not verify(stored, stored, allow_plaintext=allowed)


def test_plain_text_by_default() -> None:
    """Plain text does not verify unless it was allowed."""
    assert not verify("secret", "secret")
    assert scheme("secret").reason == "neither a known hash nor plain text that was allowed (allow_plaintext)"


@pytest.mark.parametrize("password", ["secret", "with:colon", "ünïcode 😀", "$ecret", "{brace", "price $5"])
def test_plain_text_allowed(password: str) -> None:
    """Where it is allowed, plain text is compared as it stands."""
    assert scheme(password, allow_plaintext=True).name == "plain"
    assert verify(password, password, allow_plaintext=True)
    assert not verify(password + "x", password, allow_plaintext=True)
    assert not verify(password[:-1], password, allow_plaintext=True)


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ("", "no hash after the colon"),
        ("$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub", "unknown hash scheme"),
        ("$y$j9T$salt$hash", "unknown hash scheme"),
        ("{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3", "unknown hash scheme"),
        ("{sha}L55TUjtiq8FBorTWAZ0jy6g129A=", "unknown hash scheme"),
        ("$2x$" + BCRYPT[4:], "unknown hash scheme"),
        ("$ap", "hash cut short"),
        (BCRYPT[:-1], "malformed bcrypt hash (cut short or altered)"),
        (BCRYPT + "x", "malformed bcrypt hash (cut short or altered)"),
        (BCRYPT + "\n", "malformed bcrypt hash (cut short or altered)"),
        (BCRYPT.replace("$04$", "$4$"), "malformed bcrypt hash (cut short or altered)"),
        (BCRYPT.replace("$04$", "$٠٤$"), "malformed bcrypt hash (cut short or altered)"),
        (BCRYPT[:28] + "v" + BCRYPT[29:], "malformed bcrypt hash (cut short or altered)"),
        (BCRYPT[:-1] + "D", "malformed bcrypt hash (cut short or altered)"),
        ("$5$rounds=01000$salt$" + "a" * 42 + ".", "malformed sha256-crypt hash (cut short or altered)"),
        ("$6$" + "s" * 17 + "$" + "a" * 85 + ".", "malformed sha512-crypt hash (cut short or altered)"),
        ("$apr1$" + "s" * 9 + "$" + "a" * 21 + ".", "malformed apr1 hash (cut short or altered)"),
        ("$1$salt$" + "a" * 22, "malformed md5-crypt hash (cut short or altered)"),
        ("{SHA}" + "a" * 28, "malformed sha1 hash (cut short or altered)"),
        (BCRYPT.replace("$04$", "$03$"), "bcrypt cost 3 is not within 4 to 17"),
        (BCRYPT.replace("$04$", "$18$"), "bcrypt cost 18 is not within 4 to 17"),
        ("$6$rounds=999$salt$" + "a" * 85 + ".", "sha512-crypt cost 999 is not within 1000 to 5000000"),
        (
            "$5$rounds=999999999$s$" + "a" * 42 + ".",
            "sha256-crypt cost 999999999 is not within 1000 to 5000000",
        ),
        (
            "realm:5f4dcc3b5aa765d61d8327deb882cf99",
            "a line of an htdigest file (user:realm:hash), which works for HTTP Digest only",
        ),
    ],
)
@pytest.mark.parametrize("allowed", [False, True])
def test_unusable_hash(stored: str, reason: str, allowed: bool) -> None:
    """An unusable hash is recognised without trying it, with its reason, and it never opens anything."""
    found = scheme(stored, allow_plaintext=allowed)
    assert found.reason == reason
    assert not found.usable
    assert not verify(stored, stored, allow_plaintext=allowed)
    assert not verify(PHRASE, stored, allow_plaintext=allowed)


@every_scheme
def test_hash_cut_anywhere(stored: str) -> None:
    """A hash that lost its end, wherever it was cut, is unusable and no plain-text password."""
    for length in range(len(stored)):
        assert not scheme(stored[:length], allow_plaintext=True).usable, length
        assert not verify(stored[:length], stored[:length], allow_plaintext=True), length


@every_scheme
def test_reason_and_repr_without_the_hash(stored: str) -> None:
    """Neither the reason nor the repr of a scheme shows a piece of the hash."""
    secret = stored[-12:]
    for text in (stored, stored + "x", stored[:4] + secret):
        assert secret not in repr(scheme(text))


@given(password=st.text(), stored=st.text() | st.from_regex(r"(\$2y\$|\$[156]\$|\$apr1\$|\{SHA\}).*"))
def test_noise_never_raises(password: str, stored: str) -> None:
    """Whatever stands in the file and whatever a client sends, the answer is yes or no."""
    assert verify(password, stored) is False
    assert isinstance(verify(password, stored, allow_plaintext=True), bool)


def test_hash_password_round_trip() -> None:
    """A new hash is bcrypt in the form that Apache reads, at the cost that was asked for, and salted."""
    first, second = hash_password(ACCENTS, cost=4), hash_password(ACCENTS, cost=4)
    assert re.fullmatch(r"\$2y\$04\$.{53}", first)
    assert first != second
    assert verify(ACCENTS, first)
    assert verify(ACCENTS, second)
    assert not verify(PHRASE, first)


def test_hash_password_default_cost() -> None:
    """Without a cost the documented one is used."""
    assert scheme(hash_password(PHRASE)).cost == DEFAULT_COST


def test_hash_password_of_72_bytes() -> None:
    """72 bytes, counted in UTF-8, still fit and all of them count."""
    password = "é" * 36
    stored = hash_password(password, cost=4)
    assert verify(password, stored)
    assert not verify("é" * 35 + "è", stored)


@pytest.mark.parametrize(
    ("password", "cost", "message"),
    [
        ("", 4, "the password is empty"),
        ("canary\0", 4, "the password holds a control character, which HTTP Basic cannot carry (RFC 7617)"),
        ("canary\t", 4, "the password holds a control character, which HTTP Basic cannot carry (RFC 7617)"),
        ("canary\x7f", 4, "the password holds a control character, which HTTP Basic cannot carry (RFC 7617)"),
        ("canary\ud800", 4, "the password has no UTF-8 form: it holds half a surrogate pair"),
        ("canary" * 13, 4, "the password has 78 bytes, bcrypt reads 72: shorten it"),
        ("é" * 37, 4, "the password has 74 bytes, bcrypt reads 72: shorten it"),
        ("canary", 3, "bcrypt cost 3 is not within 4 to 17"),
        ("canary", 18, "bcrypt cost 18 is not within 4 to 17"),
    ],
)
def test_hash_password_refused(password: str, cost: int, message: str) -> None:
    """What bcrypt or HTTP Basic cannot keep is refused in words, never cut in silence, never repeated."""
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        hash_password(password, cost=cost)
    assert str(caught.value) == message
    assert "canary" not in message


@every_vector
def test_dummy_of_one_hash(name: str, cost: int, password: str, stored: str) -> None:
    """A dummy has the scheme, cost and length of its model, and its password is not the model's."""
    dummy = dummy_like([stored])
    assert scheme(dummy) == scheme(stored)
    assert len(dummy) == len(stored)
    assert dummy != stored
    assert not verify(password, dummy)


@pytest.mark.parametrize("stored", ["$6$$" + "a" * 85 + ".", "$1$$" + "a" * 21 + "."])
def test_dummy_of_unsalted_hash(stored: str) -> None:
    """A hash without salt has a well-formed dummy too."""
    assert scheme(dummy_like([stored])) == scheme(stored)


def test_dummy_of_a_whole_file() -> None:
    """The costliest line decides: bcrypt 12, SHA-crypt by rounds, the MD5 kinds, SHA, and plain text last."""
    ladder = [
        "plain text",
        ONE_OF_EACH["sha1"],
        ONE_OF_EACH["apr1"],
        "$6$salt$" + "a" * 85 + ".",
        BCRYPT.replace("$04$", "$10$"),
        BCRYPT.replace("$04$", "$12$"),
        "$6$rounds=656000$salt$" + "a" * 85 + ".",
    ]
    for step in range(1, len(ladder)):
        assert scheme(dummy_like(ladder[step::-1])) == scheme(ladder[step])
        assert scheme(dummy_like(ladder[: step + 1])) == scheme(ladder[step])


def test_dummy_is_random() -> None:
    """Two dummies differ in salt and digest: there is no fixed one to prepare for."""
    first, second = dummy_like([BCRYPT]), dummy_like([BCRYPT])
    assert first[7:29] != second[7:29] != BCRYPT[7:29]
    assert first[29:] != second[29:] != BCRYPT[29:]


@pytest.mark.parametrize("stored", [[], ["plain text"], [DES], [BCRYPT[:-1], ""]])
def test_dummy_without_a_usable_hash(stored: list[str]) -> None:
    """Where no hash is usable there is still a dummy to verify, of the cheapest scheme."""
    dummy = dummy_like(stored)
    assert scheme(dummy).name == "sha1"
    assert scheme(dummy).usable
    assert not verify("", dummy)


def test_dummy_costs_no_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dummy is made without computing a hash, so a reload does not stall for it."""

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(bcrypt, "hashpw", refuse)
    monkeypatch.setattr(hashes, "_CONTEXT", None)
    for stored in (BCRYPT.replace("$04$", "$17$"), ONE_OF_EACH["sha512-crypt"], ONE_OF_EACH["apr1"]):
        assert scheme(dummy_like([stored])).usable


def test_context_without_plain_text() -> None:
    """The libpass context in use holds neither plain text nor DES, whatever its defaults become."""
    assert set(hashes._CONTEXT.schemes()) == {
        "sha512_crypt",
        "sha256_crypt",
        "apr_md5_crypt",
        "md5_crypt",
        "ldap_sha1",
    }


def test_bcrypt_limit_is_that_of_the_library() -> None:
    """The library still refuses one byte more than we cut at: a change there must not pass unseen."""
    salt = bcrypt.gensalt(4)
    assert bcrypt.hashpw(b"x" * BCRYPT_BYTES, salt)
    with pytest.raises(ValueError, match="72"):
        bcrypt.hashpw(b"x" * (BCRYPT_BYTES + 1), salt)


def test_without_the_crypt_module() -> None:
    """Python 3.13 has no `crypt` module: every scheme works without it."""
    vectors = [(password, stored) for _, _, password, stored in VECTORS.values()]
    script = (
        "import sys; sys.modules['crypt'] = None\n"
        "from htpasswd import verify\n"
        f"print(all(verify(password, stored) for password, stored in {vectors!r}))\n"
    )
    root = Path(htpasswd.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
