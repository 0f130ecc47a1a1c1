#!/usr/bin/python3
"""Writes the golden vectors and the golden repositories beside this file (or into FOLDER), from docs/format.md alone.

It shares no code with Stillpoint or the emergency reader, so that each of the three checks the others. Salts, keys and
contents come from a seed: running it again gives the same bytes (with the same version of zstd; a vector with
compressed content is for opening only, and `compressed` beside it tells what was sealed).

    apt install python3-cryptography python3-zstandard python3-argon2
    test/vectors/make-vectors.py [FOLDER]
"""

import base64
import hashlib
import hmac
import json
import os
import shutil
import struct
import sys
import unicodedata

import zstandard
from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
HOLE = bytes(32)
DATA, IMAGE_NODE, STREAM_NODE, DIRECTORY_NODE = 1, 2, 3, 4
TYPES = {"pack": 1, "index": 2, "manifest": 3, "tags": 4, "hold": 5, "proof": 6, "forgotten": 7, "sweep": 8, "lease": 9, "locks": 11, "config": 12, "reader": 13}
CLASSES = {"metadata": 1, "data": 2}

# ---- Primitives ----


class Seeded:
    """Bytes that look random and are the same every time."""

    def __init__(self, seed):
        self.seed, self.counter = seed.encode(), 0

    def take(self, length):
        out = b""
        while len(out) < length:
            self.counter += 1
            out += hashlib.sha256(self.seed + struct.pack(">I", self.counter)).digest()
        return out[:length]


def b64(data):
    return base64.b64encode(data).decode("ascii")


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def hkdf(secret, salt, info):
    return HKDF(SHA256(), 32, salt, info).derive(secret)


def seal(key, number, plaintext, associated):
    return AESGCM(key).encrypt(bytes(8) + struct.pack(">I", number), plaintext, associated)


def zstd(data, content_size=True):
    return zstandard.ZstdCompressor(level=3, write_content_size=content_size).compress(data)


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


# ---- Keys ----

MASTER_KEY = hashlib.sha256(b"stillpoint test vectors: master key").digest()
REPOSITORY = hashlib.sha256(b"stillpoint test vectors: repository").digest()[:16]
CREATED = "2026-11-20T10:00:00.000Z"
SECRET = hashlib.sha256(b"stillpoint test vectors: key file").digest()
KEY_FILE = f"stillpoint-key-1:{b64(SECRET)}\n"
PASSPHRASE = "cafe\u0301 am Fluß 🦉"      # decomposed on purpose: it must be brought into NFC first
# Made once with age 1.1.1 (`age-keygen`, `age -r RECIPIENT`), because age draws its own randomness.
AGE_IDENTITY = "AGE-SECRET-KEY-1KQ8KUUG7JPHXXSP9FLEMX65YTK35VD9DSA0E4ALZ5WJP7XQSYRNS705QYR\n"
AGE_RECIPIENT = "age1elwxkdv5uwgaze92ej40pa7lev9qdpqgc8cn3whwxms96y9lx3aq5d0kju"
AGE_WRAPPED = (
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBSeHBXWC9IcHdxbFB0NTVFcUhzZ3p2bzBmbndhZUFMYkJraUlBMEJidVcwCm5WVDFXK1E0"
    "T3o0ZUZ0dUdOUzF3TGxDVnFQWEFEMUEyK2FGbWY1VXliaG8KLS0tIHBuNUtRVEUxMlRZd2xoSVp5QnhyOU9aTXRESXZXdEpGTkNrUlRSdEdub0kK"
    "Z5mUJtUfDJPLDvUfNTvQ8y52tgGZkJKQHq9tsIfl4FwFblEeexNznV5ERJ0jbnm2lVfKiFMbuzT1to0bWhyqrw=="
)
CLASS_KEYS = {
    name: hkdf(MASTER_KEY, REPOSITORY, b"stillpoint/1/class/" + name.encode())
    for name in ("content-id", "metadata", "data", "signing", "source-tag", "verify", "chunker")
}
SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(CLASS_KEYS["signing"])
PUBLIC_KEY = SIGNING_KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
FORMAT = {
    "format": "stillpoint",
    "version": 1,
    "suite": 1,
    "repository": REPOSITORY.hex(),
    "created": CREATED,
    "key_check": mac(CLASS_KEYS["verify"], b"stillpoint/1/key-check").hex(),
}


def wrap(wrapping_key):
    return AESGCM(wrapping_key).encrypt(bytes(12), MASTER_KEY, b"stillpoint/1/key" + REPOSITORY)


