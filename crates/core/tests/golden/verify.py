#!/usr/bin/env python3
"""Reads journal vectors by docs/journal-format.md alone and recomputes their hashes.

Usage: verify.py FILE.hex...   in order of the chain. Needs nothing but Python's standard library.
Shares no code with the crate, so that an error in the crate cannot hide in its own test.
"""

import hashlib
import sys


class Reader:
    """The subset of RFC 8949 that a record uses: definite lengths, shortest forms."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        out = self.data[self.at : self.at + n]
        if len(out) != n:
            raise ValueError("cut off")
        self.at += n
        return out

    def head(self):
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info
        if info > 27:
            raise ValueError(f"additional information {info}")
        width = 1 << (info - 24)
        value = int.from_bytes(self.take(width), "big")
        if major != 7 and width > 1 and value < 1 << (4 * width) or major != 7 and width == 1 and value < 24:
            raise ValueError("not the shortest form")
        return major, value

    def item(self):
        major, value = self.head()
        if major == 0:
            return value
        if major == 1:
            return -1 - value
        if major == 2:
            return self.take(value)
        if major == 3:
            return self.take(value).decode("utf-8")
        if major == 4:
            return [self.item() for _ in range(value)]
        if major == 7 and value in (20, 21):
            return value == 21
        if major == 7 and value == 22:
            return None
        raise ValueError(f"major type {major}, value {value}")


def commitment(salt, index, payload):
    kind, rest = payload[0], payload[2:]
    start = b"stead/payload/v1" + salt
    own = {0: 2, 1: 4}.get(kind)
    if own is not None and len(rest) > own and rest[own] is not None:
        if len(rest[own]) != 16:
            raise ValueError("what blinds a text is not 16 bytes")
        start = b"stead/payload/v2" + salt + rest[own]
    start += index.to_bytes(2, "big")
    if kind == 0:
        return with_artifacts(hashlib.sha256(start + b"\x00" + rest[0]).digest(), rest[1:])
    if kind == 1:
        address, length, preview = rest[:3]
        shown = b"\x00" if preview is None else b"\x01" + preview
        body = b"\x01" + address + length.to_bytes(8, "big") + shown
        return with_artifacts(hashlib.sha256(start + body).digest(), rest[3:])
    if kind == 2:
        return rest[0]
    raise ValueError(f"payload kind {kind}")


def with_artifacts(text, rest):
    if not rest or not rest[0]:
        return text
    h = hashlib.sha256(b"stead/artifacts/v1" + text)
    for name, media, length, digest, address in rest[0]:
        for word in (name.encode(), media.encode()):
            h.update(len(word).to_bytes(8, "big") + word)
        h.update(length.to_bytes(8, "big") + digest + address)
    return h.digest()


def read(record):
    """Returns (header, facts, payloads, control bytes)."""
    r = Reader(record)
    if r.head() != (4, 3):
        raise ValueError("not an array of three")
    header, facts = r.item(), r.item()
    control = record[: r.at]
    payloads = r.item()
    if r.at != len(record):
        raise ValueError("trailing bytes")
    return header, facts, payloads, control


def main(paths):
    before = bytes(32)
    for path in paths:
        seq = int(path.rsplit("/", 1)[-1][:2])
        prev, leaf, *lines = open(path, encoding="ascii").read().split("\n")
        prev = bytes.fromhex(prev.removeprefix("prev "))
        leaf = bytes.fromhex(leaf.removeprefix("leaf "))
        if prev != before:
            raise SystemExit(f"{path}: does not chain to the vector before it")
        header, facts, payloads, control = read(bytes.fromhex("".join(lines)))
        if header[0] != 1 or header[2] != seq or len(header[1]) != 16 or len(header[8]) != 16:
            raise SystemExit(f"{path}: the header is not as documented: {header}")
        if not all(isinstance(f[0], int) and isinstance(f[1], list) and len(f) == 2 for f in facts):
            raise SystemExit(f"{path}: the facts are not as documented: {facts}")
        h = hashlib.sha256(b"\x00" + prev + len(control).to_bytes(8, "big") + control)
        for index, payload in enumerate(payloads):
            label = payload[1]
            h.update(bytes([255 if label is None else label]))
            h.update(commitment(header[8], index, payload))
        if h.digest() != leaf:
            raise SystemExit(f"{path}: leaf is {h.hexdigest()}, the vector says {leaf.hex()}")
        before = leaf
        print(f"ok {path.rsplit('/', 1)[-1]}: {len(facts)} facts, {len(payloads)} payloads")


if __name__ == "__main__":
    main(sys.argv[1:])
