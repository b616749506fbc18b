#!/usr/bin/env python3
"""Reads in programs what the hardening flags of CMakeLists.txt came to.

    check_elf.py PROGRAM...     exit code 1 and one line for each fault
    check_elf.py --self-test    builds a small program without each of them and sees that it is found

What must be there: position-independent, all symbols bound at start and then read-only (full RELRO), no stack and no
segment that is writable and executable, no search path for libraries (RPATH, RUNPATH), no text relocations, the stack
protector, checked functions of the C library (FORTIFY), and on x86 a landing mark (endbr64) where the program begins its
own code."""
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

DYN, X86_64 = 3, 62
LOAD, DYNAMIC, GNU_STACK, GNU_RELRO = 1, 2, 0x6474E551, 0x6474E552
EXECUTE, WRITE = 1, 2
TAG_STRTAB, TAG_SYMTAB, TAG_RPATH, TAG_TEXTREL, TAG_RUNPATH, TAG_FLAGS, TAG_FLAGS_1 = 5, 6, 15, 22, 29, 30, 0x6FFFFFFB
BIND_NOW, TEXTREL, NOW = 8, 4, 1
ENDBR64 = b"\xf3\x0f\x1e\xfa"


class Elf:
    """A 64-bit little-endian program: its segments, its dynamic section and the names that it imports."""

    def __init__(self, data: bytes):
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit little-endian ELF file")
        self.data = data
        self.kind, self.machine = struct.unpack_from("<HH", data, 16)
        at, = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        # (type, flags, offset, address, bytes in the file)
        rows = [struct.unpack_from("<IIQQQQ", data, at + i * size) for i in range(count)]
        self.segments = [(row[0], row[1], row[2], row[3], row[5]) for row in rows]
        self.dynamic = self._dynamic()

    def segment(self, kind):
        return next((s for s in self.segments if s[0] == kind), None)

    def _dynamic(self):
        found, out = self.segment(DYNAMIC), {}
        for at in range(found[2], found[2] + found[4], 16) if found else []:
            tag, value = struct.unpack_from("<QQ", self.data, at)
            out.setdefault(tag, value)
        return out

    def _offset(self, address):
        return next(address - s[3] + s[2] for s in self.segments if s[0] == LOAD and s[3] <= address < s[3] + s[4])

    def symbols(self):
        """The dynamic symbols; their table ends where the strings begin, as linkers lay them."""
        begin, strings = self._offset(self.dynamic[TAG_SYMTAB]), self._offset(self.dynamic[TAG_STRTAB])
        for at in range(begin, strings, 24):
            name = strings + struct.unpack_from("<I", self.data, at)[0]
            yield self.data[name:self.data.index(b"\0", name)].decode()


def faults_of(data: bytes) -> list[str]:
    elf = Elf(data)
    names, flags = set(elf.symbols()), elf.dynamic.get(TAG_FLAGS, 0)
    stack = elf.segment(GNU_STACK)
    checks = [
        (elf.kind == DYN, "is not position-independent (-fPIE -pie)"),
        (elf.segment(GNU_RELRO) is not None, "has no read-only part after start (-z relro)"),
        (flags & BIND_NOW or elf.dynamic.get(TAG_FLAGS_1, 0) & NOW, "binds symbols late (-z now)"),
        (stack and not stack[1] & EXECUTE, "has an executable stack (-z noexecstack)"),
        (not any(s[0] == LOAD and s[1] & EXECUTE and s[1] & WRITE for s in elf.segments), "has code that can be written"),
        (TAG_RPATH not in elf.dynamic and TAG_RUNPATH not in elf.dynamic, "has a search path for libraries (RUNPATH)"),
        (TAG_TEXTREL not in elf.dynamic and not flags & TEXTREL, "changes its code at start (text relocations)"),
        ("__stack_chk_fail" in names, "has no stack protector (-fstack-protector-strong)"),
        (any(name.endswith("_chk") for name in names), "has no checked library functions (-D_FORTIFY_SOURCE)"),
        (elf.machine != X86_64 or data.count(ENDBR64) > 8, "has no landing marks (-fcf-protection)"),
    ]
    return [text for is_good, text in checks if not is_good]


# ---- self-test ----

SOURCE = """#include <stdio.h>
#include <string.h>
int f(const char *s) { char b[64]; strcpy(b, s); return puts(b); }
int f1(int n) { return n + 1; } int f2(int n) { return n + 2; } int f3(int n) { return n + 3; }
int f4(int n) { return n + 4; } int f5(int n) { return n + 5; } int f6(int n) { return n + 6; }
int main(int n, char **v) { return f(v[0]) + f1(n) + f2(n) + f3(n) + f4(n) + f5(n) + f6(n); }
"""
GOOD = ["-O2", "-fPIE", "-pie", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-fcf-protection", "-Wl,-z,relro,-z,now"]
PLANTED = [
    ([], None),
    (["-no-pie", "-fno-PIE"], "is not position-independent"),
    (["-Wl,-z,norelro"], "has no read-only part"),
    (["-Wl,-z,lazy"], "binds symbols late"),
    (["-Wl,-z,execstack"], "has an executable stack"),
    (["-Wl,-rpath,/opt/lib"], "has a search path"),
    (["-fno-stack-protector"], "has no stack protector"),
    (["-U_FORTIFY_SOURCE"], "has no checked library functions"),
    (["-fcf-protection=none"], "has no landing marks"),
]


def with_writable_code(data: bytes) -> bytes:
    at, = struct.unpack_from("<Q", data, 32)
    count, = struct.unpack_from("<H", data, 56)
    out = bytearray(data)
    for i in range(count):
        kind, flags = struct.unpack_from("<II", data, at + 56 * i)
        if kind == LOAD and flags & EXECUTE:
            struct.pack_into("<I", out, at + 56 * i + 4, flags | WRITE)
    return bytes(out)


def self_test() -> list[str]:
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        source, program = pathlib.Path(folder, "a.c"), pathlib.Path(folder, "a")
        source.write_text(SOURCE)
        for flags, fault in PLANTED:
            subprocess.run([os.environ.get("CC", "cc"), *GOOD, *flags, source, "-o", program], check=True)
            found = faults_of(program.read_bytes())
            if not fault and found or fault and not any(f.startswith(fault) for f in found):
                failures.append(f"with {flags}: {found}")
            if not flags and "has code that can be written" not in faults_of(with_writable_code(program.read_bytes())):
                failures.append("code that can be written is not found")
    return failures


def main() -> int:
    arguments = sys.argv[1:]
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    if arguments == ["--self-test"]:
        faults = [f"self-test: {f}" for f in self_test()]
    else:
        faults = [f"{path} {f}" for path in arguments for f in faults_of(pathlib.Path(path).read_bytes())]
    print("\n".join(faults) or f"elf: {len(PLANTED) if arguments[0].startswith('--') else len(arguments)} programs as they should be")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
