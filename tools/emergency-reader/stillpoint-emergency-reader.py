#!/usr/bin/python3
"""Lists, restores and checks the recovery points of a Stillpoint repository, without Stillpoint.

Written from docs/format.md alone ("section" below means a section of that page), so that a repository can be
read with nothing but Debian's Python when all else is gone. It only ever reads the repository. Everything
is verified before it is used: tags, ids, signatures, lengths, names.

Exit status: 0 ok, 1 failed, 2 bad usage, 3 restored but for some attributes or special files, 4 damage found.
"""

import argparse
import base64
import errno
import hashlib
import hmac
import json
import os
import re
import stat
import struct
import subprocess
import sys
import time
import unicodedata
from collections import namedtuple

try:
    import zstandard
    from cryptography.exceptions import InvalidSignature, InvalidTag
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as missing:
    sys.exit(f"A Python module is missing ({missing.name}). Debian: apt install python3-cryptography python3-zstandard,"
             " and start this with /usr/bin/python3.")

OK, FAILED, USAGE, PARTIAL, DAMAGE = 0, 1, 2, 3, 4
HOLE = bytes(32)
MAX_BLOB = 16 * 1024 * 1024
CLOCKS_DIFFER = 300             # seconds: a point that is dated further in the future isn't the newest for that
MAX_BODY = 1024 * 1024 * 1024   # this reader's own bound for an object with one body, against absurd lengths
DATA, IMAGE_NODE, STREAM_NODE, DIRECTORY_NODE = 1, 2, 3, 4                      # section 6: kinds of blob
PACK, INDEX, MANIFEST, TAGS, HOLD, PROOF, FORGOTTEN, SWEEP, LEASE = range(1, 10)  # section 6: types of object
CONFIG, READER = 12, 13
METADATA_CLASS, DATA_CLASS = 1, 2
ENTRY = struct.Struct(">32sBBII")         # of a pack's table: id, kind, encoding, raw length, sealed length


class Problem(Exception):
    """Ends the program with one line and an exit status."""

    def __init__(self, message, status=FAILED):
        super().__init__(message)
        self.status = status


class Damage(Exception):
    """Something stored isn't what was written. Callers report it and go on with the rest."""


