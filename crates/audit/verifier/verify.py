#!/usr/bin/env python3
"""Verifies bundles of Stead's audit log by docs/audit-log.md alone. Needs nothing but Python's standard library (3.9 or later).

    verify.py bundle FILE --log KEY [--witness KEY]... [--quorum N] [--held NOTE_FILE]
    verify.py vectors DIR         the vectors of the document
    verify.py cases               a JSON object a line on stdin, a code or "ok" a line on stdout

It shares no code with the crate, so that an error in one is seen by the other. Ends with 0 when all is well, with 1 when not.
"""

import argparse
import base64
import functools
import hashlib
import json
import os
import re
import sys
import unicodedata

MAX_SIZE = 2**63 - 1


class Broken(Exception):
    """A check that failed, by the code that the document gives it."""

    def __init__(self, code, why):
        super().__init__(f"{code}: {why}")
        self.code = code


class Malformed(Exception):
    """Bytes or text of another form than the document says."""


def demand(holds, why):
    if not holds:
        raise Malformed(why)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# --- Ed25519 (RFC 8032), verification only ---------------------------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def recover(encoded):
    """The point that 32 bytes encode, in extended coordinates; None when they encode none."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, p):
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = add(q, p)
        p, n = add(p, p), n >> 1
    return q


def encode_point(p):
    inverse = pow(p[2], P - 2, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = recover((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


@functools.lru_cache(maxsize=4096)
def ed25519(public, message, signature):
    if len(signature) != 64:
        return False
    point, s = recover(public), int.from_bytes(signature[32:], "little")
    if point is None or s >= ORDER:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    minus = (P - point[0], point[1], 1, P - point[3])
    return encode_point(add(times(s, BASE), times(k, minus))) == signature[:32]


# --- Encoding ---------------------------------------------------------------------------------------------------------


class Reader:
    """CBOR in the one way that the document allows."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        demand(n <= len(self.data) - self.at, "cut off")
        self.at += n
        return self.data[self.at - n : self.at]

    def head(self):
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info
        demand(info <= 27, "an indefinite length")
        width = 1 << (info - 24)
        value = int.from_bytes(self.take(width), "big")
        demand(value >= (24 if width == 1 else 1 << (4 * width)), "not in the shortest form")
        return major, value

    def item(self, depth=40):
        demand(depth, "nested too deeply")
        major, value = self.head()
        if major == 0:
            return value
        if major == 1:
            return -1 - value
        if major == 2:
            return self.take(value)
        if major == 3:
            try:
                return self.take(value).decode("utf-8")
            except UnicodeDecodeError as bad:
                raise Malformed("not UTF-8") from bad
        if major == 4:
            demand(value <= len(self.data) - self.at, "cut off")
            return [self.item(depth - 1) for _ in range(value)]
        demand(major == 7 and 20 <= value <= 22, "not a kind of item that is used")
        return {20: False, 21: True, 22: None}[value]


def read(data):
    reader = Reader(data)
    item = reader.item()
    demand(reader.at == len(data), "something follows")
    return item


def is_uint(item, top=2**64 - 1):
    return isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= top


def is_time(item):
    return isinstance(item, int) and not isinstance(item, bool) and -(2**63) <= item < 2**63


def is_bytes(item, n):
    return isinstance(item, bytes) and len(item) == n


# --- Tree -------------------------------------------------------------------------------------------------------------

NO_LEAVES = sha256(b"")


def leaf_hash(leaf):
    return sha256(b"\x00", leaf)


def node(left, right):
    return sha256(b"\x01", left, right)


def below(n):
    """The largest power of two below n."""
    return 1 << (n - 1).bit_length() - 1


def split_hashes(data):
    demand(isinstance(data, bytes) and len(data) % 32 == 0, "hashes do not come out even")
    return [data[i : i + 32] for i in range(0, len(data), 32)]


