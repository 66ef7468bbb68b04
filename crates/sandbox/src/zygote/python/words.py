# What init and seed tell each other (`wire/`): CBOR (RFC 8949), as far as it is used there.

import struct


def decode(data, at=0):
    """One item, and where the next one begins."""
    kind, low = data[at] >> 5, data[at] & 31
    at += 1
    if kind == 7:
        return {20: False, 21: True, 22: None}[low], at
    if low >= 24:
        size = 1 << (low - 24)
        low = int.from_bytes(data[at : at + size], "big")
        at += size
    if kind == 0:
        return low, at
    if kind == 3:
        return data[at : at + low].decode(), at + low
    if kind == 4:
        items = []
        for _ in range(low):
            item, at = decode(data, at)
            items.append(item)
        return items, at
    raise Fault(f"a message has an item of kind {kind}")


def _text(words):
    data = words.encode(errors="replace")[:60_000]
    return b"\x79" + struct.pack(">H", len(data)) + data


def forked(pid):
    """It has given up its rights; its number inside."""
    return b"\x82\x02\x81\x1a" + struct.pack(">I", pid)


def cold(why):
    """It becomes another program after all."""
    return b"\x82\x03\x81" + _text(why)


def failed(kind, why):
    """It does not become the command. Kinds: 0 what was asked, 1 the command, 2 the host."""
    return b"\x82\x01\x81\x82" + bytes([kind]) + b"\x81" + _text(why)