def key_objects():
    seeded = Seeded("keys")
    salt = seeded.take(32)
    kdf = {"name": "argon2id", "version": 19, "memory_kib": 1024, "passes": 2, "parallelism": 4, "salt": b64(salt)}
    phrase = unicodedata.normalize("NFC", PASSPHRASE).encode("utf-8")
    phrase_key = hash_secret_raw(phrase, salt, 2, 1024, 4, 32, Type.ID, 19)
    file_salt = seeded.take(32)
    file_key = hkdf(SECRET, file_salt, b"stillpoint/1/wrap")
    return {
        "passphrase": ("1111111111111111", phrase_key, {
            "version": 1, "type": "passphrase", "label": "paper in the safe", "created": CREATED,
            "kdf": kdf, "wrapped": b64(wrap(phrase_key))}),
        "key-file": ("2222222222222222", file_key, {
            "version": 1, "type": "key-file", "label": "this host", "created": CREATED,
            "salt": b64(file_salt), "wrapped": b64(wrap(file_key))}),
        "age": ("3333333333333333", None, {
            "version": 1, "type": "age", "label": "the administrator", "created": CREATED,
            "recipient": AGE_RECIPIENT, "wrapped": AGE_WRAPPED}),
    }


# ---- Sealed objects ----


def blob_id(kind, content):
    return mac(CLASS_KEYS["content-id"], bytes([kind]) + content)


def source_tag(source):
    return mac(CLASS_KEYS["source-tag"], source.encode("utf-8"))[:16].hex()


def header_and_key(kind, key_class, salt):
    header = b"stillpt1" + struct.pack(">BBBBHH", TYPES[kind], 1, CLASSES[key_class], 0, 32, 0) + salt
    return header, hkdf(CLASS_KEYS[key_class], salt, b"stillpoint/1/object" + header[:16])


def body(kind, plaintext, salt):
    header, key = header_and_key(kind, "metadata", salt)
    return header + seal(key, 0, zstd(plaintext), header)


class Pack:
    def __init__(self, key_class, salt):
        self.key_class = key_class
        self.header, self.key = header_and_key("pack", key_class, salt)
        self.sealed, self.entries = [], []

    def add(self, kind, content, stored=None, encoding=0, identity=None):
        """`stored` is what gets sealed when that isn't the content itself. Returns the blob's id."""
        identity = identity or blob_id(kind, content)
        associated = identity + struct.pack(">BBI", kind, encoding, len(content))
        sealed = seal(self.key, len(self.sealed), content if stored is None else stored, associated)
        self.sealed.append(sealed)
        self.entries.append(associated + struct.pack(">I", len(sealed)))
        return identity

    def finish(self):
        """Returns (the pack id, the pack)."""
        self.table = seal(self.key, 0xFFFFFFFF, b"".join(self.entries), self.header)
        self.trailer = struct.pack(">I", len(self.table)) + b"stpk"
        identity = hashlib.sha256(self.header + self.table + self.trailer).digest()
        return identity, self.header + b"".join(self.sealed) + self.table + self.trailer

    def index_record(self):
        identity, whole = self.finish()
        return identity + struct.pack(
            ">BQII", CLASSES[self.key_class], len(whole), len(self.table), len(self.entries)) + b"".join(self.entries)


def index_plaintext(packs):
    return struct.pack(">I", len(packs)) + b"".join(pack.index_record() for pack in packs)


def sign(manifest):
    """Returns (the JSON, its signature, the digest in hex)."""
    text = compact(manifest)
    return text, SIGNING_KEY.sign(b"stillpoint/1/manifest\0" + text), hashlib.sha256(text).hexdigest()


def stamp(time):
    return time.translate({ord(c): None for c in "-:."})


# ---- A repository ----