def inclusion_holds(leaf, index, size, path, root):
    """RFC 9162, section 2.1.3.2; `leaf` is its hash."""
    if index >= size or size > MAX_SIZE:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def consistency_holds(first, first_root, second, second_root, path):
    """RFC 9162, section 2.1.4.2, and the document for equal sizes and for size 0."""
    if first > second or second > MAX_SIZE:
        return False
    if first == second:
        return not path and first_root == second_root
    if first == 0:
        return not path and first_root == NO_LEAVES
    path = list(path)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    if not path:
        return False
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == first_root and sr == second_root


def selection_holds(leaves, size, path, root):
    """"Proof of a selection"; leaves are (index, hash), ascending."""
    if size > MAX_SIZE or any(index >= size for index, _ in leaves):
        return False
    rest = iter(path)

    def over(some, start, end):
        if not some:
            return next(rest)
        if end - start == 1:
            return some[0][1]
        middle = start + below(end - start)
        at = next((i for i, (index, _) in enumerate(some) if index >= middle), len(some))
        return node(over(some[:at], start, middle), over(some[at:], middle, end))

    try:
        found = over(leaves, 0, size) if size else NO_LEAVES
    except (StopIteration, RuntimeError):
        return False
    return next(rest, None) is None and found == root


# --- Keys, notes, checkpoints -----------------------------------------------------------------------------------------


def unbase64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as bad:
        raise Malformed("not base64") from bad
    demand(base64.b64encode(data).decode() == text, "base64 with unused bits")
    return data


def is_name(name):
    odd = any(c.isspace() or c == "+" or unicodedata.category(c) == "Cc" for c in name)
    return 1 <= len(name.encode()) <= 255 and not odd


class Key:
    def __init__(self, text):
        parts = text.split("+", 2)
        demand(len(parts) == 3 and is_name(parts[0]), "not a key")
        self.name, data = parts[0], unbase64(parts[2])
        demand(len(data) == 33 and data[0] in (1, 4), "neither the key of a log nor of a witness")
        self.type, self.public = data[0], data[1:]
        self.id = sha256(self.name.encode(), b"\n", data)[:4]
        demand(parts[1] == self.id.hex(), "the id is not that of the key")

    def signed(self, text, signature):
        if self.type == 1:
            return ed25519(self.public, text.encode(), signature)
        seconds = int.from_bytes(signature[:8], "big")
        if len(signature) != 72 or seconds > MAX_SIZE:
            return False
        return ed25519(self.public, f"cosignature/v1\ntime {seconds}\n{text}".encode(), signature[8:])


class Trust:
    def __init__(self, log, witnesses=(), quorum=0):
        self.log, self.witnesses, self.quorum = log, list(witnesses), quorum


def parse_note(note):
    demand(len(note.encode()) <= 131072, "too long")
    demand(not any(c < " " and c != "\n" for c in note), "a control character")
    at = note.rfind("\n\n")
    demand(at >= 0 and note.endswith("\n"), "not a text, an empty line and signatures")
    text, lines = note[: at + 1], note[at + 2 :]
    demand(lines.endswith("\n"), "no signature")
    lines = lines[:-1].split("\n")
    demand(len(lines) <= 64, "too many signatures")
    signatures = []
    for line in lines:
        demand(line.startswith("\u2014 "), "not a signature")
        name, space, blob = line[2:].partition(" ")
        blob = unbase64(blob)
        demand(space and is_name(name) and len(blob) > 4, "not a signature")
        signatures.append((name, blob[:4], blob[4:]))
    return text, signatures


def parse_checkpoint(text):
    demand(text.endswith("\n"), "a line without an end")
    lines = text[:-1].split("\n")
    demand(len(lines) >= 3 and all(lines), "a line is empty or missing")
    origin, size, root = lines[:3]
    demand(is_name(origin), "not an origin")
    demand(size.isascii() and size.isdigit() and (size == "0" or size[0] != "0") and len(size) < 20, "not a size")
    demand(int(size) <= MAX_SIZE, "not a size")
    root = unbase64(root)
    demand(len(root) == 32, "not a root")
    return origin, int(size), root


