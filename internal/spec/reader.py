"""Reads RPM specs with RPM's own parser and prints one JSON object a line.

argv: the number of workers. stdin: one spec's path a line. librpm keeps macros from one spec to the
next, so every spec is parsed in a forked child of a process that has only loaded RPM's configuration.
"""
import json, os, signal, sys, tempfile
import rpm

DEPS = {"provides": "PROVIDENEVRS", "requires": "REQUIRENEVRS", "recommends": "RECOMMENDNEVRS",
        "supplements": "SUPPLEMENTNEVRS", "conflicts": "CONFLICTNEVRS", "obsoletes": "OBSOLETENEVRS"}
TIMEOUT = 60  # seconds a spec: specs run shell commands, and one may hang


def text(v):
    return v.decode("utf-8", "replace") if isinstance(v, bytes) else v


def deps(header, tag):
    return [text(d).strip() for d in header[getattr(rpm, "RPMTAG_" + tag)] or [] if not text(d).startswith("rpmlib(")]


def package(header):
    out = {k: deps(header, tag) for k, tag in DEPS.items()}
    for key in ("name", "epochnum", "version", "release", "arch", "license", "summary", "url"):
        out[key] = text(header[key])
    return out


def parse(path):
    rpm.addMacro("_sourcedir", os.path.dirname(path))
    spec = rpm.spec(path)
    source = spec.sourceHeader
    result = {
        "source": {**package(source), "exclusivearch": [text(a) for a in source[rpm.RPMTAG_EXCLUSIVEARCH] or []],
                   "excludearch": [text(a) for a in source[rpm.RPMTAG_EXCLUDEARCH] or []]},
        "sources": [{"url": text(s[0]), "number": s[1], "patch": bool(s[2] & 2)} for s in spec.sources],
        "packages": [],
        "check": bool(spec.check and spec.check.strip()),
    }
    for p in spec.packages:
        if p.fileList is None and p.fileFile is None:
            continue  # no %files: rpmbuild makes no package of it
        files = [f for f in (p.fileList or "").splitlines() if f.strip()]
        result["packages"].append({**package(p.header), "files": files})
    changes = source[rpm.RPMTAG_CHANGELOGTIME] or []
    result["changed"] = changes[0] if changes else 0
    return result


def child(path, fd):
    err = tempfile.TemporaryFile()
    os.dup2(err.fileno(), 2)
    os.dup2(err.fileno(), 1)
    signal.alarm(TIMEOUT)
    try:
        result = parse(path)
    except Exception as e:  # rpm.error, ValueError: what it said went to stderr
        err.seek(0)
        result = {"error": err.read().decode("utf-8", "replace").strip() or str(e)}
    result["path"] = path
    with os.fdopen(fd, "w") as f:
        json.dump(result, f)
    os._exit(0)


def main():
    workers = int(sys.argv[1])
    rpm.reloadConfig()
    running, todo = {}, [l.rstrip("\n") for l in sys.stdin if l.strip()]
    import select
    poll = select.poll()
    todo.reverse()
    while todo or running:
        while todo and len(running) < workers:
            path = todo.pop()
            r, w = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(r)
                child(path, w)
            os.close(w)
            running[r] = (pid, path, [])
            poll.register(r, select.POLLIN | select.POLLHUP)
        for fd, _ in poll.poll():
            pid, path, chunks = running[fd]
            data = os.read(fd, 1 << 20)
            if data:
                chunks.append(data)
                continue
            poll.unregister(fd)
            os.close(fd)
            del running[fd]
            _, status = os.waitpid(pid, 0)
            line = b"".join(chunks).decode("utf-8")
            if not line:
                line = json.dumps({"path": path, "error": "the parser ended with status %d (a spec has %d seconds)" % (status, TIMEOUT)})
            sys.stdout.write(line + "\n")
    sys.stdout.flush()


main()