class Repository:
    """Writes a repository. Each capture gets its own packs and its own index object, as a real one would."""

    def __init__(self, folder):
        self.folder, self.seeded = folder, Seeded(os.path.basename(folder))
        self.stored, self.packs, self.new = set(), {}, 0
        shutil.rmtree(folder, ignore_errors=True)
        self.put("format", compact(FORMAT))
        for name, _, key in key_objects().values():
            self.put(f"keys/{name}", compact(key))

    def put(self, name, data):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)

    def put_body(self, kind, name, content):
        plaintext = content if isinstance(content, bytes) else compact(content)
        self.put(name, body(kind, plaintext, self.seeded.take(32)))

    def pack(self, key_class):
        if key_class not in self.packs:
            self.packs[key_class] = Pack(key_class, self.seeded.take(32))
        return self.packs[key_class]

    def blob(self, kind, content):
        if not content.strip(b"\0") and kind == DATA:
            return HOLE
        identity = blob_id(kind, content)
        if identity not in self.stored:
            self.stored.add(identity)
            pack = self.pack("data" if kind == DATA else "metadata")
            compressed = zstd(content, content_size=len(self.stored) % 2 == 0)      # both kinds of frame header
            if len(compressed) < len(content):
                pack.add(kind, content, compressed, 1)
            else:
                pack.add(kind, content)
            self.new += len(content)
        return identity

    def flush(self):
        """Writes the packs begun and an index object of them. Returns their size."""
        packs, self.packs, size = list(self.packs.values()), {}, 0
        for pack in packs:
            identity, data = pack.finish()
            self.put(f"packs/{identity.hex()[:2]}/{identity.hex()}", data)
            size += len(data)
        if packs:
            data = body("index", index_plaintext(packs), self.seeded.take(32))
            self.put(f"index/{hashlib.sha256(data).hexdigest()}", data)
        return size

    # Trees

    def image(self, content, block=131072):
        leaves = [content[at:at + block] for at in range(0, len(content), block)] or [b""]
        ids, depth = [self.blob(DATA, leaf) for leaf in leaves], 0
        while len(ids) > 1:
            groups = [ids[at:at + 256] for at in range(0, len(ids), 256)]
            ids = [self.blob(IMAGE_NODE, b"".join(group)) if any(map(any, group)) else HOLE for group in groups]
            depth += 1
        return {"size": len(content), "block": block, "depth": depth, "root": ids[0].hex()}

    def stream(self, chunks, fan_out=1024):
        nodes, depth = [(self.blob(DATA, chunk), len(chunk)) for chunk in chunks] or [(HOLE, 0)], 0
        while len(nodes) > 1:
            groups = [nodes[at:at + fan_out] for at in range(0, len(nodes), fan_out)]
            nodes = [(self.blob(STREAM_NODE, b"".join(struct.pack(">32sQ", *node) for node in group)),
                      sum(node[1] for node in group)) for group in groups]
            depth += 1
        return {"size": nodes[0][1], "depth": depth, "root": nodes[0][0].hex()}

    def directory(self, entries, per_part=None):
        """`entries` in order, or not, as they are. Returns the id of the directory node, as hex."""
        if per_part is None:
            return self.blob(DIRECTORY_NODE, compact({"entries": entries})).hex()
        parts = [self.directory(entries[at:at + per_part]) for at in range(0, len(entries), per_part)]
        return self.blob(DIRECTORY_NODE, compact({"parts": parts})).hex()

    def point(self, source, policy, kind, time, part, previous=None, tags=(), consistency="crash", forget=False, size=None):
        """Commits a point. Returns (its id, its digest)."""
        new, self.new = self.new, 0
        size = part["size"] if size is None else size
        manifest = {
            "version": 1, "repository": REPOSITORY.hex(), "source": source, "policy": policy, "host": "golden.example",
            "kind": kind, "time": time, "started": time, "finished": time, "consistency": consistency,
            "parts": [{"name": source, "kind": "stream" if kind == "command" else kind, **part}],
            "previous": previous, "tags": list(tags),
            "statistics": {"size": size, "read": size, "new": new, "stored": self.flush()},
            "left_out": [], "left_out_count": 0,
            "software": {"stillpoint": "0.1.0", "node": "26.10.0", "kernel": "6.1.0"},
        }
        text, signature, digest = sign(manifest)
        if forget:
            self.put_body("forgotten", f"forgotten/{digest[:32]}", {
                "version": 1, "point": digest[:32], "time": "2026-11-21T12:00:00.000Z", "source": source,
                "digest": digest, "point_time": time, "reason": "retention: no rule keeps it"})
        else:
            self.put_body("manifest", f"points/{source_tag(source)}/{stamp(time)}-{digest[:32]}", signature + text)
        return digest[:32], digest


# ---- Entries of directories, together with what a restore of them gives ----


def name_member(member, name):
    try:
        return {member: name.decode("utf-8")}
    except UnicodeDecodeError:
        return {member + "64": b64(name)}


def seconds(ns):
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    return f"{sign}{ns // 10**9}.{ns % 10**9:09d}"