def verify_note(note, trust):
    """The checkpoint (origin, size, root) and the names of the witnesses that have signed."""
    try:
        text, signatures = parse_note(note)
    except Malformed as bad:
        raise Broken("note", bad) from bad
    try:
        checkpoint = parse_checkpoint(text)
        demand(checkpoint[0] == trust.log.name, "of another log than the key")
    except Malformed as bad:
        raise Broken("checkpoint", bad) from bad
    seen, cosigned, publics, by_log = set(), [], set(), False
    for name, key_id, signature in signatures:
        key = next((k for k in [trust.log, *trust.witnesses] if (k.name, k.id) == (name, key_id)), None)
        if key is None:
            continue
        if (name, key_id) in seen or not key.signed(text, signature):
            raise Broken("signature", f"{name}: a second line, or a wrong one")
        seen.add((name, key_id))
        if key is trust.log:
            by_log = key.type == 1
        elif key.type == 4 and key.public not in publics:
            publics.add(key.public)
            cosigned.append(name)
    if not by_log:
        raise Broken("signature", "the log has not signed")
    if len(cosigned) < trust.quorum:
        raise Broken("witnesses", f"{len(cosigned)} of {trust.quorum}")
    return checkpoint, cosigned


CERTIFICATE = ("origin", "id", "tenant", "subject", "by", "asked", "done", "runs", "records", "texts", "keys", "list", "before", "after")


def verify_certificate(note, key):
    """What a certificate of an erasure says that the log has signed."""
    try:
        text, signatures = parse_note(note)
    except Malformed as bad:
        raise Broken("note", bad) from bad
    try:
        first, *lines = text.removesuffix("\n").split("\n")
        demand(first == "stead-erasure/v1" and len(lines) > 10, "no certificate of an erasure")
        said = {}
        # Certificates of before there were keys of persons do not say how many were destroyed.
        fields = CERTIFICATE if lines[10].startswith("keys ") else tuple(name for name in CERTIFICATE if name != "keys")
        demand(len(lines) >= len(fields), "no certificate of an erasure")
        for name, line in zip(fields, lines):
            demand(line.startswith(name + " "), f"no line of {name}")
            said[name] = line[len(name) + 1 :]
        runs = lines[len(fields) :]
        demand(is_name(said["origin"]), "an origin")
        for name, digits in (("id", 32), ("subject", 64), ("list", 64)):
            demand(re.fullmatch(f"[0-9a-f]{{{digits}}}", said[name]), f"{digits} digits")
        for name in {"runs", "records", "texts", "keys"} & said.keys():
            demand(re.fullmatch("0|[1-9][0-9]{0,19}", said[name]) and int(said[name]) < 1 << 64, "a number")
        for name in ("asked", "done"):
            demand(re.fullmatch("0|-?[1-9][0-9]{0,18}", said[name]), "a time")
            demand(-(1 << 63) <= int(said[name]) < 1 << 63, "a time")
        if runs or said["runs"] == "0":
            whole = len(runs) == int(said["runs"]) and all(line.startswith("run ") for line in runs)
            listed = hashlib.sha256("".join(line + "\n" for line in runs).encode()).hexdigest()
            demand(whole and listed == said["list"], "its runs are not those that it counts")
    except Malformed as bad:
        raise Broken("certificate", bad) from bad
    if said["origin"] != key.name:
        raise Broken("signature", "of another log than the key")
    mine = [signature for name, key_id, signature in signatures if (name, key_id) == (key.name, key.id)]
    if key.type != 1 or len(mine) != 1 or not key.signed(text, mine[0]):
        raise Broken("signature", "the log has not signed")
    return said


# --- Leaves and records -----------------------------------------------------------------------------------------------

LEAF = ("v", "what", "log", "run", "seq", "at", "prev", "record", "kinds", "decisions", "approvals")


