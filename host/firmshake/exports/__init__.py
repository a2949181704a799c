"""What a broker or a cloud needs to let the fleet in, made from values: one module a target.

Nothing in this package does I/O.
"""

from __future__ import annotations

from collections.abc import Mapping

# name of the target: what it is, for `firmshake ca export --help`
TARGETS: Mapping[str, str] = {
    "mosquitto": "Eclipse Mosquitto 2.0",
    "emqx": "EMQX 5.8 or later",
    "hivemq": "HiveMQ Community Edition or HiveMQ 4",
    "nanomq": "NanoMQ 0.22 or later",
    "rabbitmq": "RabbitMQ 3.8 or later, with its MQTT plugin",
    "aws-iot": "AWS IoT Core",
    "azure-dps": "Azure IoT Hub Device Provisioning Service",
    "step-ca": "smallstep's step-ca, run with this CA",
}
