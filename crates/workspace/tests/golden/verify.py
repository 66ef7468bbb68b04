"""Reads the vectors of docs/workspaces.md by that page alone: with nothing of Stead, and nothing but the standard library."""

import pathlib
import sys


def cbor(data, at):
    """One item of the CBOR that the page allows: (value, where the next one begins)."""
    first = data[at]
    major, low = first >> 5, first & 31
    at += 1
    if major == 7:
        return {20: False, 21: True}[low], at
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(low, 0)
    assert low < 28, "a length that is not definite"
    number = int.from_bytes(data[at : at + size], "big") if size else low
    at += size
    assert not size or number >= {1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}[size], "not the shortest form"
    if major == 0:
        return number, at
    if major == 2:
        assert at + number <= len(data)
        return data[at : at + number], at + number
    assert major == 4, "a shape that the page does not name"
    out = []
    for _ in range(number):
        item, at = cbor(data, at)
        out.append(item)
    return out, at


def directory(data):
    """The entries of a directory."""
    (version, entries), end = cbor(data, 0)
    assert version == 1 and end == len(data)
    names = [name for name, _ in entries]
    assert names == sorted(set(names)), "names ascend"
    for name, (kind, fields) in entries:
        assert 1 <= len(name) <= 255 and name not in (b".", b"..") and not set(name) & {0, 0x2F}
        if kind == 0:
            executable, size, content = fields
            assert isinstance(executable, bool) and isinstance(size, int) and len(content) == 32
        elif kind == 1:
            (target,) = fields
            assert 1 <= len(target) <= 4095 and 0 not in target
        else:
            assert kind == 2
            tree, count, size = fields
            assert len(tree) == 32 and isinstance(count, int) and isinstance(size, int)
    return entries


def main():
    vectors = sorted((pathlib.Path(__file__).parent / "v1").glob("*.hex"))
    assert len(vectors) >= 3, "no vectors"
    read = {path.stem: directory(bytes.fromhex(path.read_text())) for path in vectors}
    assert read["01-empty"] == []
    kinds = dict((name, node) for name, node in read["02-kinds"])
    assert kinds[b"run"] == [0, [True, 23, b"\x01" * 32]]
    assert kinds[b"link"] == [1, [b"../elsewhere"]]
    assert kinds[b"src"] == [2, [b"\x03" * 32, 300, 70000]]
    print(f"{len(vectors)} vectors read")


if __name__ == "__main__":
    sys.exit(main())