def parse_leaf(data):
    demand(len(data) <= 65535, "longer than a leaf can be")
    fields = read(data)
    demand(isinstance(fields, list) and 9 <= len(fields) <= 11 and fields[-1] is not None, "not a leaf")
    leaf = dict(zip(LEAF, fields + [None] * (11 - len(fields))))
    demand(is_uint(leaf["v"]) and leaf["v"] == 1 and is_uint(leaf["what"]) and leaf["what"] == 0, "not version 1")
    demand(isinstance(leaf["log"], str) and is_bytes(leaf["run"], 16) and is_uint(leaf["seq"]), "not a leaf")
    demand(is_time(leaf["at"]) and is_bytes(leaf["prev"], 32) and is_bytes(leaf["record"], 32), "not a leaf")
    check_leaf(leaf)
    return leaf


ACT = ("v", "what", "log", "id", "at", "act", "topic")


def parse_act(data):
    """A leaf of the operators' log."""
    demand(len(data) <= 65535, "longer than a leaf can be")
    fields = read(data)
    demand(isinstance(fields, list) and len(fields) == 7, "not an act")
    act = dict(zip(ACT, fields))
    demand(is_uint(act["v"]) and act["v"] == 1 and is_uint(act["what"]) and act["what"] == 1, "not version 1")
    demand(isinstance(act["log"], str) and is_bytes(act["id"], 16) and is_time(act["at"]), "not an act")
    topic = act["topic"]
    demand(is_bytes(act["act"], 32) and isinstance(topic, str) and 1 <= len(topic) <= 64, "not an act")
    demand(all(c in "abcdefghijklmnopqrstuvwxyz0123456789_." for c in topic), "a topic")
    return act


def check_act(act, data, index):
    try:
        shown = read(data)
        demand(isinstance(shown, list) and len(shown) == 2, "not an act")
        demand(is_bytes(shown[0], 16) and isinstance(shown[1], bytes), "not an act")
        topic, at = act["topic"].encode(), act["at"].to_bytes(8, "big", signed=True)
        found = sha256(b"stead/act/v1", act["id"], at, len(topic).to_bytes(8, "big"), topic, *shown)
        demand(found == act["act"], "it has another hash")
    except Malformed as bad:
        raise Broken("record", f"leaf {index}: {bad}") from bad


def check_leaf(leaf):
    kinds, decisions, approvals = leaf["kinds"], leaf["decisions"], leaf["approvals"]
    demand(isinstance(kinds, list) and kinds and all(is_uint(k, 255) for k in kinds), "kinds")
    demand(all(a < b for a, b in zip(kinds, kinds[1:])), "kinds are not ascending")
    for listed in (decisions, approvals):
        demand(listed is None or isinstance(listed, list) and 1 <= len(listed) <= 1024, "a list")
        demand(all(isinstance(one, list) for one in listed or []), "a list")
    for one in decisions or []:
        demand(len(one) in (2, 3) and is_uint(one[0], 2**32 - 1) and is_uint(one[1], 2), "a decision")
        demand(len(one) == 2 or is_uint(one[2]), "a decision")
    for one in approvals or []:
        demand(len(one) == 2 and is_uint(one[0], 2**32 - 1) and isinstance(one[1], bool), "an approval")
    demand((leaf["seq"] == 0) == (leaf["prev"] == bytes(32)), "prev is not that of this position")