class Tree:
    """A directory in the making: `expected` collects what a restore of it must give, in the form of describe-tree.py."""

    def __init__(self, repository):
        self.repository, self.expected, self.inode = repository, [], 100

    def directory(self, path, children, mode=0o755, mtime=1763811234123456789, per_part=None, **rest):
        """`children`: name -> function that takes a path and returns an entry."""
        entries = []
        self.expect(path, "directory", mode, mtime, rest)
        for name in sorted(children):
            entries.append(name_member("name", name) | children[name](path + b"/" + name if path else name))
        tree = self.repository.directory(entries, per_part)
        return self.entry("directory", mode, mtime, rest) | {"tree": tree}

    def folder(self, children, **rest):
        return lambda path: self.directory(path, children, **rest)

    def file(self, chunks, mode=0o644, mtime=1763811234000000001, sparse=False, **rest):
        chunks = [chunks] if isinstance(chunks, bytes) else chunks

        def make(path):
            content = b"".join(chunks)
            self.expect(path, "file", mode, mtime, rest, size=len(content), sha256=hashlib.sha256(content).hexdigest(),
                        **({"sparse": True} if sparse else {}))
            stream = self.repository.stream([chunk for chunk in chunks if chunk])
            return self.entry("file", mode, mtime, rest) | stream | ({"sparse": True} if sparse else {})
        return make

    def symlink(self, target, mtime=1763811235000000000, **rest):
        def make(path):
            self.expect(path, "symlink", 0o777, mtime, rest, **name_member("target", target))
            return self.entry("symlink", 0o777, mtime, rest) | name_member("target", target)
        return make

    def node(self, kind, mode=0o640, mtime=1763811236000000000, device=None, **rest):
        def make(path):
            extra = {"device": list(device)} if device else {}
            self.expect(path, kind, mode, mtime, rest, **extra)
            return self.entry(kind, mode, mtime, rest) | extra
        return make

    def entry(self, kind, mode, mtime, rest):
        self.inode += 1
        entry = {"type": kind, "mode": mode, "uid": rest.get("uid", 1000), "gid": rest.get("gid", 1000),
                 "mtime": seconds(mtime), "ctime": seconds(1763811300000000000 + self.inode), "inode": str(self.inode)}
        if "link" in rest:
            entry["link"] = rest["link"]
        if "xattrs" in rest:
            entry["xattrs"] = {name: b64(value) for name, value in sorted(rest["xattrs"].items())}
        return entry

    def expect(self, path, kind, mode, mtime, rest, **extra):
        xattrs = {name: b64(value) for name, value in sorted(rest.get("xattrs", {}).items())}
        links = {"links": rest["links"]} if "links" in rest else {}
        self.expected.append(name_member("path", path) | {
            "type": kind, "mode": mode, "uid": rest.get("uid", 1000), "gid": rest.get("gid", 1000),
            "mtime": seconds(mtime)} | extra | links | ({"xattrs": xattrs} if xattrs else {}))


def pattern(label, length):
    """Content that compresses well, so that the repository in git stays small, but differs everywhere it is cut."""
    line = (label + " ").encode() * 4096
    return b"".join(struct.pack(">Q", at) + line[:4088] for at in range(0, length, 4096))[:length]


def odd_names(tree, changed):
    """The children of the golden directory: every kind of name and of entry that needs no root to make."""
    noise = Seeded("noise").take(3000)
    sparse = [bytes(1 << 20), bytes(8192) + pattern("sparse", 300000 - 8192), bytes(2 << 20)]
    return {
        b"plain.txt": tree.file(b"second version\n" if changed else b"first version\n", mtime=1763811299999999999 if changed else 1),
        b"empty": tree.file(b""),
        b"noise.bin": tree.file(noise, mode=0o4755),
        b"zeros, not a hole": tree.file(bytes(8192)),
        b"read-only": tree.file(b"x", mode=0o400, xattrs={"user.comment": "grüße".encode(), "user.empty": b"", "user.binary": b"\0\xff\n"}),
        b"before 1970": tree.file(b"-1.5 s", mtime=-1500000000),
        b"just before 1970": tree.file(b"-0.25 s", mtime=-250000000),
        b"after 2106": tree.file(b"beyond 32 bits", mtime=4294967296000000001),
        b"sparse": tree.file(sparse, sparse=True),
        b"several chunks": tree.file([pattern("one", 262144), bytes(70000), pattern("two", 300001), noise]),
        b"deep stream": tree.folder({b"data": tree.file([pattern(f"chunk {i}", 5000) for i in range(4)])}),
        b" leading space": tree.file(b"1"),
        b"new\nline\ttab\x1b[31m": tree.file(b"2"),
        b"-rf": tree.file(b"3"),
        b"*": tree.file(b"4"),
        b"quote'\"`$(x)": tree.file(b"5"),
        b"back\\slash": tree.file(b"6"),
        b"...": tree.file(b"7"),
        b"n" * 255: tree.file(b"8"),
        b"\xff\xfe not UTF-8": tree.file(b"9"),
        "é composed".encode(): tree.file(b"10"),
        "e\u0301 decomposed".encode(): tree.file(b"11"),
        # Ascending by bytes; by UTF-16 units, as JavaScript compares strings, it would be the other way round.
        "\uff5e wide tilde".encode(): tree.file(b"12"),
        "\U0001f600 smile".encode(): tree.file(b"13"),
        b"link to nothing": tree.symlink(b"/nonexistent/../there"),
        b"link up": tree.symlink(b"../.."),
        b"link not UTF-8": tree.symlink(b"\xc3\x28/target"),
        b"hard one": tree.file(b"the same file", link="1", links=3),
        b"hard two": tree.file(b"the same file", link="1", links=3),
        b"hard link to symlink 1": tree.symlink(b"plain.txt", link="2", links=2),
        b"hard link to symlink 2": tree.symlink(b"plain.txt", link="2", links=2),
        b"fifo": tree.node("fifo"),
        b"socket": tree.node("socket", mode=0o755),
        b"folder": tree.folder({
            b"hard three": tree.file(b"the same file", link="1", links=3),
            b"empty folder": tree.folder({}, mode=0o1777, mtime=1500000000000000000),
            b"read-only folder": tree.folder({b"inside": tree.file(b"still made")}, mode=0o555),
        }, mode=0o2750),
        b"many": tree.folder({f"{i:03d}".encode(): tree.file(f"{i}".encode()) for i in range(12)}, per_part=5),
    }


