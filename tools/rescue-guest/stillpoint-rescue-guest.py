#!/usr/bin/python3
"""Lets a QEMU guest go on whose memory was left write-protected by a save that failed or was cancelled.

QEMU before version 10 saves the memory of a running guest (capability background-snapshot) under write protection by
userfaultfd(2), and leaves it in place when the save ends badly. The guest then stops at its next write, often together with
QMP and everything else, SIGTERM included. This takes the protection off from outside and wakes what waits. Nothing is lost:
the guest goes on where it was. It needs only Python's standard library (3.9 or later), Linux 5.7 or later, and root.

Exit status: 0 done or nothing to do, 1 failed, 2 bad usage.
"""

import argparse
import ctypes
import errno
import fcntl
import os
import struct
import sys

SYS_PIDFD_GETFD = 438           # include/uapi/asm-generic/unistd.h, the same on every architecture but alpha
UFFDIO_WRITEPROTECT = 0xC018AA06  # include/uapi/linux/userfaultfd.h: u64 start, length, mode; mode 0 lifts and wakes
UFFDIO_UNREGISTER = 0x8010AA01    # u64 start, length

libc = ctypes.CDLL(None, use_errno=True)


def protected_ranges(pid):
    """The mappings that are registered for write protection: the flag uw of proc(5)'s smaps."""
    ranges, current = [], None
    with open(f"/proc/{pid}/smaps", encoding="latin-1") as smaps:
        for line in smaps:
            first, _, rest = line.partition(" ")
            if first == "VmFlags:":
                if "uw" in rest.split():
                    ranges.append(current)
            elif not first.endswith(":"):
                start, end = (int(number, 16) for number in first.split("-"))
                current = (start, end - start)
    return ranges


def copy_userfaultfds(pid):
    copies = []
    process = os.pidfd_open(pid)
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                link = os.readlink(f"/proc/{pid}/fd/{fd}")
            except FileNotFoundError:
                continue
            if link != "anon_inode:[userfaultfd]":
                continue
            copy = libc.syscall(SYS_PIDFD_GETFD, process, int(fd), 0)
            if copy < 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            copies.append(copy)
    finally:
        os.close(process)
    return copies


def control(descriptors, request, structure):
    for fd in descriptors:
        try:
            fcntl.ioctl(fd, request, structure)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL):   # the range belongs to another of the descriptors
                raise


def rescue(pid):
    """Lifts the protection and wakes who waits; returns how many mappings and bytes were protected."""
    ranges = protected_ranges(pid)
    if ranges:
        descriptors = copy_userfaultfds(pid)
        for start, length in ranges:    # all of them first: unregistering alone would wake nobody
            control(descriptors, UFFDIO_WRITEPROTECT, struct.pack("=QQQ", start, length, 0))
        for start, length in ranges:
            control(descriptors, UFFDIO_UNREGISTER, struct.pack("=QQ", start, length))
        if protected_ranges(pid):
            raise OSError(errno.EBUSY, "some memory is still protected; another save may have begun, try again")
    return len(ranges), sum(length for _, length in ranges)


def processes():
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    program = file.read().split(b"\0")[0].decode(errors="replace")
                if "qemu" in os.path.basename(program) or "kvm" in os.path.basename(program):
                    yield int(name), program
            except OSError:
                pass


def show(pid, name):
    try:
        ranges = protected_ranges(pid)
    except OSError as error:
        print(f"{pid}  {name}: {error.strerror}")
        return
    what = f"{sum(length for _, length in ranges)} bytes write-protected" if ranges else "nothing protected"
    print(f"{pid}  {name}: {what}")


def main():
    parser = argparse.ArgumentParser(
        description="Lets a QEMU guest go on that froze because a save of its memory ended badly.",
        epilog="Without a PID it lists the QEMUs of this host, and whether their memory is write-protected. "
               "Memory is protected during every save of a running guest: rescue only a guest that is frozen, or whose "
               "save has failed. A save that is still under way is spoiled by it; the guest isn't.")
    parser.add_argument("pid", nargs="*", type=int, help="process number of a QEMU")
    arguments = parser.parse_args()
    if not arguments.pid:
        for pid, name in processes():
            show(pid, name)
    status = 0
    for pid in arguments.pid:
        try:
            ranges, size = rescue(pid)
        except OSError as error:
            hint = "; run it as root" if error.errno in (errno.EPERM, errno.EACCES) else ""
            print(f"{pid}: {error.strerror}{hint}", file=sys.stderr)
            status = 1
            continue
        if ranges:
            print(f"{pid}: protection taken off {size} bytes in {ranges} mappings; the guest goes on")
        else:
            print(f"{pid}: no memory is write-protected; whatever ails this guest, it isn't that")
    return status


if __name__ == "__main__":
    sys.exit(main())