def payload_commitment(salt, index, payload):
    """docs/journal-format.md, "Hashes"."""
    kind, rest = payload[0], payload[2:]
    if kind == 2:
        demand(is_bytes(rest[0], 32), "a commitment")
        return rest[0]
    demand(kind in (0, 1), "a payload")
    files = rest[1:] if kind == 0 else rest[3:]
    if len(files) > 1 and files[1] is not None:
        demand(is_bytes(files[1], 16), "what blinds a text")
        start = b"stead/payload/v2" + salt + files[1]
    else:
        start = b"stead/payload/v1" + salt
    start += index.to_bytes(2, "big")
    if kind == 0:
        text = sha256(start, b"\x00", rest[0])
    else:
        demand(is_bytes(rest[0], 32) and is_uint(rest[1]), "a payload")
        shown = b"\x00" if rest[2] is None else b"\x01" + rest[2]
        text = sha256(start, b"\x01", rest[0], rest[1].to_bytes(8, "big"), shown)
    if not files or not files[0]:
        return text
    out = [b"stead/artifacts/v1", text]
    for name, media, length, digest, address in files[0]:
        for word in (name.encode(), media.encode()):
            out += [len(word).to_bytes(8, "big"), word]
        demand(is_bytes(digest, 32) and is_bytes(address, 32), "an artifact")
        out += [length.to_bytes(8, "big"), digest, address]
    return sha256(*out)


def parse_record(data, prev):
    """(header, facts, payloads, leaf hash in the journal's sense)."""
    try:
        reader = Reader(data)
        demand(reader.head() == (4, 3), "not a record")
        header, facts = reader.item(), reader.item()
        control = data[: reader.at]
        payloads = reader.item()
        demand(reader.at == len(data), "something follows")
        demand(header[0] == 1 and is_bytes(header[1], 16) and is_bytes(header[8], 16), "not a header")
        out = [b"\x00", prev, len(control).to_bytes(8, "big"), control]
        for index, payload in enumerate(payloads):
            out.append(bytes([255 if payload[1] is None else payload[1]]))
            out.append(payload_commitment(header[8], index, payload))
        return header, facts, payloads, sha256(*out)
    except (IndexError, TypeError, ValueError, AttributeError, OverflowError) as bad:
        raise Malformed(f"not a record: {bad}") from bad


def leaf_of(log, header, facts, record_hash, prev):
    """The leaf that follows from a record."""
    kinds, decisions, approvals = set(), [], []
    for kind, fields in facts:
        kinds.add(kind)
        if kind == 7:
            ruled = fields[0][4] if len(fields[0]) > 4 else None
            decisions.append(fields[0][:2] + ([] if ruled is None else [ruled[0]]))
        if kind == 9:
            approvals.append(fields[0][:2])
    values = (1, 0, log, header[1], header[2], header[3], prev, record_hash, sorted(kinds))
    return dict(zip(LEAF, values + (decisions or None, approvals or None)))


# --- Bundles ----------------------------------------------------------------------------------------------------------


def parse_bundle(data):
    demand(len(data) <= 2**30, "longer than a bundle can be")
    fields = read(data)
    demand(isinstance(fields, list) and len(fields) in (4, 5), "not a bundle")
    demand(fields[0] == "stead-audit-bundle/v1" and isinstance(fields[1], str), "not a bundle")
    items, links = fields[2], fields[4] if len(fields) == 5 else []
    demand(isinstance(items, list) and isinstance(links, list), "not a bundle")
    for item in items:
        demand(isinstance(item, list) and len(item) in (2, 3) and is_uint(item[0]), "an item")
        demand(all(isinstance(part, bytes) for part in item[1:]) and len(item[1]) >= 64, "an item")
    demand(all(a[0] < b[0] for a, b in zip(items, items[1:])), "indexes are not ascending")
    demand(len(fields) == 4 or 1 <= len(links) <= 64, "links")
    for link in links:
        demand(isinstance(link, list) and len(link) == 2 and is_uint(link[0]), "a link")
    demand(all(a[0] < b[0] for a, b in zip(links, links[1:])), "links are not ascending")
    return fields[1], items, split_hashes(fields[3]), {size: split_hashes(path) for size, path in links}


def check_order(leaf, before, index, between):
    """`between`: whether the bundle has every leaf between this one and the last one of its run."""
    if before is None:
        return
    follows = leaf["seq"] == before["seq"] + 1
    wrong = leaf["seq"] <= before["seq"] or leaf["at"] < before["at"]
    if wrong or follows and leaf["prev"] != before["record"] or between and not follows:
        raise Broken("run", f"leaf {index} contradicts an earlier one of its run")