def special(tree):
    """What only root can restore: owners, devices, capabilities, ACLs and trusted attributes."""
    capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)          # cap_net_bind_service, effective

    def acl(*entries):
        return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    access = acl((1, 6, 0xFFFFFFFF), (2, 4, 12345), (4, 4, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF))
    default = acl((1, 7, 0xFFFFFFFF), (2, 7, 12345), (4, 5, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF))
    return {
        b"null": tree.node("chardev", mode=0o666, device=(1, 3), uid=0, gid=0),
        b"disk": tree.node("blockdev", mode=0o660, device=(259, 1048575), uid=0, gid=6),
        b"setuid": tree.file(b"#!/bin/sh\n", mode=0o6755, uid=12345, gid=54321),
        b"capable": tree.file(b"binary", mode=0o755, uid=12345, gid=0, xattrs={"security.capability": capability}),
        b"with ACL": tree.file(b"acl", mode=0o640, uid=0, gid=0, xattrs={"system.posix_acl_access": access}),
        b"default ACL": tree.folder({b"child": tree.file(b"has none", uid=0, gid=0)}, uid=0, gid=0,
                                    xattrs={"system.posix_acl_default": default}),
        b"owned link": tree.symlink(b"null", uid=12345, gid=54321, xattrs={"trusted.note": b"on a symlink"}),
        b"trusted": tree.file(b"t", uid=0, gid=0, xattrs={"trusted.note": b"\x01\x02"}),
    }


def golden_repository(folder):
    """Writes the repository. Returns what is expected of each point."""
    repository, expected = Repository(folder), []

    def expect(identity, source, kind, time, restored, **rest):
        expected.append({"id": identity, "source": source, "kind": kind, "time": time, "tags": [], "held": False,
                         "verified": None, "needs_root": False} | rest | restored)

    def content(data):
        return {"content": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}}

    def files(children, mode=0o755):
        tree = Tree(repository)
        entry = tree.directory(b"", children(tree), mode=mode, mtime=1763811000000000007)
        size = sum(one.get("size", 0) for one in tree.expected)
        return {"entry": entry, "path": "/srv/files"}, {"entries": tree.expected}, size

    # Three points of one source: the first is forgotten, the second held and tagged, the third proven.
    part, _, size = files(lambda tree: {b"plain.txt": tree.file(b"zeroth version\n")})
    first = repository.point("files", "daily", "directory", "2026-11-20T01:00:00.000Z", part, forget=True, size=size)
    part, restored, size = files(lambda tree: odd_names(tree, False))
    second = repository.point("files", "daily", "directory", "2026-11-21T01:00:00.123Z", part, first[1], ["nightly"], size=size)
    expect(second[0], "files", "directory", "2026-11-21T01:00:00.123Z", restored, tags=["before-upgrade", "keep"], held=True)
    part, restored, size = files(lambda tree: odd_names(tree, True), 0o700)
    third = repository.point("files", "daily", "directory", "2026-11-22T01:00:00.000Z", part, second[1], ["nightly"], size=size)
    expect(third[0], "files", "directory", "2026-11-22T01:00:00.000Z", restored, tags=["nightly"],
           verified="2026-11-22T02:00:00.000Z")
    repository.put_body("tags", f"tags/{second[0]}/20261121T080000000Z-0123456789abcdef", {
        "version": 1, "point": second[0], "time": "2026-11-21T08:00:00.000Z", "tags": ["superseded"]})
    repository.put_body("tags", f"tags/{second[0]}/20261121T090000000Z-0000000000000001", {
        "version": 1, "point": second[0], "time": "2026-11-21T09:00:00.000Z", "tags": ["before-upgrade", "keep"]})
    repository.put_body("hold", f"holds/{second[0]}", {
        "version": 1, "point": second[0], "time": "2026-11-21T09:00:00.000Z", "reason": "audit of 2026"})
    for time, result in (("2026-11-22T02:00:00.000Z", "passed"), ("2026-11-22T03:00:00.000Z", "failed")):
        repository.put_body("proof", f"proofs/{third[0]}/{stamp(time)}-00000000000000aa", {
            "version": 1, "point": third[0], "time": time, "method": "restore", "result": result, "seconds": 1.5, "detail": ""})

    part, restored, size = files(special)
    point = repository.point("special", "daily", "directory", "2026-11-22T01:10:00.000Z", part, size=size)
    expect(point[0], "special", "directory", "2026-11-22T01:10:00.000Z", restored, needs_root=True)

    # Images: of depth 1 with holes and a short last block, of depth 2 with a hole for a whole subtree, of depth 0, all hole.
    block = 131072
    disk = pattern("disk", block) + bytes(2 * block) + pattern("disk again", block) + pattern("disk", block) + pattern("end", 4096)
    large = bytes(300 * block) + pattern("far", block) + bytes(299 * block) + pattern("last", 512)
    for source, time, image in (("disk", "2026-11-22T01:20:00.000Z", disk), ("large-disk", "2026-11-22T01:30:00.000Z", large),
                                ("small-disk", "2026-11-22T01:40:00.000Z", pattern("small", 1536)),
                                ("blank-disk", "2026-11-22T01:50:00.000Z", bytes(40 * 1000 * 1000))):
        point = repository.point(source, "hourly", "image", time, repository.image(image))
        expect(point[0], source, "image", time, content(image))
        if source == "disk":            # a blob that is in two packs: either will do
            repository.pack("data").add(DATA, pattern("disk", block), zstd(pattern("disk", block)), 1)

    # Streams: of depth 1 with a hole, of depth 2, of depth 0, empty.
    chunks = [pattern("dump", 300000), bytes(400000), Seeded("dump").take(2000), pattern("dump end", 262144)]
    leaves = [pattern(f"leaf {i}", 3000 + i) for i in range(5)]
    for source, time, pieces, fan_out in (("dump", "2026-11-22T02:20:00.000Z", chunks, 1024),
                                          ("deep-dump", "2026-11-22T02:30:00.000Z", leaves, 3),
                                          ("short-dump", "2026-11-22T02:40:00.000Z", [b"a single chunk\n"], 1024),
                                          ("empty-dump", "2026-11-22T02:50:00.000Z", [], 1024)):
        point = repository.point(source, "hourly", "command", time, repository.stream(pieces, fan_out), consistency="application")
        expect(point[0], source, "command", time, content(b"".join(pieces)))

    repository.put_body("sweep", "sweeps/20261122T030000000Z-00000000000000bb", {
        "version": 1, "time": "2026-11-22T03:00:00.000Z", "grace": 86400000, "points": sorted(one["id"] for one in expected),
        "condemned": [], "orphans": []})
    repository.put_body("lease", "lease", {
        "version": 1, "holder": "golden.example", "nonce": "00000000000000cc", "expires": "2026-11-22T03:05:00.000Z"})
    return sorted(expected, key=lambda one: one["time"])


