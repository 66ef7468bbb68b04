"""Reads a log that Stead has written by the package aics-tlog, whose authors know nothing of Stead: checkpoint, every tile, every
entry bundle, proofs. Usage: other_reader.py FOLDER LOG_KEY WITNESS_KEY; ends with a line of what it proved."""

import pathlib
import sys

from aics_tlog import (
    FileSystemTileReader,
    VerifiedTileReader,
    audit_tiles,
    consistency_proof_from_tiles,
    inclusion_proof_from_tiles,
    parse_checkpoint,
    parse_note,
    parse_vkey,
    verify_checkpoint,
    verify_consistency,
    verify_leaf_inclusion,
)

folder, log_key, witness_key = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
note = parse_note((folder / "checkpoint").read_bytes())
verified = verify_checkpoint(note, parse_vkey(log_key), [parse_vkey(witness_key)], quorum=1)
assert verified.ok, verified
checkpoint = parse_checkpoint(note.text)
size, root = checkpoint.size, checkpoint.root
files = FileSystemTileReader(folder)
audit_tiles(files, size, root)
reader = VerifiedTileReader(files, size, root)
indexes = sorted({0, 1, 255, 256, size // 2, size - 2, size - 1} & set(range(size)))
for index in indexes:
    path = inclusion_proof_from_tiles(reader, index, size)
    assert verify_leaf_inclusion(reader.entry(index), index, size, path, root), index
older = (folder / "checkpoint.old").read_bytes()
before = parse_checkpoint(parse_note(older).text)
path = consistency_proof_from_tiles(reader, before.size, size)
assert verify_consistency(before.size, size, before.root, root, path)
print(f"{size} leaves audited, {len(indexes)} included, consistent with {before.size}")