def check_record(leaf, data, index):
    """Returns how many texts are there, and how many are not."""
    try:
        header, facts, payloads, found = parse_record(data, leaf["prev"])
        demand(found == leaf["record"], "it has another hash")
        of = leaf_of(leaf["log"], header, facts, found, leaf["prev"])
        check_leaf(of)
        demand(of == leaf, "the leaf says other than it")
    except (Malformed, IndexError, TypeError, ValueError) as bad:
        raise Broken("record", f"leaf {index}: {bad}") from bad
    erased = sum(payload[0] == 2 for payload in payloads)
    return len(payloads) - erased, erased


def verify(data, trust, held=None):
    """Verifies a bundle; returns what it proves."""
    try:
        note, items, path, links = parse_bundle(data)
    except Malformed as bad:
        raise Broken("bundle", bad) from bad
    (origin, size, root), cosigned = verify_note(note, trust)
    if not selection_holds([(item[0], leaf_hash(item[1])) for item in items], size, path, root):
        raise Broken("root", "the leaves are not those of the checkpoint")
    report = {"size": size, "leaves": len(items), "records": 0, "texts": 0, "erased": 0, "whole": 0}
    last, counts, places, since, after = {}, {}, {}, 0, 0
    for index, data, *record in items:
        try:
            is_act = data[2:3] == b"\x01"
            leaf = parse_act(data) if is_act else parse_leaf(data)
            demand(leaf["log"] == origin, "of another log")
        except Malformed as bad:
            raise Broken("leaf", f"leaf {index}: {bad}") from bad
        if index != after:
            since = index
        after = index + 1
        if is_act:
            report["acts"] = report.get("acts", 0) + 1
            report["records"] += len(record)
            for shown in record:
                check_act(leaf, shown, index)
            continue
        run = leaf["run"]
        check_order(leaf, last.get(run), index, places.get(run, -1) >= since)
        last[run], places[run] = leaf, index
        first, n = counts.get(run, (leaf["seq"], 0))
        counts[run] = (first, n + 1)
        if record:
            texts, erased = check_record(leaf, record[0], index)
            report["records"] += 1
            report["texts"] += texts
            report["erased"] += erased
    for run, leaf in last.items():
        first, n = counts[run]
        report["whole"] += first == 0 and n == leaf["seq"] + 1 and any(kind in (23, 24, 25) for kind in leaf["kinds"])
    report.update(runs=len(last), cosigned=cosigned)
    if held is not None:
        check_held(held, trust, size, root, links)
    return report


def check_held(held, trust, size, root, links):
    try:
        (_, held_size, held_root), _ = verify_note(held, Trust(trust.log))
    except Broken as bad:
        raise Broken("held", bad) from bad
    if held_size == size:
        if held_root != root:
            raise Broken("held", "the log was rewritten")
        return
    if held_size > size:
        raise Broken("held", "the log was cut back, or the bundle is older than the kept checkpoint")
    path = links.get(held_size)
    if path is None or not consistency_holds(held_size, held_root, size, root, path):
        raise Broken("held", "nothing leads from the kept checkpoint to this one")


# --- Commands ---------------------------------------------------------------------------------------------------------


def code_of(case):
    """Whether a case of JSON verifies, and what it proves."""
    trust = Trust(Key(case["log"]), [Key(key) for key in case.get("witnesses", [])], case.get("quorum", 0))
    try:
        return "ok", verify(bytes.fromhex(case["file"]), trust, case.get("held"))
    except Broken as broken:
        return broken.code, None


