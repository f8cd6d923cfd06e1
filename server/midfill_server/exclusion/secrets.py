"""Which files keep secrets, by their names: passwords, tokens and private keys.

Nothing is ever suggested in them: a model would invent what looks like a secret, or repeat one.
"""

from __future__ import annotations

import re

__all__ = ["holds_private_key", "keeps_secrets"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NAMES = _words(
    """
    .boto .credentials .dockercfg .dockerconfigjson .env .envrc .git-credentials .htdigest
    .htpasswd .my.cnf .mylogin.cnf .netrc .npmrc .passwd .password .pgpass .pypirc .renviron .s3cfg
    .secret .secrets .terraformrc .token .vault-token .vault_pass .vault_password _netrc
    application_default_credentials.json auth.json credentials id_dsa id_ecdsa id_ecdsa_sk
    id_ed25519 id_ed25519_sk id_rsa kubeconfig passwd password password.txt passwords
    passwords.txt pgpass.conf rclone.conf secret secrets secrets.txt shadow terraform.rc token
    token.json token.txt tokens.json tokens.txt vault.yaml vault.yml vault_pass vault_pass.txt
    """
)
# Names that say something only in their folder.
_IN_FOLDERS = frozenset({".aws/config", ".docker/config.json", ".kube/config", "gh/hosts.yml"})
_ENDINGS = _words(
    """
    agekey env gpg jks kdb kdbx key keystore keytab ovpn p12 p8 pem pfx pgp pkcs12 ppk secret
    secrets tfstate tfvars token
    """
)
# Data, not code: "secrets.py" and "Credentials.java" are sources like any other.
_DATA = r"\.(?:ya?ml|json|toml|ini|cfg|conf|properties|xml|csv|env|tfvars)"
_WORDS = r"(?:secrets?|credentials?|service[_-]?account(?:[_-]?key)?)"
_SPEAKING = re.compile(
    r"\.env\..+"
    rf"|(?:.*[._-])?{_WORDS}(?:\..+)?{_DATA}"
    r"|client_secret.*\.json"
    r"|.*\.tfstate\.backup"
)
_EXAMPLE = re.compile(r"(?:^|[._-])(?:example|sample|template|dist|tpl|tmpl)(?:[._-]|$)")
_PRIVATE_KEY = re.compile(r"\s*-----BEGIN [A-Z0-9 ]*PRIVATE KEY")


def keeps_secrets(path: str) -> bool:
    """Tell whether ``path`` is that of a file for secrets; ``/`` and ``\\`` both part folders.

    What is named as an example (``.env.example``) keeps none.
    """
    parts = path.replace("\\", "/").lower().rsplit("/", 2)
    name = parts[-1]
    if _EXAMPLE.search(name):
        return False
    return (
        name in _NAMES
        or "/".join(parts[-2:]) in _IN_FOLDERS
        or ("." in name and name.rpartition(".")[2] in _ENDINGS)
        or _SPEAKING.fullmatch(name) is not None
    )


def holds_private_key(text: str) -> bool:
    """Tell whether a text, whatever it is called, begins as private keys do."""
    return _PRIVATE_KEY.match(text) is not None
