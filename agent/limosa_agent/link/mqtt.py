"""The MQTT link: paho, in one thread of its own, turned into a few callbacks (agent 6.1).

A fresh client per connection, clean start off: what the broker keeps for this session it sends
again, and what is not acknowledged by the *server* the outbox sends again. Callbacks run in the
link's thread.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from limosa_agent.chance import share
from limosa_agent.config import AgentConfig, is_loopback, split_address
from limosa_agent.errors import InsecureLink
from limosa_agent.identity.identity import Identity
from limosa_agent.identity.lock import reading
from limosa_agent.link.backoff import Backoff
from limosa_contracts.limits import LIMITS
from limosa_contracts.report_message import ReportMessage
from limosa_contracts.status import Status
from limosa_contracts.topics import Suffix, device_topic

log = logging.getLogger(__name__)

SESSION_EXPIRY_S: Final = 7 * 86400  # the broker keeps what it could not deliver for so long
RECEIVE_MAXIMUM: Final = 32  # messages the broker may have on their way to us
KEEPALIVE_S: Final = 30
ANSWER_EXPIRY_S: Final = 300  # whoever asked does not wait longer
CONNECT_TIMEOUT_S: Final = 10.0
PACKET_MAX_BYTES: Final = 2 * LIMITS.mqtt_message_max_bytes  # with topic and properties
DOWNWARD: Final = (Suffix.DESIRED, Suffix.ACK, Suffix.CMD)


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttCallbacks:
    connected: Callable[[], None]  # subscribed again, ready to publish
    lost: Callable[[str], None]
    message: Callable[[Suffix, bytes], None]


class _Client(mqtt.Client):
    """paho with two things it lacks: a bound on packets, and word of its thread's end."""

    def __init__(self, device: str, ended: threading.Event) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=device,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        self._thread_ended = ended

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        """What paho's thread runs: a packet that it cannot parse ends it by an exception."""
        try:
            return super().loop_forever(timeout, retry_first_connection)
        except Exception:
            log.exception("the broker said what no broker says")
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        finally:
            self._thread_ended.set()

    def _sock_recv(self, bufsize: int) -> bytes:
        """paho asks for a packet's whole announced length at first, up to 256 MB."""
        if bufsize > PACKET_MAX_BYTES:
            raise ConnectionAbortedError(f"a packet of {bufsize} bytes")
        received: bytes = super()._sock_recv(bufsize)
        return received


