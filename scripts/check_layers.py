#!/usr/bin/env python3
"""Checks who includes whom: the folder is the layer, and a library belongs to the files named here.

    check_layers.py               checks engine/, cli/, config/ and server/; exit code 1 and one line for each fault
    check_layers.py --graph       prints what the rooms of the server include, and which way; of another tree: --graph FOLDER
    check_layers.py --self-test   plants one fault of each kind in a made-up tree and sees that it is found

Rules: a file includes its own folder and lower layers, by the path from the root; libraries and instruction-set headers
appear only in the files of LIBRARIES; other system headers must be of the C library; a header compiles alone and has an
include guard. `*` stands for part of one name, never for a folder; a row of the tables that stands for no file is a
fault. Files of the engine that may not include <pthread.h> do not use its locks through another header either. Besides,
the one idiom for errors (CONTRIBUTING.md): an error is tested as it is, never compared with OK, and nothing is assigned
inside the condition of an if."""
import argparse
import concurrent.futures
import fnmatch
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOP_FOLDERS = ("engine", "cli", "config", "server")

# folder -> what its files may include; the first match counts
LAYERS = [
    ("engine/base/", ["engine/base/*"]),
    ("engine/image/", ["engine/base/*", "engine/image/*"]),
    ("engine/kernels/arm/", ["engine/base/*", "engine/kernels/*", "engine/kernels/arm/*", "engine/kernels/x86/*.inc"]),
    ("engine/kernels/x86/", ["engine/base/*", "engine/kernels/*", "engine/kernels/x86/*"]),
    ("engine/kernels/", ["engine/base/*", "engine/kernels/*"]),
    ("engine/text/", ["engine/base/*", "engine/text/*"]),
    ("engine/model/load/", ["engine/base/*", "engine/kernels/*", "engine/model/*", "engine/model/load/*"]),
    ("engine/model/tee/", ["engine/base/*", "engine/kernels/*", "engine/model/*", "engine/model/load/*", "engine/model/tee/*"]),
    ("engine/model/fusion/", ["engine/base/*", "engine/kernels/*", "engine/text/*", "engine/model/*", "engine/model/load/*",
                              "engine/model/fusion/*"]),
    ("engine/model/", ["engine/base/*", "engine/kernels/*", "engine/text/*", "engine/model/*", "engine/model/*/*"]),
    ("engine/answer/", ["engine/base/*", "engine/engine.h", "engine/job.h", "engine/answer/*"]),
    ("engine/", ["engine/base/*", "engine/image/*", "engine/kernels/*", "engine/text/*", "engine/model/*", "engine/model/tee/regions.h",
                 "engine/*"]),
    ("cli/", ["engine/base/*", "engine/image/*", "engine/engine.h", "engine/job.h", "engine/profile.h", "engine/answer/*", "cli/*"]),
    ("config/", ["engine/base/*", "config/*"]),
    # the rooms of the server, lower ones first
    ("server/http/", ["engine/base/*", "engine/answer/answer_dump.h", "config/*", "server/http/*"]),
    ("server/sandbox/", ["engine/base/*", "server/sandbox/*"]),
    ("server/gate/", ["engine/base/*", "engine/engine.h", "engine/job.h", "config/*", "server/http/*", "server/gate/*"]),
    ("server/input/", ["engine/base/*", "engine/image/sniff.h", "engine/job.h", "config/*", "server/http/*", "server/input/*"]),
    ("server/collections/", ["engine/base/*", "server/collections/*"]),
    ("server/work/", ["engine/base/*", "engine/engine.h", "engine/job.h", "engine/answer/*", "config/*", "server/http/*", "server/gate/*",
                      "server/input/*", "server/work/*"]),
    ("server/watch/", ["engine/base/*", "engine/engine.h", "config/*", "server/http/*", "server/gate/*",
                       "server/sandbox/*", "server/watch/*"]),
    ("server/api/", ["engine/base/*", "engine/engine.h", "engine/job.h", "config/*", "engine/answer/*", "server/http/*",
                     "server/gate/*", "server/input/*", "server/collections/*", "server/sandbox/*", "server/work/*",
                     "server/watch/*", "server/api/*"]),
    ("server/", ["engine/base/*", "engine/engine.h", "engine/job.h", "config/*", "server/*", "server/*/*"]),
]
# system header -> the only files that may include it
LIBRARIES = [
    (["jpeglib.h", "jerror.h", "jmorecfg.h", "turbojpeg.h"], ["engine/image/jpeg.c", "engine/image/jpeg_library.c", "engine/image/jpeg_write.c"]),
    (["png.h", "pngconf.h"], ["engine/image/png.c"]),
    (["zlib.h"], ["engine/image/png.c", "engine/image/png_text.c"]),
    (["webp/*"], ["engine/image/webp.c"]),
    (["curl/*"], ["cli/cli_http.c"]),
    (["gif_lib.h"], ["engine/image/gif.c"]),
    (["libheif/*"], ["engine/image/heif.c"]),
    (["tiff.h", "tiffio.h"], ["engine/image/tiff.c"]),
    (["nettle/*"], ["engine/base/sha256.c", "engine/base/base64.c"]),
    (["cblas.h", "openblas*"], ["engine/kernels/gemm_openblas.c"]),
    (["*intrin.h"], [f"engine/kernels/x86/*_{isa}" for isa in ("avx2.c", "avx2.inc", "avxvnni.c", "vnni256.inc", "avx512.c", "avx512.inc",
                                                                "avx512vnni.c", "amx.c", "amx.inc")]),
    (["arm_neon.h"], ["engine/kernels/arm/*.inc"]),
    (["cpuid.h"], ["engine/kernels/kernels.c"]),
    (["asm/prctl.h"], ["engine/kernels/kernels.c", "server/sandbox/sandbox_calls.c"]),
    (["jansson.h"], ["config/config*.c", "engine/model/load/*.[ch]", "engine/answer/*.[ch]", "cli/*.[ch]", "server/api/*.[ch]", "server/input/*.[ch]",
                     "server/http/reply.[ch]", "server/work/self_test.c", "server/app_check.c"]),
    (["uv.h", "uv/*"], ["server/http/loop.c"]),
    (["microhttpd.h"], ["server/http/http*.[ch]"]),
    (["gnutls/*"], ["server/http/tls.c", "server/http/wire.c"]),
    (["seccomp.h"], ["server/sandbox/sandbox_calls.c"]),
    (["sqlite3.h"], ["server/collections/collection*.c"]),
    (["pthread.h"], ["engine/base/*", "engine/image/heif.c", "engine/kernels/kernels.c", "cli/*", "server/*", "server/*/*"]),  # engine/: monitor.h
    (["poll.h"], ["engine/base/log_ring.c", "engine/base/err.c", "server/*", "server/*/*", "cli/*"]),
    (["sys/socket.h", "sys/un.h", "netinet/*", "arpa/*", "netdb.h", "sys/epoll.h"], ["server/*", "server/*/*", "cli/*"]),
]
C_LIBRARY = set("""assert ctype dirent dlfcn errno fcntl fenv float fts getopt inttypes iso646 langinfo libgen limits linux/* locale
    malloc math sched semaphore setjmp signal spawn stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn
    string strings sys/* sysexits tgmath threads time ucontext unistd wchar wctype""".split())

