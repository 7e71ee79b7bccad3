"""Reading requirements.lock and extra.lock.

requirements.lock has what this workspace builds and tests with; extra.lock what only workspaces of examples, benchmarks and sweeps import beyond that. A
lock is a pip requirements file, one line per distribution, with what a line needs in its comment:

    NAME==VERSION --hash=sha256:HEX [--hash=sha256:HEX ...]  # sdist: FOLDER; needs: NAME NAME ...; VERSION needs: NAME ...

The second list is for a distribution that is published as several builds: its names are needed only when the file that pip
chose has exactly that version (torch `2.13.0`, the CUDA build, as opposed to `2.13.0+cpu`). `sdist` is for a distribution of pure
Python that is published as an archive of sources only: what is importable of it is the FOLDER in the archive.
"""

def target_name(distribution):
    """The target of a distribution: its PEP 503 name in one identifier."""
    return distribution.lower().replace("-", "_").replace(".", "_")

def _parse_needs(comment):
    needs = []
    version_needs = {}
    sdist = ""
    for part in comment.split(";"):
        if part.strip().startswith("sdist:"):
            sdist = part.partition(":")[2].strip()
            continue
        head, colon, names = part.partition("needs:")
        if not colon:
            continue
        names = [target_name(n) for n in names.split(" ") if n]
        if head.strip():
            version_needs[head.strip()] = names
        else:
            needs = names
    return needs, version_needs, sdist

def parse_lock(text):
    """Parses the lock.

    Args:
      text: of requirements.lock, followed by that of extra.lock.

    Returns:
      A list of structs (name, requirement, needs, version_needs, sdist), in the order of the files.
    """
    entries = []
    for line in text.split("\n"):
        requirement, _, comment = line.partition("#")
        requirement = requirement.strip()
        if not requirement:
            continue
        name = requirement.partition("==")[0]
        if "--hash=sha256:" not in requirement:
            fail("the lock: no hash for {}; run tools/update_lock".format(name))
        needs, version_needs, sdist = _parse_needs(comment)
        entries.append(struct(
            name = target_name(name),
            requirement = requirement,
            needs = needs,
            version_needs = version_needs,
            sdist = sdist,
        ))
    known = {e.name: True for e in entries}
    for e in entries:
        for names in [e.needs] + e.version_needs.values():
            for n in names:
                if n not in known:
                    fail("the lock: {} needs {}, which has no line; run tools/update_lock".format(e.name, n))
    return entries
