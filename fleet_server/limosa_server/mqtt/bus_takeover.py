"""Ends another client's session at the broker by taking it over (MQTT 5, 3.1.4)."""

from __future__ import annotations

import threading
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from limosa_server.errors import BrokerFailed
from limosa_server.mqtt.bus import BrokerAddress

ANSWER_S: Final = 10.0


def end_session(address: BrokerAddress, client_id: str) -> None:
    """Returns when `client_id` is disconnected, and the broker has forgotten its session.

    `address` has a certificate of that name. Raises BrokerFailed if the broker does not answer.
    """
    assert address.tls is not None
    taken = threading.Event()
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5, reconnect_on_failure=False
    )

    def on_connect(_: mqtt.Client, __: Any, ___: Any, reason: ReasonCode, ____: Any) -> None:
        if not reason.is_failure:
            taken.set()

    client.on_connect = on_connect
    client.tls_set(
        ca_certs=str(address.tls.ca), certfile=str(address.tls.certificate), keyfile=str(address.tls.key)
    )
    try:
        client.connect(address.host, address.port, clean_start=True)
        client.loop_start()
        if not taken.wait(ANSWER_S):
            raise BrokerFailed("the broker does not end a session", where=client_id)
    except OSError as error:
        raise BrokerFailed("the broker does not end a session", where=client_id, why=str(error)) from error
    finally:
        client.disconnect()
        client.loop_stop()
