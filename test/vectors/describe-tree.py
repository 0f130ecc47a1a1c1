#!/usr/bin/python3
"""Prints what is at a path as JSON, in the form of expected.json: a list of entries in order, with every attribute that
a restore brings back. For comparing restores with what was expected, and with each other.

    describe-tree.py PATH
"""

import base64
import hashlib
import json
import os
import stat
import sys

TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
         stat.S_IFSOCK: "socket", stat.S_IFCHR: "chardev", stat.S_IFBLK: "blockdev"}


def named(member, value):
    try:
        return {member: value.decode("utf-8")}
    except UnicodeDecodeError:
        return {member + "64": base64.b64encode(value).decode("ascii")}


def seconds(ns):
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    return f"{sign}{ns // 10**9}.{ns % 10**9:09d}"


def describe(path, shown):
    status = os.lstat(path)
    kind = TYPES[stat.S_IFMT(status.st_mode)]
    entry = named("path", shown) | {"type": kind, "mode": stat.S_IMODE(status.st_mode), "uid": status.st_uid,
                                    "gid": status.st_gid, "mtime": seconds(status.st_mtime_ns)}
    if kind == "file":
        with open(path, "rb") as file:
            entry |= {"size": status.st_size, "sha256": hashlib.sha256(file.read()).hexdigest()}
        if status.st_blocks * 512 < status.st_size:
            entry["sparse"] = True
    elif kind == "symlink":
        entry |= named("target", os.readlink(path))
    elif kind in ("chardev", "blockdev"):
        entry["device"] = [os.major(status.st_rdev), os.minor(status.st_rdev)]
    if kind != "directory" and status.st_nlink > 1:
        entry["links"] = status.st_nlink
    xattrs = {name: base64.b64encode(os.getxattr(path, name, follow_symlinks=False)).decode("ascii")
              for name in sorted(os.listxattr(path, follow_symlinks=False))}
    if xattrs:
        entry["xattrs"] = xattrs
    yield entry
    if kind == "directory":
        for name in sorted(os.listdir(path)):
            yield from describe(os.path.join(path, name), os.path.join(shown, name) if shown else name)


if __name__ == "__main__":
    json.dump(list(describe(os.fsencode(sys.argv[1]), b"")), sys.stdout)