# Doors: what stands behind one includes the door's header for its types, so the file that implements the door is a
# module of its own, above them.
DOORS = {"engine/base/err.c", "engine/engine.c", "engine/image/image.c", "engine/kernels/kernels.c", "engine/model/model.c", "engine/job.c",
         "engine/engine_private.h", "engine/model/model_private.h", "engine/model/fusion/caption_state.c"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
COMMENT = re.compile(r"/\*.*?\*/", re.S)
LOCK = re.compile(r"\bpthread_(?!t\b|join\b)\w+")  # a thread of engine/base/thread.h is joined by whom started it
COMPARED = re.compile(r"[=!]= OK\b|\bOK [=!]= ")
IF = re.compile(r"\bif \(")
QUIET = re.compile(r'"(?:\\.|[^"\\\n])*"|[{,]\s*\.\w+ = ')  # texts, and members of a value: no assignments
ASSIGNED = re.compile(r"[\w\])] = ")
GUARD = re.compile(r"^[ \t]*#[ \t]*(ifndef \w+_H\b|pragma once)", re.M)


def matches(name: str, patterns: list[str]) -> bool:
    return any(p.count("/") == name.count("/") and fnmatch.fnmatchcase(name, p) for p in patterns)


def layer_of(table: list, path: str) -> list[str]:
    return next((allowed for folder, allowed in table if path.startswith(folder)), [])


def own_include(root: pathlib.Path, path: str, target: str) -> str | None:
    """What is wrong with #include "target" in path."""
    if not (root / target).is_file():
        return "is not a file; includes are written from the root"
    if not matches(target, layer_of(LAYERS, path)):
        return "is not a lower layer"
    return None


def system_include(path: str, target: str) -> str | None:
    for headers, owners in LIBRARIES:
        if matches(target, headers):
            return None if matches(path, owners) else f"belongs to {', '.join(owners)}"
    stem = target.removesuffix(".h")
    return None if matches(stem, list(C_LIBRARY)) else "is neither of the C library nor in the table of libraries"


def sources(root: pathlib.Path) -> list[str]:
    found = (p for top in TOP_FOLDERS for p in (root / top).rglob("*") if p.suffix in (".c", ".h", ".inc"))
    return sorted(str(p.relative_to(root)) for p in found)


def condition(text: str, start: int) -> str:
    """What is in the parentheses whose content begins at start."""
    depth, end = 1, start
    while depth and end < len(text):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    return text[start:end]


def check_idioms(path: str, text: str) -> list[str]:
    """text: without comments."""
    text = QUIET.sub(lambda m: "_" * len(m.group()), text)
    at = {m.start(): "another idiom for errors than that of CONTRIBUTING.md" for m in COMPARED.finditer(text)}
    at |= {m.start(): "an assignment inside an if" for m in IF.finditer(text) if ASSIGNED.search(condition(text, m.end()))}
    if system_include(path, "pthread.h"):
        at |= {m.start(): f"{m.group()}: the locks of the engine are monitors" for m in LOCK.finditer(text)}
    return [f"{path}:{text.count(chr(10), 0, start) + 1}: {what}" for start, what in sorted(at.items())]


def check_includes(root: pathlib.Path, path: str) -> list[str]:
    text = (root / path).read_text()
    text = COMMENT.sub(lambda m: "\n" * m.group().count("\n"), text)
    faults = []
    for found in INCLUDE.finditer(text):
        kind, target = found.groups()
        fault = own_include(root, path, target) if kind == '"' else system_include(path, target)
        if fault:
            line = text.count("\n", 0, found.start(1)) + 1
            faults.append(f"{path}:{line}: {target} {fault}")
    return faults + check_idioms(path, text)


def check_header(root: pathlib.Path, path: str) -> list[str]:
    """Compiles a file that has only this header, twice: prototypes may be repeated, so a guard is asked for besides."""
    if not GUARD.search((root / path).read_text()):
        return [f"{path}: has no include guard"]
    command = [os.environ.get("CC", "cc"), "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
               "-I.", "-x", "c", "-"]
    text = f'#include "{path}"\n#include "{path}"\n'
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd=root)
    told = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr)
    return [] if done.returncode == 0 else [f"{path}: does not compile alone: {told}"]