def hostile_repository(folder):
    """A repository written with the right keys by someone who means harm, or by a broken program. Each point says
    which of its paths may be restored; everything else in it must be refused, and nothing may appear elsewhere."""
    repository, expected = Repository(folder), []

    def directory(source, time, entries, may_be_restored):
        tree = Tree(repository)
        whole = [name | tree.file(b"planted")(b"") if isinstance(name, dict) else name for name in entries]
        entry = tree.entry("directory", 0o755, 0, {}) | {"tree": repository.directory(whole)}
        point = repository.point(source, "hostile", "directory", time, {"entry": entry, "path": "/srv"}, size=0)
        expected.append({"id": point[0], "source": source, "may_be_restored": may_be_restored})

    tree = Tree(repository)
    directory("unsafe-names", "2026-11-22T01:00:00.000Z", [
        {"name": ""}, {"name": "."}, {"name": ".."}, {"name": "../planted"}, {"name": "/tmp/planted"}, {"name": "good"},
        {"name": "nul\0byte"}, {"name64": b64(b"x/../../planted")}, {"name64": "not base64!"}, {"nameless": ""}], ["good"])
    inside = repository.directory([{"name": "planted"} | tree.file(b"planted")(b"")])
    link = {"name": "same"} | tree.symlink(b"..")(b"")
    folder_entry = {"name": "same"} | tree.entry("directory", 0o755, 0, {}) | {"tree": inside}
    directory("link-then-folder", "2026-11-22T02:00:00.000Z", [link | {"x": 1}, folder_entry | {"x": 1}], ["same"])

    bomb, twin = b"b" * 1000, b"twin" * 50
    pack = repository.pack("data")
    bomb_id = pack.add(DATA, bomb, zstd(bytes(64 << 20), content_size=False), 1)
    twin_id = pack.add(DATA, twin, zstd(twin) + zstd(b"and more"), 1)
    plain_id = pack.add(DATA, b"what the id says")
    forged_id = pack.add(DATA, b"not what the id says", identity=blob_id(DATA, b"what it should be...."))
    repository.stored.add(plain_id)
    for number, (source, part) in enumerate({
        "bomb": {"size": 1000, "depth": 0, "root": bomb_id.hex()},
        "two-frames": {"size": 200, "depth": 0, "root": twin_id.hex()},
        "wrong-id": {"size": 20, "depth": 0, "root": forged_id.hex()},
        "wrong-length": {"size": 99, "depth": 0, "root": plain_id.hex()},
        "node-as-data": {"size": 40, "depth": 0, "root": repository.blob(STREAM_NODE, plain_id + struct.pack(">Q", 16)).hex()},
        "sizes-do-not-add-up": {"size": 17, "depth": 1, "root": repository.blob(STREAM_NODE, plain_id + struct.pack(">Q", 16)).hex()},
        "negative-size": {"size": -1, "depth": 0, "root": plain_id.hex()},
        "not-an-id": {"size": 16, "depth": 0, "root": "../../format"},
        "absurd-depth": {"size": 16, "depth": 1000000, "root": plain_id.hex()},
    }.items()):
        point = repository.point(source, "hostile", "command", f"2026-11-22T03:{number:02d}:00.000Z", part)
        expected.append({"id": point[0], "source": source, "may_be_restored": []})
    image = {"size": 300000, "block": 131072, "depth": 1, "root": repository.blob(IMAGE_NODE, plain_id * 2).hex()}
    point = repository.point("short-node", "hostile", "image", "2026-11-22T04:00:00.000Z", image)
    expected.append({"id": point[0], "source": "short-node", "may_be_restored": []})

    # A manifest with another's signature, and a hold put under another point's name.
    manifest = {"version": 1, "repository": REPOSITORY.hex(), "source": "forged", "policy": "p", "host": "h", "kind": "command",
                "time": "2026-11-22T05:00:00.000Z", "started": CREATED, "finished": CREATED, "consistency": "none",
                "parts": [{"name": "forged", "kind": "stream", "size": 16, "depth": 0, "root": plain_id.hex()}],
                "previous": None, "tags": [], "statistics": {"size": 16, "read": 16, "new": 0, "stored": 0},
                "left_out": [], "left_out_count": 0, "software": {}}
    text, _, digest = sign(manifest)
    signature = Ed25519PrivateKey.from_private_bytes(bytes(32)).sign(b"stillpoint/1/manifest\0" + text)
    repository.put_body("manifest", f"points/{source_tag('forged')}/20261122T050000000Z-{digest[:32]}", signature + text)
    repository.put_body("hold", f"holds/{expected[0]['id']}", {
        "version": 1, "point": expected[1]["id"], "time": CREATED, "reason": "copied from another point"})
    return expected