def vectors(folder):
    def load(name):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return json.load(file)

    checked, wrong = 0, []

    def expect(found, expected, what):
        nonlocal checked
        checked += 1
        if found != expected:
            wrong.append(f"{what}: {found}, and the vector says {expected}")

    raw = bytes.fromhex
    tree = load("tree.json")
    for case in tree["inclusion"]:
        path = [raw(h) for h in case["path"]]
        found = inclusion_holds(raw(case["leaf"]), case["index"], case["size"], path, raw(case["root"]))
        expect(found, case["ok"], f"inclusion {case['index']} of {case['size']}")
    for case in tree["consistency"]:
        path = [raw(h) for h in case["path"]]
        found = consistency_holds(case["old"], raw(case["old_root"]), case["new"], raw(case["new_root"]), path)
        expect(found, case["ok"], f"consistency {case['old']} to {case['new']}")
    for case in load("leaves.json"):
        expect(leaf_vector(case), "ok" if case["ok"] else "malformed", case["name"])
    for case in load("notes.json"):
        trust = Trust(Key(case["log"]), [Key(key) for key in case["witnesses"]], case["quorum"])
        try:
            verify_note(case["note"], trust)
            found = "ok"
        except Broken as broken:
            found = broken.code
        expect(found, case["code"], case["name"])
    for case in load("bundles.json") + load("acts.json"):
        code, report = code_of(case)
        expect(code, case["code"], case["name"])
        if code == "ok":
            expect(report, case["report"], case["name"])
    for case in load("certificates.json"):
        try:
            found, said = "ok", verify_certificate(case["note"], Key(case["log"]))
        except Broken as broken:
            found, said = broken.code, None
        expect(found, case["code"], case["name"])
        if found == "ok":
            expect(said, case["says"], case["name"])
    return checked, wrong


def leaf_vector(case):
    try:
        leaf = parse_leaf(bytes.fromhex(case["leaf"]))
        if "record" in case:
            header, facts, _, found = parse_record(bytes.fromhex(case["record"]), leaf["prev"])
            demand(leaf_of(leaf["log"], header, facts, found, leaf["prev"]) == leaf, "another leaf")
            demand(leaf_hash(bytes.fromhex(case["leaf"])).hex() == case["hash"], "another hash")
    except Malformed:
        return "malformed"
    return "ok"


def main():
    parser = argparse.ArgumentParser(description="Verifies bundles of Stead's audit log.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("bundle", help="verify a bundle")
    one.add_argument("file")
    one.add_argument("--log", required=True, help="the log's key, NAME+ID+KEY")
    one.add_argument("--witness", action="append", default=[], help="a witness's key")
    one.add_argument("--quorum", type=int, default=0, help="witnesses that must have signed")
    one.add_argument("--held", help="a file with a checkpoint that was kept")
    one = commands.add_parser("certificate", help="verify a certificate of an erasure")
    one.add_argument("file")
    one.add_argument("--log", required=True, help="the key of the operators' log, NAME+ID+KEY")
    commands.add_parser("vectors", help="check the vectors of the document").add_argument("folder")
    commands.add_parser("cases", help="verify cases from stdin, one a line")
    args = parser.parse_args()
    if args.command == "cases":
        for line in sys.stdin:
            print(code_of(json.loads(line))[0])
        return 0
    if args.command == "vectors":
        checked, wrong = vectors(args.folder)
        print("\n".join(wrong + [f"{checked} checked, {len(wrong)} wrong"]))
        return 1 if wrong or not checked else 0
    try:
        if args.command == "certificate":
            with open(args.file, encoding="utf-8", newline="") as file:
                print(json.dumps(verify_certificate(file.read(), Key(args.log))))
            return 0
        trust = Trust(Key(args.log), [Key(key) for key in args.witness], args.quorum)
        held = None
        if args.held:
            with open(args.held, encoding="utf-8", newline="") as file:
                held = file.read()
        with open(args.file, "rb") as file:
            print(json.dumps(verify(file.read(), trust, held)))
        return 0
    except Malformed as bad:
        print(f"verify.py: a key: {bad}", file=sys.stderr)
    except Broken as broken:
        print(f"verify.py: {args.file}: broken: {broken}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