def module_of(root: pathlib.Path, path: str) -> str:
    """A file belongs to the shortest stem of a header in its folder that begins its name: input_form.c to input.h."""
    if path in DOORS:
        return path
    folder, name = os.path.split(path)
    words = name.rsplit(".", 1)[0].split("_")
    stems = ("_".join(words[:n]) for n in range(1, len(words) + 1))
    stem = next((s for s in stems if (root / folder / f"{s}.h").is_file()), "_".join(words))
    return f"{folder}/{stem}"


def module_graph(root: pathlib.Path, paths: list[str]) -> dict[str, set[str]]:
    """module -> those that it includes"""
    graph: dict[str, set[str]] = {}
    for path in paths:
        text = COMMENT.sub("", (root / path).read_text())
        module = module_of(root, path)
        targets = (module_of(root, target) for kind, target in INCLUDE.findall(text) if kind == '"')
        graph.setdefault(module, set()).update(other for other in targets if other != module)
    return graph


def print_graph(root: pathlib.Path) -> None:
    """The rooms of the server in the order of LAYERS, the lowest last."""
    paths = [p for p in sources(root) if p.startswith("server/")]
    graph = {module: {other for other in edges if other.startswith("server/")} for module, edges in module_graph(root, paths).items()}
    rooms = [folder.rstrip("/") for folder, _ in LAYERS if folder.startswith("server/")]
    rank = {room: i for i, room in enumerate(rooms)}
    between = {(os.path.dirname(a), os.path.dirname(b)) for a, edges in graph.items() for b in edges} - {(r, r) for r in rooms}
    for room in rooms[::-1]:
        n = sum(os.path.dirname(module) == room for module in graph)
        arrows = sorted(to.removeprefix("server/") for of, to in between if of == room)
        if not n:
            rooms.remove(room)
            continue
        print(f"{room + '/':22} {n:3} modules  -> {', '.join(arrows) or '-'}")
    up = sum(rank[b] > rank[a] for a, b in between)
    print(f"{len(graph)} modules in {len(rooms)} room{'s' * (len(rooms) > 1)}, {sum(map(len, graph.values()))} arrows between "
          f"modules, {len(between)} between rooms, {up} up, {len(check_circles(root, paths))} circles")