# ---- Vectors of single things ----


def pack_vector(about, key_class, blobs):
    salt = Seeded(about).take(32)
    pack = Pack(key_class, salt)
    described = []
    for kind, encoding, content in blobs:
        stored = zstd(content) if encoding else content
        identity = pack.add(kind, content, stored, encoding)
        described.append({"kind": kind, "encoding": encoding, "content": content.hex(), "stored": stored.hex(),
                          "id": identity.hex(), "nonce": (bytes(8) + struct.pack(">I", len(described))).hex(),
                          "associated_data": pack.entries[-1][:38].hex(), "sealed": pack.sealed[-1].hex()})
    identity, whole = pack.finish()
    return {"about": about, "class": key_class, "salt": salt.hex(), "header": pack.header.hex(), "object_key": pack.key.hex(),
            "blobs": described, "table": b"".join(pack.entries).hex(), "sealed_table": pack.table.hex(),
            "id": identity.hex(), "pack": whole.hex()}, pack


def body_vector(kind, plaintext):
    salt = Seeded("body " + kind).take(32)
    header, key = header_and_key(kind, "metadata", salt)
    return {"type": kind, "type_number": TYPES[kind], "salt": salt.hex(), "header": header.hex(), "object_key": key.hex(),
            "plaintext": plaintext.hex(), "compressed": zstd(plaintext).hex(), "object": body(kind, plaintext, salt).hex()}


