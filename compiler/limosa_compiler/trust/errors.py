"""Errors of keys, signing and publishing: LM-150 to LM-179.

TrustError      WrongTeam, DamagedMetadata, ExpiredMetadata, NotSigned, RedirectRefused
RequestError    KeyUnusable, KeysExist, KeyHolderRefused, ServerRefused, TooFewRootKeys, RotationRefused
  Conflict      VersionTaken, PublishRace
  NotAuthorised TokenUnusable
"""

from __future__ import annotations

from limosa_contracts.errors import Conflict, NotAuthorised, RequestError, TrustError


class WrongTeam(TrustError):
    code = "LM-150"
    summary = "an artifact's path belongs to another team than the key that is to sign it"
    default_hint = "use the key and metadata of the artifact's team, or build it under your team's name"


class DamagedMetadata(TrustError):
    code = "LM-151"
    summary = "a file of a team's metadata does not parse, or its key did not sign it"
    default_hint = "restore the offline folder from its backup; the server's copies are as good"


class ExpiredMetadata(TrustError):
    code = "LM-152"
    summary = "a team's role has expired: no device would believe what is published under it"
    default_hint = "limosa keys refresh --help"


class NotSigned(TrustError):
    code = "LM-153"
    summary = "a variant of an artifact carries no model signature"
    default_hint = "limosa publish signs it; without --server it only signs"


class RedirectRefused(TrustError):
    code = "LM-154"
    summary = "a server sends the publisher elsewhere, which would give its token away"
    default_hint = "give the address of the server itself"


class KeyUnusable(RequestError):
    code = "LM-155"
    summary = "a signing key cannot be read, is encrypted, or is of another kind"
    default_hint = "a P-256 key in PEM; LIMOSA_KEY_PASSWORD holds its password if it is encrypted"


class KeysExist(RequestError):
    code = "LM-156"
    summary = "keys are there already; making new ones would lock every device out"
    http_status = 409
    default_hint = "choose an empty folder, or move the old one to a safe place"


class VersionTaken(Conflict):
    code = "LM-157"
    summary = "another artifact has been published under this version"
    default_hint = "build it with a new version: a published version never changes"


class PublishRace(Conflict):
    code = "LM-158"
    summary = "other publishers of the team were first, again and again"
    default_hint = "the same command may be given again"


class TokenUnusable(NotAuthorised):
    code = "LM-159"
    summary = "the API token is missing or is not one"
    exit_code = 4
    default_hint = "limosa token create --role publisher, then --token or LIMOSA_TOKEN"


class KeyHolderRefused(RequestError):
    code = "LM-161"
    summary = "the device or service that holds a signing key did not sign, or signed with another key"
    default_hint = "its PIN goes into LIMOSA_KEY_PIN; its access rights come from its own environment"


class TooFewRootKeys(RequestError):
    code = "LM-661"
    summary = "not as many root keys are at hand as must sign a new root"
    default_hint = "bring the root keys together in the offline folder; one of three may be missing"


class RotationRefused(RequestError):
    code = "LM-662"
    summary = "a key cannot be replaced as it was asked for"
    default_hint = "limosa keys rotate --help"


class RootNotSpread(RequestError):
    code = "LM-692"
    summary = "devices do not have the new root CA yet, or nobody knows whether they do"
    default_hint = "limosa server root-ca; wait for them, or leave each behind by its name: --without NAME"


class ServerRefused(RequestError):
    code = "LM-160"
    summary = "the server understood and refused, or answered what this command does not understand"