def check_circles(root: pathlib.Path, paths: list[str]) -> list[str]:
    """No module reaches itself through the headers that it includes."""
    graph = module_graph(root, paths)
    faults, state = [], {}

    def walk(module: str, way: list[str]) -> None:
        state[module] = "open"
        for other in sorted(graph.get(module, set()) - {module}):
            if state.get(other) == "open":
                faults.append(f"circle of includes: {' -> '.join(way[way.index(other):] + [other])}")
            elif other not in state:
                walk(other, way + [other])
        state[module] = "done"

    for module in sorted(graph):
        if module not in state:
            walk(module, [module])
    return faults


def check_tables(paths: list[str]) -> list[str]:
    """Rows that stand for nothing any more."""
    rows = {folder + "*" for folder, _ in LAYERS if not any(p.startswith(folder) for p in paths)}
    patterns = {p for _, allowed in [*LAYERS, *LIBRARIES] for p in allowed} | DOORS
    rows |= {p for p in patterns if not any(matches(path, [p]) for path in paths)}
    return [f"scripts/check_layers.py: {row} stands for no file" for row in sorted(rows)]


def check(root: pathlib.Path) -> list[str]:
    paths = sources(root)
    faults = [f for path in paths for f in check_includes(root, path)] + check_circles(root, paths)
    headers = [p for p in paths if p.endswith(".h")]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        faults += [f for found in pool.map(lambda p: check_header(root, p), headers) for f in found]
    return faults


# ---- self-test ----