def show(name):
    """A name or path for a terminal: control characters and bytes that aren't UTF-8 as escapes."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def say(line):
    print(show(line), file=sys.stderr)


# ---- Keys (sections 4 and 5) ----

def mac(key, message):
    return hmac.digest(key, message, "sha256")


def hkdf(secret, salt, info, length=32):
    """HKDF-SHA-256, RFC 5869."""
    key, out, block = mac(salt, secret), b"", b""
    for counter in range(1, 2 + length // 32):
        block = mac(key, block + info + bytes([counter]))
        out += block
    return out[:length]


class Keys:
    """The class keys, derived from the master key."""

    def __init__(self, master, repository):
        def derive(name):
            return hkdf(master, repository, b"stillpoint/1/class/" + name)
        self.content_id = derive(b"content-id")
        self.sealing = {METADATA_CLASS: derive(b"metadata"), DATA_CLASS: derive(b"data")}
        self.public_key = Ed25519PrivateKey.from_private_bytes(derive(b"signing")).public_key()
        self.source_tag = derive(b"source-tag")
        self.check = mac(derive(b"verify"), b"stillpoint/1/key-check")


def unwrap(wrapping_key, wrapped, repository):
    return AESGCM(wrapping_key).decrypt(bytes(12), wrapped, b"stillpoint/1/key" + repository)


def read_secret(path, what):
    try:
        with open(path, "rb") as file:
            return file.read(1024 * 1024)
    except OSError as error:
        raise Problem(f"Cannot read the {what} {path}: {error.strerror}.") from error


def open_with_key_file(path, repository):
    line = read_secret(path, "key file").decode("ascii", "replace").strip()
    prefix, _, encoded = line.partition(":")
    try:
        secret = base64.b64decode(encoded, validate=True)
    except ValueError:
        secret = b""
    if prefix != "stillpoint-key-1" or len(secret) != 32:
        raise Problem(f"{path} isn't a Stillpoint key file: that is one line, stillpoint-key-1: and 44 characters.")

    def opener(key):
        wrapping_key = hkdf(secret, base64.b64decode(key["salt"]), b"stillpoint/1/wrap")
        return unwrap(wrapping_key, base64.b64decode(key["wrapped"]), repository)
    return "key-file", opener


def open_with_passphrase(path, repository):
    try:
        from argon2.exceptions import HashingError
        from argon2.low_level import Type, hash_secret_raw
    except ImportError as error:
        raise Problem("A passphrase needs the Python module argon2. Debian: apt install python3-argon2."
                      " A key file works without it.") from error
    text = re.sub(rb"\r?\n\Z", b"", read_secret(path, "passphrase file"))      # the line's end isn't part of it
    try:
        passphrase = unicodedata.normalize("NFC", text.decode("utf-8")).encode("utf-8")
    except UnicodeDecodeError as error:
        raise Problem(f"The passphrase in {path} isn't valid UTF-8.") from error

    def opener(key):
        kdf = key["kdf"]
        if kdf["name"] != "argon2id" or kdf["version"] != 19:
            raise ValueError("unknown key derivation")
        if kdf["memory_kib"] > 4 * 1024 * 1024 or kdf["passes"] > 100 or kdf["parallelism"] > 64:
            raise ValueError("its key derivation asks for more than 4 GiB, 100 passes or 64 lanes")
        try:
            wrapping_key = hash_secret_raw(passphrase, base64.b64decode(kdf["salt"]), time_cost=kdf["passes"],
                                           memory_cost=kdf["memory_kib"], parallelism=kdf["parallelism"],
                                           hash_len=32, type=Type.ID, version=19)
        except HashingError as error:
            raise ValueError(f"its key derivation failed: {error}") from error
        return unwrap(wrapping_key, base64.b64decode(key["wrapped"]), repository)
    return "passphrase", opener


def open_with_age(path, _repository):
    read_secret(path, "age identity")

    def opener(key):
        try:
            run = subprocess.run(["age", "--decrypt", "--identity", path], input=base64.b64decode(key["wrapped"]),
                                 capture_output=True, check=False)
        except FileNotFoundError as error:
            raise Problem("An age identity needs the program age. Debian: apt install age.") from error
        if run.returncode != 0:
            raise InvalidTag()
        return run.stdout
    return "age", opener


# ---- The repository (sections 2, 3, 6 and 7) ----

def unzstd(data, limit):
    """The content of exactly one zstd frame, whose header may lack the size. Fed in small pieces, so that little
    more than `limit` is ever in memory."""
    frame, parts, total = zstandard.ZstdDecompressor().decompressobj(), [], 0
    view = memoryview(data)
    try:
        for at in range(0, len(data), 4096):
            parts.append(frame.decompress(view[at:at + 4096]))     # raises when the frame has ended already
            total += len(parts[-1])
            if total > limit:
                raise Damage("compressed content is longer than it may be")
    except zstandard.ZstdError as error:
        raise Damage("compressed content can't be decompressed") from error
    if not frame.eof or frame.unused_data:
        raise Damage("compressed content is incomplete, or something follows it")
    return b"".join(parts)


def key_and_header(keys, data, expected_type):
    """Checks the header at the beginning of `data`. Returns (the object's AES-GCM key, the header, its class)."""
    if len(data) < 48 or data[:8] != b"stillpt1":
        raise Damage("it has no Stillpoint header")
    kind, suite, key_class, slot_kind, slot_length, zero = struct.unpack_from(">BBBBHH", data, 8)
    if (suite, slot_kind, slot_length, zero) != (1, 0, 32, 0):
        raise Damage("its header names a suite or key slot that this reader doesn't know")
    if kind != expected_type or key_class not in keys.sealing or (kind != PACK and key_class != METADATA_CLASS):
        raise Damage("it is an object of another type")
    header = bytes(data[:48])
    key = hkdf(keys.sealing[key_class], header[16:], b"stillpoint/1/object" + header[:16])
    return AESGCM(key), header, key_class


def unseal(key, number, associated, sealed):
    try:
        return key.decrypt(bytes(8) + struct.pack(">I", number), sealed, associated)
    except (InvalidTag, ValueError) as error:
        raise Damage("its seal is broken") from error


Place = namedtuple("Place", "pack offset number kind encoding raw sealed")


class BlobIndex:
    """Where each blob is. Packed into byte arrays by the first two bytes of the id, 56 bytes for each blob:
    a dict would need four times as much, and the machine at hand may be a small one."""

    record = struct.Struct(">30sIQIBBII")

    def __init__(self):
        self.buckets = {}

    def add(self, blob_id, place):
        self.buckets.setdefault(blob_id[:2], bytearray()).extend(self.record.pack(blob_id[2:], *place))

    def places(self, blob_id):
        bucket, at = self.buckets.get(blob_id[:2], b""), -1
        while (at := bucket.find(blob_id[2:], at + 1)) >= 0:
            if at % self.record.size == 0:
                yield Place(*self.record.unpack_from(bucket, at)[1:])


class Pack:
    """An open pack: its header is checked, its key derived."""

    def __init__(self, path, keys):
        self.file = open(path, "rb", buffering=0)
        self.size = os.fstat(self.file.fileno()).st_size
        self.key, self.header, self.key_class = key_and_header(keys, self.read(0, min(48, self.size)), PACK)

    def read(self, offset, length):
        parts = []
        while length > 0:
            part = os.pread(self.file.fileno(), length, offset)
            if not part:
                raise Damage("its pack is truncated")
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)

    def table(self, pack_id):
        """The pack's own table, after a check that the pack's name vouches for it."""
        if self.size < 48 + 16 + 8:
            raise Damage("it is truncated")
        trailer = self.read(self.size - 8, 8)
        length = struct.unpack(">I", trailer[:4])[0]
        if trailer[4:] != b"stpk" or length > self.size - 48 - 8:
            raise Damage("its end is missing")
        sealed = self.read(self.size - 8 - length, length)
        if hashlib.sha256(self.header + sealed + trailer).hexdigest() != pack_id:
            raise Damage("its table isn't the one that its name vouches for")
        table = unseal(self.key, 0xFFFFFFFF, self.header, sealed)
        if len(table) % ENTRY.size or 48 + sum(e[4] for e in ENTRY.iter_unpack(table)) + length + 8 != self.size:
            raise Damage("its table doesn't fit its size")
        return table


REQUIRED = ("policy", "host", "kind", "consistency", "parts", "previous", "tags", "statistics")     # of a manifest