class MqttLink:
    """`status_session` gives a number that is higher with each connection."""

    def __init__(
        self,
        *,
        config: AgentConfig,
        identity: Identity,
        callbacks: MqttCallbacks,
        status_session: Callable[[], int],
    ) -> None:
        self._config = config
        self._identity = identity
        self._callbacks = callbacks
        self._status_session = status_session
        self._host, self._port = broker_address(config, identity)
        self._stopping = threading.Event()
        self._client: mqtt.Client | None = None
        self._up = False
        self._connected_at = 0.0
        self._changed_at = time.monotonic()
        self._session = 0
        self._ended = threading.Event()
        self._end_reason = ""
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    @property
    def up(self) -> bool:
        return self._up

    @property
    def why(self) -> str:
        """What ended the last connection, or kept it from coming about; "" while there is one."""
        return "" if self._up else self._end_reason

    @property
    def for_s(self) -> float:
        """How long it has been up, or down."""
        return time.monotonic() - self._changed_at

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Says offline itself, so that the will is not needed; waits for the thread."""
        self._stopping.set()
        client = self._client
        if client is not None and self._up:
            self._say_offline(client)
            client.disconnect()
        self._thread.join(CONNECT_TIMEOUT_S + 5)

    def _say_offline(self, client: mqtt.Client) -> None:
        said = client.publish(self._topic(Suffix.STATUS), self._status(online=False), qos=0, retain=True)
        try:
            said.wait_for_publish(1.0)
        except (RuntimeError, ValueError) as error:  # the link broke just now: the will says it instead
            log.info("mqtt ended before this device could say that it goes offline: %s", error)

    def publish(self, message: ReportMessage) -> bool:
        """Whether the client took it. Delivery is known only from the server's acknowledgement."""
        client = self._client
        if client is None or not self._up:
            return False
        properties = new_properties(PacketTypes.PUBLISH)
        properties.UserProperty = message.properties()
        info = client.publish(
            self._topic(message.suffix), message.payload, qos=1, retain=False, properties=properties
        )
        return info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def answer(self, payload: bytes, command: str) -> bool:
        """To what an operator asked; whether the client took it. `command`: the id of what is answered."""
        client = self._client
        if client is None or not self._up:
            return False
        properties = new_properties(PacketTypes.PUBLISH)
        properties.CorrelationData = command.encode()
        properties.MessageExpiryInterval = ANSWER_EXPIRY_S
        # Always its own topic, whatever a command names for it: a broker's word is nobody's.
        info = client.publish(self._topic(Suffix.ANSWER), payload, qos=1, retain=False, properties=properties)
        return info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def _run(self) -> None:
        """Connects, serves until the link is lost, waits, again."""
        pauses = Backoff(
            least_s=self._config.reconnect_min_s,
            most_s=self._config.reconnect_max_s,
            chance=share,
            stable_s=self._config.stable_after_s,
        )
        while not self._stopping.is_set():
            why = self._end_reason = self._connect_once()
            held_s = time.monotonic() - self._connected_at if self._up else 0.0
            if self._up:
                self._up = False
                self._changed_at = time.monotonic()
                self._callbacks.lost(why)
            self._stopping.wait(pauses.next_s(held_s=held_s))

    def _connect_once(self) -> str:
        """Returns why the link ended."""
        session = self._status_session()
        try:
            client = self._make_client(session)
        except OSError as error:  # the certificate's files are being renewed, or damaged
            return str(error)
        self._client = client
        connect = new_properties(PacketTypes.CONNECT)
        connect.SessionExpiryInterval = SESSION_EXPIRY_S
        connect.ReceiveMaximum = RECEIVE_MAXIMUM
        connect.MaximumPacketSize = PACKET_MAX_BYTES
        self._ended.clear()
        self._end_reason = "the broker does not answer"
        try:
            client.connect(
                self._host, self._port, keepalive=KEEPALIVE_S, clean_start=False, properties=connect
            )
        except (OSError, ssl.SSLError, ValueError) as error:
            return str(error)
        client.loop_start()
        try:
            self._wait_for_end(client)
        finally:
            self._client = None
            client.loop_stop()
        return self._end_reason

    def _wait_for_end(self, client: mqtt.Client) -> None:
        """Also ends a connection on which the broker never says CONNACK."""
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        while not self._ended.wait(0.5):
            if self._stopping.is_set() and not self._up:
                return
            if not client.is_connected() and time.monotonic() > deadline:
                return

    def _make_client(self, session: int) -> mqtt.Client:
        client = _Client(self._identity.device, self._ended)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.will_set(
            self._topic(Suffix.STATUS),
            Status(online=False, session=session).encode(),
            qos=1,
            retain=True,
        )
        if self._identity.enrolled.mqtt_tls:
            client.tls_set_context(mqtt_context(self._identity))
        self._session = session
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        return client

    def _on_connect(
        self,
        client: mqtt.Client,
        userdata: object,
        flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._end_reason = f"the broker refused: {reason}"
            self._ended.set()
            return
        # 6.2: again on every CONNACK, also where the broker says that it kept the session.
        client.subscribe([(self._topic(suffix), 1) for suffix in DOWNWARD])
        client.publish(self._topic(Suffix.STATUS), self._status(online=True), qos=1, retain=True)
        self._connected_at = self._changed_at = time.monotonic()
        self._up = True
        self._callbacks.connected()

    def _on_disconnect(
        self,
        client: mqtt.Client,
        userdata: object,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        # paho's own word where no reason came: its socket was closed at the other end.
        lost = str(reason) == "Unspecified error"
        self._end_reason = "the broker closed the connection" if lost else str(reason)
        self._ended.set()

    def _on_message(self, client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # none of ours
        for suffix in DOWNWARD:
            if topic == self._topic(suffix):
                self._callbacks.message(suffix, bytes(message.payload))
                return

    def _topic(self, suffix: Suffix) -> str:
        return device_topic(self._identity.device, suffix)

    def _status(self, *, online: bool) -> bytes:
        return Status(online=online, session=self._session).encode()


def mqtt_context(identity: Identity) -> ssl.SSLContext:
    """Mutual TLS under the fleet's own CA alone (trust 6.3). Raises OSError."""
    with reading(identity.folder):
        context = ssl.create_default_context(cafile=str(identity.ca_path))
        context.load_cert_chain(str(identity.certificate_path), str(identity.key_path))
    return context


def broker_address(config: AgentConfig, identity: Identity) -> tuple[str, int]:
    """Raises InsecureLink: without TLS only on loopback, for development (trust 6.3)."""
    told = split_address(config.broker, where="broker")
    host, port = told or (identity.enrolled.mqtt_host, identity.enrolled.mqtt_port)
    if not identity.enrolled.mqtt_tls and not is_loopback(host):
        raise InsecureLink("the broker is to be reached without TLS", where=f"{host}:{port}")
    return host, port


def new_properties(kind: int) -> Properties:
    """paho publishes this constructor without types."""
    return Properties(kind)  # type: ignore[no-untyped-call]  # as said