GOOD = {
    "engine/base/a.h": "#ifndef A_H\n#define A_H\n#include <stdint.h>\nuint8_t a(void);\n#endif\n",
    "engine/base/a.c": '#include "engine/base/a.h"\n#include <pthread.h>\n#include <sys/stat.h>\n/* #include <uv.h> */\n',
    "engine/image/jpeg.c": '#include "engine/base/a.h"\n#include <jpeglib.h>\n',
    "engine/kernels/x86/gemm_avx2.c": "#include <immintrin.h>\n",
    "engine/model/m.h": '#ifndef M_H\n#define M_H\n#include "engine/base/a.h"\n#endif\n',
    "engine/engine.h": "#ifndef ENGINE_H\n#define ENGINE_H\n#endif\n",
    "engine/model/load/l.h": "#ifndef L_H\n#define L_H\n#endif\n",
    "engine/model/tee/t.h": '#ifndef T_H\n#define T_H\n#include "engine/model/load/l.h"\n#endif\n',
    "engine/model/fusion/f.h": "#ifndef MF_H\n#define MF_H\n#endif\n",
    "engine/answer/s.h": "#ifndef S_H\n#define S_H\n#endif\n",
    "engine/thread.c": "pthread_t t;\n",
    "engine/if.c": 'if (f(g(1), (struct s){.a = 1, .b = 2}, "x = y")) a = 1;\nwhile ((a = f())) {\n',
    "engine/engine.c": '#include "engine/engine.h"\n#include "engine/model/m.h"\n#include "engine/base/a.h"\n',
    "cli/main.c": '#include "engine/engine.h"\n',
    "config/config.c": '#include "engine/base/a.h"\n#include <jansson.h>\n',
    "server/http/loop.c": '#include "engine/base/a.h"\n#include <uv.h>\n',
    "server/gate/g.h": '#ifndef G_H\n#define G_H\n#include "engine/engine.h"\n#endif\n',
    "server/gate/g_part.c": '#include "server/gate/g.h"\n',
    "server/work/w.h": '#ifndef W_H\n#define W_H\n#include "server/gate/g.h"\n#endif\n',
    "server/app.c": '#include "server/work/w.h"\n',
}
PLANTED = [
    ("engine/base/b.c", '#include "engine/model/m.h"\n', "engine/base/b.c:1: engine/model/m.h is not a lower layer"),
    ("engine/image/b.c", '\n#include "engine/model/m.h"\n', "engine/image/b.c:2: engine/model/m.h is not a lower layer"),
    ("engine/model/b.c", '#include "engine/engine.h"\n', "engine/model/b.c:1: engine/engine.h is not a lower layer"),
    ("config/b.c", '#include "engine/engine.h"\n', "config/b.c:1: engine/engine.h is not a lower layer"),
    ("server/b.c", '#include "engine/model/m.h"\n', "server/b.c:1: engine/model/m.h is not a lower layer"),
    ("server/gate/b.c", '#include "server/work/w.h"\n', "server/gate/b.c:1: server/work/w.h is not a lower layer"),
    ("server/http/b.c", '#include "engine/engine.h"\n', "server/http/b.c:1: engine/engine.h is not a lower layer"),
    ("server/work/x.h", "#ifndef X_H\n#define X_H\n#endif\n", None),
    ("server/work/x.c", '#include "server/work/y.h"\n', None),
    ("server/work/y.h", '#ifndef Y_H\n#define Y_H\n#include "server/work/x.h"\n#endif\n',
     "circle of includes: server/work/x -> server/work/y -> server/work/x"),
    ("engine/base/x.h", "#ifndef BX_H\n#define BX_H\n#endif\n", None),
    ("engine/base/x.c", '#include "engine/base/y.h"\n', None),
    ("engine/base/y.h", '#ifndef BY_H\n#define BY_H\n#include "engine/base/x.h"\n#endif\n',
     "circle of includes: engine/base/x -> engine/base/y -> engine/base/x"),
    ("cli/b.c", '#include "engine/model/m.h"\n', "cli/b.c:1: engine/model/m.h is not a lower layer"),
    ("cli/b.h", "#ifndef B_H\n#define B_H\n#endif\n", None),
    ("engine/b.c", '#include "cli/b.h"\n', "engine/b.c:1: cli/b.h is not a lower layer"),
    ("engine/base/c.c", '#include "a.h"\n', "engine/base/c.c:1: a.h is not a file"),
    ("engine/image/png.c", "#include <jpeglib.h>\n", "engine/image/png.c:1: jpeglib.h belongs to"),
    ("server/gate/route.c", "#  include <microhttpd.h>\n", "server/gate/route.c:1: microhttpd.h belongs to"),
    ("engine/kernels/gemm_ref.c", "#include <immintrin.h>\n", "engine/kernels/gemm_ref.c:1: immintrin.h belongs to"),
    ("engine/d.c", "#include <pthread.h>\n", "engine/d.c:1: pthread.h belongs to"),
    ("engine/base/d.c", "#include <jansson.h>\n", "engine/base/d.c:1: jansson.h belongs to"),
    ("engine/base/e.c", "/* x\n*/ #include <ldap.h>\n", "engine/base/e.c:2: ldap.h is neither"),
    ("engine/base/g.c", "\nif (rc == OK) {\n", "engine/base/g.c:2: another idiom"),
    ("engine/base/g2.c", "bool x = s->err == OK;\n", "engine/base/g2.c:1: another idiom"),
    ("engine/base/g3.c", "if (OK != e) {\n", "engine/base/g3.c:1: another idiom"),
    ("engine/base/h.c", "if (is_new && (rc = f())) {\n", "engine/base/h.c:1: an assignment"),
    ("engine/base/h2.c", "\n} else if (a(b) &&\n    (s->e = f())) {\n", "engine/base/h2.c:2: an assignment"),
    ("engine/z.c", '#include "engine/answer/s.h"\n', "engine/z.c:1: engine/answer/s.h is not a lower layer"),
    ("engine/model/tee/z.c", '#include "engine/model/fusion/f.h"\n', "engine/model/tee/z.c:1: engine/model/fusion/f.h is not a lower layer"),
    ("engine/model/fusion/z.c", '#include "engine/model/tee/t.h"\n', "engine/model/fusion/z.c:1: engine/model/tee/t.h is not a lower layer"),
    ("engine/model/load/z.c", '#include "engine/model/tee/t.h"\n', "engine/model/load/z.c:1: engine/model/tee/t.h is not a lower layer"),
    ("engine/lock.c", "void f(void)\n{\n    pthread_mutex_lock(&m);\n", "engine/lock.c:3: pthread_mutex_lock: the locks"),
    ("engine/model/lock.c", "static pthread_once_t o;\n", "engine/model/lock.c:1: pthread_once_t: the locks"),
    ("engine/base/i.h", "/* no guard */\nuint8_t i(void);\n", "engine/base/i.h: has no include guard"),
    ("engine/base/f.h", "#ifndef F_H\n#define F_H\nuint8_t f(void);\n#endif\n", "engine/base/f.h: does not compile alone"),
]


def write_tree(root: pathlib.Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def self_test() -> list[str]:
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        write_tree(root, GOOD)
        failures += [f"reported in a good tree: {f}" for f in check(root)]
        write_tree(root, {path: text for path, text, _ in PLANTED})
        found = check(root)
        expected = [message for _, _, message in PLANTED if message]
        failures += [f"not found: {m}" for m in expected if not any(f.startswith(m) for f in found)]
        failures += [f"not planted: {f}" for f in found if not any(f.startswith(m) for m in expected)]
    real = sources(ROOT)
    failures += [] if check_tables([p for p in real if p != "engine/image/gif.c"]) else ["a row without a file is not found"]
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--graph", nargs="?", type=pathlib.Path, const=ROOT)
    arguments = parser.parse_args()
    if arguments.graph:
        print_graph(arguments.graph)
        return 0
    faults = self_test() if arguments.self_test else check(ROOT) + check_tables(sources(ROOT))
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print(f"self-test: {sum(1 for p in PLANTED if p[2])} planted faults found" if arguments.self_test
              else f"layers: {len(sources(ROOT))} files are in order")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
