"""The key of an endpoint: from the environment, or from the keyring of the user's system.

A project's file may name any endpoint. So a key that was set for another purpose is not sent there:
OPENAI_API_KEY goes to OpenAI (or to OPENAI_BASE_URL), AZURE_OPENAI_API_KEY to Azure (or to
AZURE_OPENAI_ENDPOINT), a key of the keyring to the host that it was kept for. TORCHPORT_API_KEY goes
to the endpoint that is configured.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from torchport_translators.llm.settings import ModelSettings

SERVICE = "torchport"
_AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")


class KeyProblem(Exception):
    """There is no key that may be sent, or the keyring does not work; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Key:
    """A secret, which no `repr` shows.

    Attributes:
        value: what is sent; empty where the endpoint needs none.
        origin: where it came from, for the reader.
    """

    value: str = field(repr=False)
    origin: str

    def hidden_in(self, text: str) -> str:
        """A text without the key: servers repeat it in their messages."""
        return text.replace(self.value, "***") if self.value else text


def find_key(settings: ModelSettings) -> Key:
    """The key for the endpoint of these settings.

    Raises:
        KeyProblem: there is none, or it would go over the network in the clear.
    """
    key = _from_environment(settings) or _from_keyring(settings.host)
    if key is None:
        if settings.local:
            return Key("", "none is needed on this machine")
        raise KeyProblem(
            f"There is no key for {settings.host}. Set TORCHPORT_API_KEY, or keep one in the keyring "
            f"of your system: torchport llm --set-key. {_passed_over(settings)}".rstrip()
        )
    if not settings.local and urlsplit(settings.base_url).scheme != "https":
        raise KeyProblem(
            f"The key for {settings.host} would be sent in the clear: write an https:// base_url."
        )
    return key


def _from_environment(settings: ModelSettings) -> Key | None:
    for variable in ("TORCHPORT_API_KEY", *_variables(settings)):
        if value := os.environ.get(variable, "").strip():
            return Key(value, variable)
    return None


def _variables(settings: ModelSettings) -> tuple[str, ...]:
    """The variables of other programs whose keys are meant for this endpoint."""
    found: list[str] = []
    if settings.host in ("api.openai.com", _host_of("OPENAI_BASE_URL")):
        found.append("OPENAI_API_KEY")
    if settings.host.endswith(_AZURE) or settings.host == _host_of("AZURE_OPENAI_ENDPOINT"):
        found.append("AZURE_OPENAI_API_KEY")
    return tuple(found)


def _host_of(variable: str) -> str | None:
    return urlsplit(os.environ.get(variable, "")).netloc or None


def _passed_over(settings: ModelSettings) -> str:
    """Which key there is, and why it is not sent."""
    taken = _variables(settings)
    for variable, owner in (("OPENAI_API_KEY", "OpenAI"), ("AZURE_OPENAI_API_KEY", "Azure")):
        if variable not in taken and os.environ.get(variable):
            return f"{variable} is for {owner}, and is not sent to another host."
    return ""


def _from_keyring(host: str) -> Key | None:
    """The key kept for a host; None without a keyring that works."""
    try:
        import keyring

        value = keyring.get_password(SERVICE, host)
    except Exception:  # a keyring's backends raise what they like, and none is needed
        return None
    return Key(value, f"the keyring, for {host}") if value else None


def keep_key(host: str, value: str) -> None:
    """Keep a key in the keyring for a host; an empty one removes what was kept.

    Raises:
        KeyProblem: there is no keyring that works.
    """
    try:
        import keyring

        if value:
            keyring.set_password(SERVICE, host, value)
        elif keyring.get_password(SERVICE, host) is not None:
            keyring.delete_password(SERVICE, host)
    except ImportError as error:
        raise KeyProblem("The keyring needs a package: pip install 'torchport[llm]'.") from error
    except Exception as error:  # a keyring's backends raise what they like
        raise KeyProblem(
            f"The keyring of this system does not work ({error}). Set TORCHPORT_API_KEY instead."
        ) from error