class Repository:
    """A repository, unlocked. Says on standard error what it finds damaged, and goes on as far as it can."""

    def __init__(self, path, unlock_with, secret_path):
        self.path = path
        self.problems = {}              # what is damaged beside the contents of points: its lines, in order
        form = self.read_format()
        self.id = bytes.fromhex(form["repository"])
        self.keys = self.unlock(*unlock_with(secret_path, self.id), form["key_check"])
        self.index = BlobIndex()
        self.pack_ids, self.open_packs, self.indexed, self.missing_packs = [], {}, {}, set()

    # Objects

    def names(self, folder, pattern):
        """Names of the objects in a folder that match the pattern, sorted; paths below the repository."""
        found = []
        top = os.path.join(self.path, folder)
        for where, _, files in os.walk(top, onerror=self.unlistable):
            found += [os.path.relpath(os.path.join(where, file), self.path) for file in files]
        for name in found:
            if not re.fullmatch(pattern, name):
                say(f"note: {name} isn't an object of a repository; ignored")
        return sorted(name for name in found if re.fullmatch(pattern, name))

    def unlistable(self, error):
        if error.errno != errno.ENOENT:
            self.problem(f"{error.filename}: cannot list this folder: {error.strerror}")

    def problem(self, line):
        if line not in self.problems:
            self.problems[line] = True
            say(f"damaged: {line}")

    def read(self, name):
        with open(os.path.join(self.path, name), "rb") as file:
            return file.read()

    def body(self, data, kind):
        """The plaintext of an object with one body (section 6)."""
        key, header, _ = key_and_header(self.keys, data, kind)
        return unzstd(unseal(key, 0, header, data[48:]), MAX_BODY)

    def small(self, name, kind):
        """The JSON of a small object (section 10), or None when it is damaged, which is reported."""
        try:
            content = json.loads(self.body(self.read(name), kind))
            if content.get("version", 1) != 1:
                raise Damage("it has an unknown version")
            if kind in (TAGS, HOLD, READER, PROOF, FORGOTTEN) and content["point"] != name.split("/")[1]:
                raise Damage("it belongs to another point")
            return content
        except (Damage, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.problem(f"{name}: {reason(error)}")
            return None

    def read_format(self):
        try:
            form = json.loads(self.read("format"))
            version, suite = form["version"], form["suite"]
            valid = form["format"] == "stillpoint" and re.fullmatch("[0-9a-f]{32}", form["repository"])
            valid = valid and re.fullmatch("[0-9a-f]{64}", form["key_check"])
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Problem(f"There is no repository at {self.path}: it has no object named format.") from error
        except OSError as error:
            raise Problem(f"Cannot read the repository at {self.path}: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Problem(f"The object format of {self.path} is damaged: {reason(error)}. Nothing was changed;"
                          " a copy of it from a replica of this repository will do.", DAMAGE) from error
        if (version, suite) != (1, 1):
            raise Problem(f"{self.path} has version {version}, suite {suite}; this reader knows version 1, suite 1.")
        if not valid:
            raise Problem(f"The object format of {self.path} isn't that of a Stillpoint repository.", DAMAGE)
        return form

    def unlock(self, key_type, opener, key_check):
        names, tried = self.names("keys", "keys/[0-9a-f]{16}"), 0
        for name in names:
            try:
                key = json.loads(self.read(name))
                if key["version"] != 1 or key["type"] != key_type:
                    continue
                tried += 1
                master = opener(key)
            except InvalidTag:
                continue                # another key of the same type
            except (OSError, ValueError, KeyError, TypeError) as error:
                self.problem(f"{name}: {reason(error)}")
                continue
            keys = Keys(master, self.id)
            if keys.check.hex() == key_check:
                return keys
            self.problem(f"{name}: it holds the key of another repository")
        raise Problem(f"Wrong key: none of the {tried} keys of type {key_type} in {self.path} opens with what was given"
                      f" ({len(names)} keys in all). Nothing was changed.")

    # Blobs

    def load_index(self):
        """Finds every blob: by the index objects, and by the packs' own tables for packs that are in none."""
        names = self.names("packs", "packs/([0-9a-f]{2})/\\1[0-9a-f]{62}")
        self.pack_ids = [name[-64:] for name in names]
        number_of = {pack_id: number for number, pack_id in enumerate(self.pack_ids)}
        for name in self.names("index", "index/[0-9a-f]{64}"):
            try:
                for pack_id, key_class, size, table in self.read_index(name):
                    if pack_id not in number_of:
                        self.missing_packs.add(pack_id)
                    elif pack_id not in self.indexed:
                        for blob_id, place in self.places(number_of[pack_id], key_class, table):
                            self.index.add(blob_id, place)
                        self.indexed[pack_id] = (key_class, size, hashlib.sha256(table).digest())
            except (Damage, OSError) as error:
                self.problem(f"{name}: {reason(error)}")
        for pack_id, number in number_of.items():
            if pack_id not in self.indexed:
                try:
                    pack = self.pack(number)
                    for blob_id, place in self.places(number, pack.key_class, pack.table(pack_id)):
                        self.index.add(blob_id, place)
                except (Damage, OSError) as error:
                    self.problem(f"pack {pack_id}: {reason(error)}; it is in no index, so its blobs are lost")

    def read_index(self, name):
        data = self.read(name)
        if hashlib.sha256(data).hexdigest() != name[-64:]:
            raise Damage("its content isn't what its name says")
        plain = self.body(data, INDEX)
        try:
            count, at, packs = struct.unpack_from(">I", plain)[0], 4, []
            for _ in range(count):
                pack_id, key_class, size, _, blobs = struct.unpack_from(">32sBQII", plain, at)
                at += 49 + blobs * ENTRY.size
                packs.append((pack_id.hex(), key_class, size, plain[at - blobs * ENTRY.size:at]))
        except struct.error as error:
            raise Damage("its list of packs is incomplete") from error
        if at != len(plain):
            raise Damage("its list of packs doesn't fit its length")
        return packs

    def places(self, pack_number, key_class, table):
        """The (blob id, place) pairs of a pack, by its table."""
        offset = 48
        for number, (blob_id, kind, encoding, raw, sealed) in enumerate(ENTRY.iter_unpack(table)):
            if (kind == DATA) != (key_class == DATA_CLASS) or encoding > 1 or raw > MAX_BLOB:
                raise Damage("its table has an entry that isn't allowed")
            yield blob_id, Place(pack_number, offset, number, kind, encoding, raw, sealed)
            offset += sealed

    def pack(self, number):
        if number not in self.open_packs:
            if len(self.open_packs) >= 64:
                self.open_packs.clear()         # closes them
            pack_id = self.pack_ids[number]
            self.open_packs[number] = Pack(os.path.join(self.path, "packs", pack_id[:2], pack_id), self.keys)
        return self.open_packs[number]

    def blob(self, blob_id, kind, length=None):
        """A blob's content, verified. Tries every pack that has it."""
        failure = f"blob {blob_id.hex()[:16]} is in no pack"
        for place in self.index.places(blob_id):
            try:
                return self.open_blob(blob_id, kind, length, place)
            except (Damage, OSError) as error:
                failure = f"blob {blob_id.hex()[:16]} in pack {self.pack_ids[place.pack][:16]}: {reason(error)}"
        raise Damage(failure)

    def open_blob(self, blob_id, kind, length, place):
        pack = self.pack(place.pack)
        associated = blob_id + struct.pack(">BBI", place.kind, place.encoding, place.raw)
        content = unseal(pack.key, place.number, associated, pack.read(place.offset, place.sealed))
        if place.encoding == 1:
            content = unzstd(content, place.raw)
        if len(content) != place.raw or mac(self.keys.content_id, bytes([place.kind]) + content) != blob_id:
            raise Damage("its content isn't what its id says")
        if place.kind != kind or length not in (None, place.raw):
            raise Damage("it isn't of the kind or length that is needed here")
        return content

    # Points

    def points(self):
        """All recovery points, oldest first; damaged manifests are reported and left out."""
        found = []
        pattern = "points/[0-9a-f]{32}/[0-9]{8}T[0-9]{9}Z-[0-9a-f]{32}"
        for name in self.names("points", pattern):
            try:
                found.append(self.manifest(name))
            except (Damage, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                self.problem(f"{name}: {reason(error)}; this recovery point can't be restored from here")
        return sorted(found, key=lambda point: (point["time"], point["id"]))

    def manifest(self, name):
        """A manifest (section 9), with its id and digest added."""
        plain = self.body(self.read(name), MANIFEST)
        signature, text = plain[:64], plain[64:]
        try:
            self.keys.public_key.verify(signature, b"stillpoint/1/manifest\0" + text)
        except InvalidSignature as error:
            raise Damage("its signature is wrong") from error
        point = json.loads(text)
        if point["version"] != 1:
            raise Damage("its manifest has an unknown version")
        point["digest"] = hashlib.sha256(text).hexdigest()
        point["id"] = point["digest"][:32]
        tag = mac(self.keys.source_tag, point["source"].encode("utf-8"))[:16].hex()
        when = re.sub("[-:.]", "", point["time"])
        if name != f"points/{tag}/{when}-{point['id']}" or point["repository"] != self.id.hex():
            raise Damage("its name isn't that of its content")
        if not all(member in point for member in REQUIRED) or not point["parts"]:
            raise Damage("its manifest isn't complete")
        for part in point["parts"]:
            if part["kind"] not in ("image", "stream", "directory") or not isinstance(part["name"], str):
                raise Damage("its manifest has a part that this reader doesn't know")
        return point

    def beside(self, folder, kind, point):
        """The small objects (section 10) of a point, oldest first."""
        suffix = "" if kind in (HOLD, FORGOTTEN) else "/[0-9]{8}T[0-9]{9}Z-[0-9a-f]{16}"
        if suffix:
            names = self.names(f"{folder}/{point}", f"{folder}/{point}{suffix}")
        else:
            names = [f"{folder}/{point}"] if os.path.exists(os.path.join(self.path, folder, point)) else []
        return [content for name in names if (content := self.small(name, kind))]


def reason(error):
    """One short phrase for any error."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, (KeyError, TypeError, AttributeError)):
        return f"a member is missing or of the wrong type ({error})"
    return str(error) or type(error).__name__


# ---- Trees (section 8) ----

Piece = namedtuple("Piece", "offset length content damage")     # content None: a hole, or damage


class Trees:
    """Walks the trees of points. `clean` remembers whole subtrees without damage when everything is only checked."""

    def __init__(self, repository, data, clean=None):
        self.repository, self.data, self.clean = repository, data, clean

    def image(self, part):
        size, block, depth = (natural(part[name]) for name in ("size", "block", "depth"))
        if not 0 < block <= MAX_BLOB or depth != smallest_depth(size, block):
            raise Damage("the depth of the image doesn't fit its size")
        return self.pieces("image", identity(part["root"]), size, depth, 0, block)

    def stream(self, entry):
        return self.pieces("stream", identity(entry["root"]), natural(entry["size"]), natural(entry["depth"]), 0, 0)

    def pieces(self, kind, root, length, depth, offset, block):
        """The pieces of an image or stream in order. A node that can't be read is one damaged piece."""
        if root == HOLE:
            if length:
                yield Piece(offset, length, None, None)
            return
        if self.clean is not None and (kind, root, length, depth) in self.clean:
            return
        whole = True
        try:
            if depth == 0:
                yield Piece(offset, length, self.data(root, length), None)
                return
            if kind == "image":
                children = self.image_children(root, length, block * 256 ** (depth - 1))
            else:
                children = self.stream_children(root, length)
        except Damage as damage:
            yield Piece(offset, length, None, str(damage))
            return
        for child, child_length in children:
            for piece in self.pieces(kind, child, child_length, depth - 1, offset, block):
                whole = whole and piece.damage is None
                yield piece
            offset += child_length
        if whole and self.clean is not None:
            self.clean.add((kind, root, length, depth))

    def image_children(self, root, length, span):
        node = self.repository.blob(root, IMAGE_NODE)
        if len(node) != 32 * -(-length // span):
            raise Damage("an image node doesn't fit the image's size")
        return [(node[32 * i:32 * i + 32], min(span, length - i * span)) for i in range(len(node) // 32)]

    def stream_children(self, root, length):
        node = self.repository.blob(root, STREAM_NODE)
        children = list(struct.iter_unpack(">32sQ", node)) if len(node) % 40 == 0 else []
        if len(children) > 1024 or sum(child[1] for child in children) != length:
            raise Damage("a stream node doesn't fit the stream's size")
        return children

    def directory(self, tree, report):
        """The (name, entry) pairs of a directory. Calls report(text) for whatever is damaged."""
        try:
            node = self.directory_node(tree)
            nodes = [node] if "entries" in node else node["parts"]
        except (Damage, ValueError, KeyError, TypeError) as error:
            report(f"the list of what is in this directory can't be read, all below it is missing: {reason(error)}")
            return
        last = b""
        for node in nodes:
            try:
                entries = node["entries"] if isinstance(node, dict) else self.directory_node(node)["entries"]
            except (Damage, ValueError, KeyError, TypeError) as error:
                report(f"a part of the list of what is in this directory can't be read: {reason(error)}")
                continue
            for entry in entries:
                try:
                    name = text_or_bytes(entry, "name")
                except (ValueError, KeyError, TypeError, AttributeError):
                    report("an entry has no name; left out")
                    continue
                if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
                    report(f"an entry has the unsafe name {show(name)!r}; left out")
                elif name <= last:
                    report(f"the entry {show(name)!r} stands twice or out of order; left out")
                else:
                    last = name
                    yield name, entry

    def directory_node(self, tree):
        return json.loads(self.repository.blob(identity(tree), DIRECTORY_NODE))


def smallest_depth(size, block):
    depth = 0
    while block * 256 ** depth < size:
        depth += 1
    return depth


def natural(value):
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Damage("a size or depth isn't a number")
    return value


def identity(text):
    if not isinstance(text, str) or not re.fullmatch("[0-9a-f]{64}", text):
        raise Damage("an id isn't 64 hex digits")
    return bytes.fromhex(text)


def text_or_bytes(entry, member):
    """A name, target or path: as text when it is UTF-8, else as base64 under another name."""
    if member in entry:
        return entry[member].encode("utf-8")
    return base64.b64decode(entry[member + "64"], validate=True)


def nanoseconds(text):
    """The times of section 8: "-1.500000000" is -1,500,000,000."""
    sign, seconds, fraction = re.fullmatch(r"(-?)(\d+)\.(\d{9})", text).groups()
    return int(sign + "1") * (int(seconds) * 10 ** 9 + int(fraction))


class DamageList:
    """What is damaged in the contents of points. Neighbouring ranges of a file are joined."""

    def __init__(self, what=""):
        self.what, self.found = what, []

    def add(self, path, text, offset=None, length=None):
        last = self.found[-1] if self.found else None
        if last and offset is not None and last["path"] == path and last["offset"] is not None \
                and last["offset"] + last["length"] == offset:
            last["length"] += length
        else:
            self.found.append({"path": path, "offset": offset, "length": length, "reason": text})

    def lines(self):
        for one in self.found:
            where = "" if one["offset"] is None else f"bytes {one['offset']} to {one['offset'] + one['length'] - 1}: "
            yield f"damaged: {self.what}{show(one['path']) or '.'}: {where}{one['reason']}"

    def as_json(self):
        return [named(one["path"]) | {k: one[k] for k in ("offset", "length", "reason")} for one in self.found]


def named(path):
    try:
        return {"path": path.decode("utf-8")}
    except UnicodeDecodeError:
        return {"path64": base64.b64encode(path).decode("ascii")}


# ---- Restore ----

NODE_TYPES = {"fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK, "chardev": stat.S_IFCHR, "blockdev": stat.S_IFBLK}
# Going on after one of these makes no sense: every further write would fail as well.
FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class Restore:
    """Writes one point to a new path. What is damaged is left as zeros, or left out, and reported."""

    def __init__(self, repository):
        self.trees = Trees(repository, lambda blob_id, length: repository.blob(blob_id, DATA, length))
        self.damage, self.warnings = DamageList(), []
        self.links = {}                     # `link` -> (path where the file was made first, its path for reports)
        self.root = os.geteuid() == 0
        self.files = self.bytes = 0
        self.next_progress = time.monotonic() + 1

    def run(self, point, target):
        if not target.strip("/"):
            raise Problem("The target is empty or the root folder. Nothing was changed; name a new path.", USAGE)
        if os.path.lexists(target):
            raise Problem(f"The target {target} exists already. Nothing was changed; name a new path.", USAGE)
        partial = target.rstrip("/") + ".partial"
        if not os.path.isdir(os.path.dirname(partial) or "."):
            raise Problem(f"There is no folder {os.path.dirname(partial)} to restore into. Nothing was changed.", USAGE)
        if os.path.lexists(partial):
            raise Problem(f"{partial} is left from an earlier restore. Nothing was changed; remove it first.", USAGE)
        path, parts = os.fsencode(partial), point["parts"]
        try:
            if len(parts) == 1 and point["kind"] != "vm":
                self.part(parts[0], path, b"")
            else:
                os.mkdir(path, 0o700)
                for part in parts:
                    self.named_part(part, path)
                if isinstance(point.get("machine"), dict):
                    with open(os.path.join(path, b"machine.json"), "x", encoding="utf-8") as file:
                        json.dump(point["machine"], file, indent=2)
            if os.path.lexists(path):
                os.sync()
                os.rename(partial, target)
        except OSError as error:
            left = f"What was restored so far is in {partial}" if os.path.lexists(partial) else "Nothing was restored"
            raise Problem(f"Cannot write to {target}: {error.strerror}. {left}; the repository is unchanged.") from error

    def named_part(self, part, folder):
        """A part of several, in folders as its name says (section 9): never outside of the target, never twice."""
        name = part["name"].encode("utf-8")
        pieces, path = name.split(b"/"), os.path.join(folder, name)
        if any(piece in (b"", b".", b"..") or b"\0" in piece for piece in pieces) or name == b"machine.json":
            self.damage.add(name, "a part has this unsafe name; left out")
            return
        try:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            if os.path.lexists(path):
                raise FileExistsError
        except (FileExistsError, NotADirectoryError):
            self.damage.add(name, "a part has the name of another; left out")
            return
        self.part(part, path, name)

    def part(self, part, path, shown):
        try:
            if part["kind"] == "directory":
                if part["entry"]["type"] != "directory":
                    raise Damage("the part isn't a directory")
                self.entry(part["entry"], path, shown)
            else:
                pieces = self.trees.image(part) if part["kind"] == "image" else self.trees.stream(part)
                self.content(pieces, part["size"], True, path, shown)
                os.chmod(path, 0o600)
        except (Damage, KeyError, TypeError, ValueError, AttributeError) as error:
            self.damage.add(shown, f"this part can't be restored: {reason(error)}")

    def entry(self, entry, path, shown):
        """One entry with all below it. An entry that can't be made is reported, and the others go on."""
        try:
            kind, link = entry["type"], entry.get("link")
            if link is not None and link in self.links:
                self.hard_link(link, path, shown)
                return
            if kind == "directory":
                os.mkdir(path, 0o700)
                for name, child in self.trees.directory(entry["tree"], lambda text: self.damage.add(shown, text)):
                    self.entry(child, os.path.join(path, name), os.path.join(shown, name) if shown else name)
            elif kind == "file":
                self.content(self.trees.stream(entry), natural(entry["size"]), entry.get("sparse") is True, path, shown)
            elif kind == "symlink":
                os.symlink(text_or_bytes(entry, "target"), path)
            elif kind in NODE_TYPES:
                os.mknod(path, NODE_TYPES[kind] | 0o600, os.makedev(*entry.get("device", (0, 0))))
            else:
                raise Damage(f"it is of the unknown type {kind}")
            if link is not None:
                self.links[link] = (path, shown)
            self.files += 1
            self.attributes(entry, path, shown)
        except (Damage, KeyError, TypeError, ValueError, AttributeError) as error:
            self.damage.add(shown, f"not restored, or not completely: {reason(error)}")
        except OSError as error:
            if error.errno in FATAL:
                raise
            self.warn(shown, f"not restored: {error.strerror}")

    def hard_link(self, link, path, shown):
        first, first_shown = self.links[link]
        os.link(first, path, follow_symlinks=False)
        for one in [one for one in self.damage.found if one["path"] == first_shown]:
            self.damage.add(shown, one["reason"], one["offset"], one["length"])

    def content(self, pieces, size, sparse, path, shown):
        """A new file with the given pieces. What isn't written stays a hole, which reads as zeros."""
        with open(path, "xb", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            os.ftruncate(file.fileno(), size)
            for piece in pieces:
                if piece.damage is not None:
                    self.damage.add(shown, piece.damage + "; zeros stand there", piece.offset, piece.length)
                elif piece.content is not None:
                    write_at(file, piece.offset, piece.content, sparse)
                elif not sparse:
                    for at in range(0, piece.length, 1 << 20):
                        write_at(file, piece.offset + at, bytes(min(1 << 20, piece.length - at)), False)
                self.bytes += piece.length
                self.progress()

    def attributes(self, entry, path, shown):
        """Owner first, because a change of owner clears capabilities and set-user-id; the time last."""
        if self.root:
            os.chown(path, entry["uid"], entry["gid"], follow_symlinks=False)
        for name, value in entry.get("xattrs", {}).items():
            if not self.root and name.startswith(("security.", "trusted.")):
                continue
            try:
                os.setxattr(path, name, base64.b64decode(value, validate=True), follow_symlinks=False)
            except OSError as error:
                self.warn(shown, f"extended attribute {name} not restored: {error.strerror}")
        if entry["type"] != "symlink":
            os.chmod(path, entry["mode"] & 0o7777)
        when = nanoseconds(entry["mtime"])
        os.utime(path, ns=(when, when), follow_symlinks=False)

    def warn(self, shown, text):
        self.warnings.append(named(shown) | {"reason": text})
        say(f"warning: {show(shown)}: {text}")

    def progress(self):
        if sys.stderr.isatty() and time.monotonic() > self.next_progress:
            self.next_progress = time.monotonic() + 1
            print(f"\r{self.files:,} files, {self.bytes / 2**20:,.0f} MiB ", end="", file=sys.stderr, flush=True)


def write_at(file, offset, content, sparse):
    """Writes content; when sparse, leaves out the blocks of 4 KiB (aligned in the file) that are all zeros."""
    start, end, view = 0, len(content), memoryview(content)
    while start < end:
        stop = end
        if sparse:
            step = 4096 - (offset + start) % 4096
            if not content[start:start + step].strip(b"\0"):
                start += step
                continue
            stop = start + step
            while stop < end and content[stop:stop + 4096].strip(b"\0"):
                stop += 4096
            stop = min(stop, end)
        while start < stop:
            start += os.pwrite(file.fileno(), view[start:stop], offset + start)


# ---- The three commands ----

def list_points(repository, arguments):
    rows = []
    latest = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + CLOCKS_DIFFER))
    for point in repository.points():
        tags = repository.beside("tags", TAGS, point["id"])
        proofs = repository.beside("proofs", PROOF, point["id"])
        passed = [proof["time"] for proof in proofs if proof.get("result") == "passed" and "time" in proof]
        rows.append({
            "id": point["id"], "source": point["source"], "policy": point["policy"], "host": point["host"],
            "kind": point["kind"], "time": point["time"], "consistency": point["consistency"],
            "size": point["statistics"].get("size", 0), "tags": tags[-1].get("tags", []) if tags else point["tags"],
            "held": bool(repository.beside("holds", HOLD, point["id"])), "verified": max(passed, default=None),
            "from_the_future": point["time"] > latest,
        })
    if arguments.json:
        print(json.dumps(rows, indent=2))
    elif rows:
        print(f"{'RECOVERY POINT':32}  {'TIME':24}  {'BYTES':>15}  {'KIND':9}  {'CONSISTENCY':11}  SOURCE, tags")
        for row in rows:
            marks = row["tags"] + (["(held)"] if row["held"] else [])
            marks += ["(FROM THE FUTURE)"] if row["from_the_future"] else []
            print(f"{row['id']}  {row['time']}  {row['size']:>15,}  {row['kind']:9}  {row['consistency']:11}"
                  f"  {show(row['source'])}{''.join(' ' + show(mark) for mark in marks)}")
    else:
        say(f"There is no recovery point in {repository.path}.")
    return DAMAGE if repository.problems else OK


def restore(repository, arguments):
    wanted = arguments.point.lower()
    points = [point for point in repository.points() if point["id"].startswith(wanted)]
    if len(points) != 1 or len(wanted) < 4:
        many = "more than one recovery point" if points else "no recovery point"
        raise Problem(f"There is {many} whose id begins with {wanted!r}; see the ids with: list. Nothing was written.",
                      DAMAGE if repository.problems and not points else FAILED)
    repository.load_index()
    run = Restore(repository)
    run.run(points[0], arguments.to)
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    for line in run.damage.lines():
        say(line)
    if not os.path.lexists(arguments.to):
        raise Problem(f"Nothing of {points[0]['id']} could be restored.", DAMAGE if run.damage.found else FAILED)
    if not run.root:
        say("note: without root, owners, capabilities and other trusted attributes are left out.")
    status = DAMAGE if run.damage.found else PARTIAL if run.warnings else OK
    if arguments.json:
        print(json.dumps({"point": points[0]["id"], "to": arguments.to, "files": run.files, "bytes": run.bytes,
                          "damaged": run.damage.as_json(), "warnings": run.warnings}, indent=2))
    else:
        outcome = {OK: "complete", PARTIAL: "complete but for the warnings above", DAMAGE: "but DAMAGED as said above"}
        print(f"Restored {points[0]['id']} ({show(points[0]['source'])}, {points[0]['time']})"
              f" to {show(arguments.to)}: {outcome[status]}.")
    return status


def check(repository, arguments):
    """Reads and verifies every object; then says which files of which points need something that is damaged."""
    repository.load_index()
    bad, blobs = check_packs(repository)
    small = check_small_objects(repository)
    points = repository.points()
    digests = {point["digest"] for point in points} | {one.get("digest") for one in small["forgotten"]}
    notes = [f"pack {pack_id} is in the index but not here" for pack_id in sorted(repository.missing_packs)]

    def present(blob_id, length):
        if blob_id in bad or not any(p.kind == DATA and p.raw == length for p in repository.index.places(blob_id)):
            raise Damage(f"blob {blob_id.hex()[:16]} is damaged or missing")
        return b""

    trees, affected = Trees(repository, present, set()), []
    for point in points:
        if point["previous"] is not None and point["previous"] not in digests:
            notes.append(f"point {point['id']} ({point['source']}) follows {point['previous'][:32]},"
                         " which isn't here and wasn't recorded as forgotten")
        damage = DamageList(f"point {point['id']} ({show(point['source'])}): ")
        for part in point["parts"]:
            check_part(trees, part, damage)
        for line in damage.lines():
            say(line)
        if damage.found:
            affected.append({"point": point["id"], "source": point["source"], "damaged": damage.as_json()})
    for note in notes:
        say(f"note: {note}")
    result = {"packs": len(repository.pack_ids), "blobs": blobs, "points": len(points), "objects": list(repository.problems),
              "affected": affected, "notes": notes}
    damaged = repository.problems or affected
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"{result['packs']} packs, {blobs} blobs, {len(points)} recovery points:"
              f" {f'DAMAGED, {len(affected)} of the points are affected' if damaged else 'all whole'}.")
    return DAMAGE if damaged else OK


def check_packs(repository):
    """Opens every blob of every pack. Returns (ids of which no copy is good, the number of blobs)."""
    bad, blobs, broken = set(), 0, set()

    def try_blob(blob_id, place):
        try:
            repository.open_blob(blob_id, place.kind, None, place)
        except (Damage, OSError) as error:
            repository.problem(f"pack {repository.pack_ids[place.pack]}: blob {blob_id.hex()[:16]}: {reason(error)}")
            try:
                repository.blob(blob_id, place.kind)
            except Damage:
                bad.add(blob_id)

    for number, pack_id in enumerate(repository.pack_ids):
        try:
            pack = repository.pack(number)
            table = pack.table(pack_id)
            places = list(repository.places(number, pack.key_class, table))
        except (Damage, OSError) as error:
            repository.problem(f"pack {pack_id}: {reason(error)}")
            broken.add(number)
            continue
        own = (pack.key_class, pack.size, hashlib.sha256(table).digest())
        if repository.indexed.get(pack_id, own) != own:
            repository.problem(f"pack {pack_id}: the index says something else of it than its own table")
        for blob_id, place in places:
            blobs += 1
            try_blob(blob_id, place)
    if broken:                      # blobs that only the index knows
        for prefix, bucket in repository.index.buckets.items():
            for rest, *place in BlobIndex.record.iter_unpack(bucket):
                if place[0] in broken:
                    blobs += 1
                    try_blob(prefix + rest, Place(*place))
    return bad, blobs


def check_small_objects(repository):
    stamp = "[0-9]{8}T[0-9]{9}Z-[0-9a-f]{16}"
    kinds = {"tags": (TAGS, f"tags/[0-9a-f]{{32}}/{stamp}"), "holds": (HOLD, "holds/[0-9a-f]{32}"),
             "readers": (READER, f"readers/[0-9a-f]{{32}}/{stamp}"),
             "proofs": (PROOF, f"proofs/[0-9a-f]{{32}}/{stamp}"), "forgotten": (FORGOTTEN, "forgotten/[0-9a-f]{32}"),
             "sweeps": (SWEEP, f"sweeps/{stamp}"), "config": (CONFIG, f"config/{stamp}")}
    for name in repository.names("keys", "keys/[0-9a-f]{16}"):
        try:
            key = json.loads(repository.read(name))
            if key["version"] == 1 and len(base64.b64decode(key["wrapped"], validate=True)) < 48:
                raise Damage("its wrapped key is too short")
        except (Damage, OSError, ValueError, KeyError, TypeError) as error:
            repository.problem(f"{name}: {reason(error)}")
    if os.path.exists(os.path.join(repository.path, "lease")):
        repository.small("lease", LEASE)
    return {folder: [content for name in repository.names(folder, pattern) if (content := repository.small(name, kind))]
            for folder, (kind, pattern) in kinds.items()}


def check_part(trees, part, damage):
    """Walks a part down to its last piece, and adds what is damaged."""
    try:
        if part["kind"] == "directory":
            check_entry(trees, part["entry"], damage, b"")
        else:
            check_pieces(trees.image(part) if part["kind"] == "image" else trees.stream(part), damage, b"")
    except (Damage, KeyError, TypeError, ValueError, AttributeError) as error:
        damage.add(b"", reason(error))


def check_pieces(pieces, damage, shown):
    for piece in pieces:
        if piece.damage is not None:
            damage.add(shown, piece.damage, piece.offset, piece.length)


def check_entry(trees, entry, damage, shown):
    """An entry with all below it. A directory that was found whole in another point isn't walked again."""
    try:
        before, kind = len(damage.found), entry["type"]
        for member in ("mode", "uid", "gid"):
            natural(entry[member])
        nanoseconds(entry["mtime"])
        for value in entry.get("xattrs", {}).values():
            base64.b64decode(value, validate=True)
        if kind == "directory" and ("directory", entry["tree"]) not in trees.clean:
            for name, child in trees.directory(entry["tree"], lambda text: damage.add(shown, text)):
                check_entry(trees, child, damage, os.path.join(shown, name) if shown else name)
            if len(damage.found) == before:
                trees.clean.add(("directory", entry["tree"]))
        elif kind == "file":
            check_pieces(trees.stream(entry), damage, shown)
        elif kind == "symlink":
            text_or_bytes(entry, "target")
        elif kind != "directory" and kind not in NODE_TYPES:
            raise Damage(f"it is of the unknown type {kind}")
    except (Damage, KeyError, TypeError, ValueError, AttributeError) as error:
        damage.add(shown, reason(error))


def main():
    parser = argparse.ArgumentParser(description="Reads a Stillpoint repository without Stillpoint; see README.md.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, function, text in (("list", list_points, "list all recovery points"),
                                 ("restore", restore, "restore one recovery point to a new path"),
                                 ("check", check, "verify everything, every byte")):
        sub = verbs.add_parser(verb, help=text)
        sub.set_defaults(function=function)
        sub.add_argument("--repository", required=True, metavar="PATH", help="the repository's folder, or a copy of it")
        secret = sub.add_mutually_exclusive_group(required=True)
        for option, metavar, opener in (("--key-file", "FILE", open_with_key_file),
                                        ("--passphrase-file", "FILE", open_with_passphrase),
                                        ("--age-identity", "FILE", open_with_age)):
            secret.add_argument(option, metavar=metavar, dest="secret", type=lambda path, opener=opener: (opener, path))
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        if verb == "restore":
            sub.add_argument("point", metavar="POINT", help="the point's id, or the beginning of it")
            sub.add_argument("--to", required=True, metavar="PATH", help="where to; must not exist yet")
    arguments = parser.parse_args()
    sys.setrecursionlimit(20_000)           # a level of directories takes three calls
    return arguments.function(Repository(arguments.repository, *arguments.secret), arguments)


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except Problem as problem:
        say(f"stillpoint-emergency-reader: {problem}")
        status = problem.status
    except KeyboardInterrupt:
        say("stillpoint-emergency-reader: interrupted. The repository is unchanged; a restore begun is in PATH.partial.")
        status = FAILED
    except BrokenPipeError:
        status = FAILED
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:              # a defect of this program, or a machine in trouble: one line all the same
        say(f"stillpoint-emergency-reader: cannot go on: {type(error).__name__}: {error}. The repository is unchanged.")
        status = FAILED
    sys.exit(status)
