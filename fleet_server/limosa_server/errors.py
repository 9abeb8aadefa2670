"""Errors of the fleet server's foundation and device side: LM-600 to LM-649.

RequestError
  MethodNotAllowed, PreconditionFailed, RangeNotSatisfiable, MethodUnsupported, UploadUnknown,
  BlobUnknown, EnrolmentRefused, DeviceRevoked, MetadataRefused, ListenRefused, BaselineUnknown, NoDelta,
  NotAMirror, DatabaseRefused, DeviceOffline, TooManyCommands,
  GroupInUse, TooManyGroups, WebhookRefused
FaultError
  BrokerFailed, TrustFolderIncomplete, StoreNewer, StoreDamaged, BlobDamaged
TransferError
  StorageFull, StoreBusy, StoreDown, DeltaNotReady, NoAnswer
VerdictError
  CommandRefused
TrustError
  DeviceRevoked, WeakKey, StaleCertificate, Replayed, CopyDiffers
"""

from __future__ import annotations

from limosa_contracts.errors import (
    FaultError,
    NotAuthenticated,
    RequestError,
    TransferError,
    TrustError,
    VerdictError,
)
from limosa_server.core import errors as rollout_errors  # noqa: F401  # its codes are known wherever these are


class MethodNotAllowed(RequestError):
    code = "LM-600"
    summary = "the resource exists, but not for this HTTP method"
    http_status = 405


class PreconditionFailed(RequestError):
    code = "LM-601"
    summary = "somebody else changed it first (If-Match)"
    http_status = 412
    default_hint = "read the current state, and apply the change to that"


class RangeNotSatisfiable(RequestError):
    code = "LM-602"
    summary = "the range that was asked for is not within the blob"
    http_status = 416


class UploadUnknown(RequestError):
    code = "LM-603"
    summary = "an upload does not exist, or has ended"
    http_status = 404
    default_hint = "start the upload again"


class BlobUnknown(RequestError):
    code = "LM-604"
    summary = "a blob or manifest that is referred to is not on the server"
    http_status = 404
    default_hint = "push it first; `limosa publish` does so"


class EnrolmentRefused(NotAuthenticated):
    code = "LM-605"
    summary = "an enrolment token is unknown, used, expired or bound to another device"
    default_hint = "limosa device enroll-token"


class DeviceRevoked(TrustError):
    code = "LM-606"
    summary = "the device was revoked, or its certificate is not one of this fleet"
    default_hint = "an operator can let it in again: limosa device enroll-token"


class MetadataRefused(TrustError):
    code = "LM-607"
    summary = "a team's metadata is not signed, not newer, not of this team, or refers to what is not there"
    http_status = 422


class ListenRefused(RequestError):
    code = "LM-608"
    summary = "development mode is for loopback only"
    default_hint = "leave out --dev, or listen on 127.0.0.1"


class WeakKey(TrustError):
    code = "LM-609"
    summary = "a certificate request does not carry a P-256 key that it is signed by"
    http_status = 422


class StaleCertificate(TrustError):
    code = "LM-610"
    summary = "a device's certificate has expired, beyond the time in which it may be renewed"
    default_hint = "an operator lets it in again: limosa device enroll-token --device NAME"


class Replayed(TrustError):
    code = "LM-611"
    summary = "an assertion was used before"
    http_status = 401
    default_hint = "make a new one, with a new jti"


class BaselineUnknown(RequestError):
    code = "LM-612"
    summary = "a telemetry window counts against a baseline that its release does not have"
    default_hint = "limosa release show NAME@VERSION"


class NoDelta(RequestError):
    code = "LM-613"
    summary = "there is no delta between two blobs that would save bytes"
    http_status = 404
    default_hint = "fetch the blob itself, without `from`"


class NotAMirror(RequestError):
    code = "LM-615"
    summary = "a folder that a mirror shall be written to holds something else"
    default_hint = "name an empty folder, or one that limosa mirror export has written before"


class DeltaNotReady(TransferError):
    code = "LM-614"
    summary = "a delta is still being made"
    default_hint = "ask again, or fetch the blob itself, without `from`"


