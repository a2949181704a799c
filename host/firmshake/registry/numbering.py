"""The device id that a rule gives to a board; numbers are given from 1 on, and never twice."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from firmshake import deviceid, idrule
from firmshake.errors import Error
from firmshake.idrule import Rule
from firmshake.registry import delivery
from firmshake.registry.database import insert, one_writer
from firmshake.registry.fleetschema import NUMBERS
from firmshake.registry.schema import DEVICES

# the highest that is ever given
LAST_NUMBER = 9_999_999
# how many numbers are looked at together, at most
_AT_ONCE = 500


def fill(connection: Connection, rule: str, unique_id: str) -> str:
    """Return the device id of the board; its number, where the rule has one, is given then.

    Raises Error where that can be no device id, or the numbers have run out.
    """
    parsed = idrule.parse(rule)
    if not parsed.numbered:
        return deviceid.check(parsed.filled(unique_id=unique_id))
    # `ca issue --count` gives numbers, too
    one_writer(connection)
    put = insert(connection, NUMBERS).values(rule=rule, last=0)
    connection.execute(put.on_conflict_do_nothing())
    query = select(NUMBERS.c.last).where(NUMBERS.c.rule == rule).with_for_update()
    number = _next(connection, parsed, unique_id, connection.execute(query).scalar_one())
    given = update(NUMBERS).where(NUMBERS.c.rule == rule).values(last=number)
    connection.execute(given)
    return deviceid.check(parsed.filled(number, unique_id))


def _next(connection: Connection, rule: Rule, unique_id: str, last: int) -> int:
    """The first number behind `last` that no device has, and none that is on its way."""
    promised = delivery.claimed(connection)
    at_once = 1
    while last < LAST_NUMBER:
        numbers = range(last + 1, min(last + at_once, LAST_NUMBER) + 1)
        ids = {number: rule.filled(number, unique_id) for number in numbers}
        query = select(DEVICES.c.device_id).where(DEVICES.c.device_id.in_(ids.values()))
        known = set(connection.execute(query).scalars())
        for number, device_id in ids.items():
            mine = device_id in known or any(one.number(device_id) for one in promised)
            if not mine:
                return number
        last, at_once = numbers[-1], min(2 * at_once, _AT_ONCE)
    raise Error(
        f"all numbers of the rule {rule.text!r} were given", hint="start a run with another rule"
    )