def vectors():
    data = [(DATA, 0, b"hello"), (DATA, 0, b""), (DATA, 0, bytes(range(256)))]
    nodes = [(IMAGE_NODE, 0, blob_id(DATA, b"hello") + HOLE), (STREAM_NODE, 0, blob_id(DATA, b"hello") + struct.pack(">Q", 5)),
             (DIRECTORY_NODE, 0, b'{"entries":[]}')]
    plain, first = pack_vector("a data pack, all blobs stored plain: sealing it again gives the same bytes", "data", data)
    meta, second = pack_vector("a metadata pack, all blobs stored plain", "metadata", nodes)
    mixed, _ = pack_vector("a data pack with compressed blobs: for opening", "data", [(DATA, 1, b"a" * 500), (DATA, 0, b"b"), (DATA, 1, b"c" * 3000)])
    index = body_vector("index", index_plaintext([first, second]))
    manifest = {"version": 1, "repository": REPOSITORY.hex(), "source": "etc/größe", "policy": "p", "host": "h", "kind": "command",
                "time": "2026-11-22T11:33:00.123Z", "started": "2026-11-22T11:33:00.100Z", "finished": "2026-11-22T11:33:01.000Z",
                "consistency": "application", "parts": [{"name": "etc/größe", "kind": "stream", "size": 5, "depth": 0,
                                                         "root": blob_id(DATA, b"hello").hex()}],
                "previous": None, "tags": [], "statistics": {"size": 5, "read": 5, "new": 5, "stored": 21}, "left_out": [],
                "left_out_count": 0, "software": {"stillpoint": "0.1.0", "node": "26.10.0", "kernel": "6.1.0"}}
    text, signature, digest = sign(manifest)
    locks = {"version": 1, "repository": REPOSITORY.hex(), "time": "2026-11-22T12:00:00.000Z", "until": "2026-12-26T00:00:00.000Z",
             "points": [digest[:32]], "objects": {"format": "3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY-MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo",
                                                  f"packs/{plain['id'][:2]}/{plain['id']}": "null-is-no-version"}}
    locks_text = compact(locks)
    locks_signature = SIGNING_KEY.sign(b"stillpoint/1/locks\0" + locks_text)
    return {
        "about": "Golden vectors of docs/format.md, made by make-vectors.py. Byte strings are hex unless named otherwise.",
        "repository": REPOSITORY.hex(),
        "master_key": MASTER_KEY.hex(),
        "format": FORMAT,
        "class_keys": {name: key.hex() for name, key in CLASS_KEYS.items()},
        "keys": {kind: {"id": name, "object": key, "wrapping_key": wrapping.hex() if wrapping else None}
                 for kind, (name, wrapping, key) in key_objects().items()},
        "secrets": {"passphrase": PASSPHRASE, "passphrase_nfc": unicodedata.normalize("NFC", PASSPHRASE),
                    "key_file": KEY_FILE, "age_identity": AGE_IDENTITY.strip()},
        "source_tags": [{"source": source, "tag": source_tag(source)} for source in ("etc", "etc/größe", "")],
        "blob_ids": [{"kind": kind, "content": content.hex(), "id": blob_id(kind, content).hex()}
                     for kind, _, content in data + nodes + [(STREAM_NODE, 0, b"hello")]],
        "packs": [plain, meta, mixed],
        "index": index | {"id": hashlib.sha256(bytes.fromhex(index["object"])).hexdigest(), "packs": [plain["id"], meta["id"]]},
        "manifest": body_vector("manifest", signature + text) | {
            "json": text.decode("utf-8"), "signature": signature.hex(), "public_key": PUBLIC_KEY.hex(), "digest": digest,
            "name": f"points/{source_tag(manifest['source'])}/{stamp(manifest['time'])}-{digest[:32]}"},
        "small_objects": [body_vector(kind, compact({"version": 1, "point": digest[:32]} | rest)) for kind, rest in (
            ("tags", {"time": CREATED, "tags": ["a", "b"]}), ("hold", {"time": CREATED, "reason": "audit"}),
            ("reader", {"time": CREATED, "reader": "boot 7d1e42aa on h"}))] + [
            body_vector("config", compact({"version": 1, "time": CREATED, "host": "h", "path": "/etc/stillpoint/stillpoint.yaml",
                                           "text": "version: 1\n# größe\n"}))],
        "locks": body_vector("locks", locks_signature + locks_text) | {
            "json": locks_text.decode("utf-8"), "signature": locks_signature.hex(),
            "name": f"locks/{stamp(locks['until'])}-0123456789abcdef"},
    }


# ---- Output ----


def pretty(value, indent=0):
    """JSON as the project's formatter lays it out, so that it has nothing to change."""
    pad = " " * (indent + 2)
    if isinstance(value, dict) and value:
        inner = [pad + json.dumps(key, ensure_ascii=False) + ": " + pretty(one, indent + 2) for key, one in value.items()]
        return "{\n" + ",\n".join(inner) + "\n" + " " * indent + "}"
    line = json.dumps(value, ensure_ascii=False)
    if isinstance(value, list) and value and (any(isinstance(one, (dict, list)) for one in value) or len(line) + indent > 90):
        return "[\n" + ",\n".join(pad + pretty(one, indent + 2) for one in value) + "\n" + " " * indent + "]"
    return line


def write(name, text):
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as file:
        file.write(text)


def main():
    expected = golden_repository(os.path.join(OUT, "repository-v1"))
    hostile = hostile_repository(os.path.join(OUT, "repository-hostile"))
    write("expected.json", pretty({
        "about": "What a restore of each point gives; made by make-vectors.py, compared with describe-tree.py.",
        "points": expected, "hostile": hostile}) + "\n")
    write("vectors.json", pretty(vectors()) + "\n")
    write("key-file", KEY_FILE)
    write("passphrase", PASSPHRASE + "\n")
    write("age-identity", AGE_IDENTITY)


if __name__ == "__main__":
    main()