class BrokerFailed(FaultError):
    code = "LM-620"
    summary = "the MQTT broker does not start or does not answer"
    default_hint = "apt-get install mosquitto, or look into broker/mosquitto.log in the data folder"


class TrustFolderIncomplete(FaultError):
    code = "LM-621"
    summary = "the server's keys or its trust root are missing"
    default_hint = "limosa keys init --offline DIR --server DATA/trust --team NAME"


class StoreNewer(FaultError):
    code = "LM-622"
    summary = "the database was written by a newer version of the server"
    default_hint = 'pip install --upgrade "limosa[server]"'


class WebhookRefused(RequestError):
    code = "LM-644"
    summary = "a webhook is not https, or leads into a private network"
    default_hint = "a host of your own network is allowed by name: limosa server run --webhook-host HOST"


class CopyDiffers(TrustError):
    code = "LM-645"
    summary = "two servers have other bytes under one release"
    http_status = 409
    default_hint = "a version is published once: publish the other bytes as another version"


class BlobDamaged(FaultError):
    code = "LM-646"
    summary = "a manifest in the blob folder is missing, or not what was pushed"
    default_hint = "push it again: limosa publish, or limosa server restore"


class StoreDamaged(FaultError):
    code = "LM-626"
    summary = "the database file cannot be read as one"
    default_hint = "put a backup in its place; devices keep what they run, and report again"


class AlreadyRunning(FaultError):
    code = "LM-623"
    summary = "another server already works in this data folder, or with this database"
    default_hint = "stop it first, or name another folder with --data"


class BackupFailed(FaultError):
    code = "LM-675"
    summary = "a backup cannot be made, read or put back"
    default_hint = "limosa server check says what is wrong with a server, or with a backup"


class DeviceOffline(RequestError):
    code = "LM-663"
    summary = "a device that is not connected cannot be asked anything"
    http_status = 409
    exit_code = 6
    default_hint = "limosa device show DEVICE says when it was last heard; ask again when it is back"


class TooManyCommands(RequestError):
    code = "LM-664"
    summary = "a device is asked more than it answers"
    http_status = 409
    default_hint = "wait for its answers, or two minutes"


class CommandRefused(VerdictError):
    code = "LM-665"
    summary = "a device says no to a command"


class NoAnswer(TransferError):
    code = "LM-666"
    summary = "a device did not answer a command in time"
    exit_code = 7
    default_hint = "its link may have just gone: limosa device show DEVICE"


class GroupInUse(RequestError):
    code = "LM-667"
    summary = "a group that a rollout is about cannot be taken away"
    http_status = 409
    default_hint = "wait for the rollout's end, or cancel it"


class TooManyGroups(RequestError):
    code = "LM-668"
    summary = "more groups by selector than are looked at when a label changes"
    http_status = 409
    default_hint = "limosa group delete NAME takes one away that nobody needs"


class DatabaseRefused(RequestError):
    code = "LM-669"
    summary = "a database is named that this server does not work with"
    default_hint = "for example postgresql:///limosa?host=/run/postgresql; without --database it is SQLite"


class StoreDown(TransferError):
    code = "LM-670"
    summary = "the database does not answer"
    default_hint = "is PostgreSQL running? The server goes on by itself when it is back"


class SecondPersonNeeded(RequestError):
    code = "LM-656"
    summary = "an action waits for a second person to ask for the same"
    http_status = 409
    default_hint = "somebody else gives the same command within a day: limosa server second-person"


class HistoryRewritten(TrustError):
    code = "LM-658"
    summary = "the audit trail does not hold together, or is not the one that a kept head speaks of"
    default_hint = "keep the export and the heads: they prove it; a restored database ends in a new epoch"


class RenewedTooOften(TransferError):
    code = "LM-657"
    summary = "a device asks for certificates faster than it can need them"
    http_status = 429
    default_hint = "a device renews once in weeks: look into its log"


class StorageFull(TransferError):
    code = "LM-625"
    summary = "the server has no room to store what came"
    default_hint = "make room in the server's data folder; what was stored before is unharmed"


class StoreBusy(TransferError):
    code = "LM-624"
    summary = "the database did not answer in time"
