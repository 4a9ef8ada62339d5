#!/usr/bin/env python3
"""Checks who includes whom, and what stands at the top of the tree.

  tests/layers.py [ROOT]       prints each violation as file:line: message; status 1 if there is one
  tests/layers.py --self-test  shows on small trees that each rule can fail
"""

import os
import re
import sys
import tempfile
import unittest

TOP = {"CMakeLists.txt", "plugins", "common", "configs", "tests", "packaging", "README.md",
       "LICENSE", "CMakePresets.json", "build"}

EVERYTHING = ["common/", "plugins/", "tests/"]
HOST = ["common/collect/engine.h", "common/output/", "common/config/", "common/model/",
        "common/base/"]

# Folder -> the paths, or beginnings of paths, that it may include beside its own.
MAY_INCLUDE = {
    "common/base": [],
    "common/model": ["common/base/"],
    "common/config": ["common/base/", "common/model/"],
    "common/output": ["common/base/", "common/model/"],
    "common/kernel": ["common/base/", "common/model/"],
    "common/probe": ["common/base/", "common/model/"],
    "common/trace": ["common/base/", "common/model/"],
    "common/collect": ["common/base/", "common/model/", "common/config/", "common/kernel/",
                       "common/probe/", "common/trace/"],
    "plugins/collectd": HOST,
    "plugins/telegraf": HOST,
    "plugins/cli": ["common/"],
}

# Folders of system headers: common/base stands on the standard library and libc alone.
SYSTEM = {"arpa", "asm", "linux", "net", "netinet", "netpacket", "sys"}

SOURCES = (".h", ".hpp", ".c", ".cc", ".cpp")
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"(?P<own>[^"]*)"|<(?P<system>[^>]*)>)')


def sources(root):
    for top in ("common", "plugins", "tests"):
        for folder, folders, files in os.walk(os.path.join(root, top)):
            folders.sort()
            for name in sorted(files):
                if name.endswith(SOURCES):
                    yield os.path.relpath(os.path.join(folder, name), root)


def allowed(path):
    """What the file may include; None where its folder has no row in the table."""
    folder = "/".join(path.split("/")[:2])
    if path.startswith("tests/"):
        return EVERYTHING
    if folder not in MAY_INCLUDE:
        return None
    return MAY_INCLUDE[folder] + [folder + "/"]


def own_include(root, path, target):
    if not target.startswith(tuple(EVERYTHING)):
        return f'"{target}" is not written from the root of the tree'
    if not os.path.isfile(os.path.join(root, target)):
        return f'"{target}" does not exist'
    if not target.startswith(tuple(allowed(path))):
        return f'{"/".join(path.split("/")[:2])} may not include {target}'
    return None


def system_include(path, target):
    if target.startswith(tuple(EVERYTHING)):
        return f'<{target}> is our own: write it with quotes'
    folder, slash, _ = target.partition("/")
    if path.startswith("common/base/") and slash and folder not in SYSTEM:
        return f"common/base may not include <{target}>: no library"
    return None


def violations(root):
    for name in sorted(os.listdir(root)):
        if name not in TOP and not name.startswith("."):
            yield f"{name}:1: does not belong at the top of the tree"
    for path in sources(root):
        if allowed(path) is None:
            yield f"{path}:1: its folder has no row in the table of layers"
            continue
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                found = INCLUDE.match(line)
                if not found:
                    continue
                own, system = found["own"], found["system"]
                wrong = (own_include(root, path, own) if own is not None
                         else system_include(path, system))
                if wrong:
                    yield f"{path}:{number}: {wrong}"


def check(root):
    found = list(violations(root))
    for line in found:
        print(line)
    count = len(list(sources(root)))
    if not count:
        print(f"{root}: no sources found")
    print(f"layers: {count} files, {len(found)} violations")
    return 1 if found or not count else 0


class Layers(unittest.TestCase):
    def said(self, files):
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                full = os.path.join(root, path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "w", encoding="utf-8") as file:
                    file.write(text)
            return list(violations(root))

    def includes(self, path, *targets):
        files = dict.fromkeys(targets, "")
        files[path] = "// first line\n" + "".join(f'#include "{t}"\n' for t in targets)
        return self.said(files)

    def test_a_lower_layer_may_be_included(self):
        self.assertEqual([], self.includes("common/base/a.cpp", "common/base/a.h"))
        self.assertEqual([], self.includes("common/model/a.h", "common/base/a.h"))
        for folder in ("config", "output", "kernel", "probe", "trace"):
            self.assertEqual([], self.includes(f"common/{folder}/a.h", "common/base/a.h",
                                               "common/model/a.h", f"common/{folder}/b.h"))
        self.assertEqual([], self.includes(
            "common/collect/a.cpp", "common/base/a.h", "common/model/a.h", "common/config/a.h",
            "common/kernel/a.h", "common/probe/a.h", "common/trace/a.h"))
        for host in ("collectd", "telegraf"):
            self.assertEqual([], self.includes(
                f"plugins/{host}/a.cpp", f"plugins/{host}/a.h", "common/collect/engine.h",
                "common/output/a.h", "common/config/a.h", "common/model/a.h", "common/base/a.h"))
        self.assertEqual([], self.includes("plugins/cli/a.cpp", "common/kernel/a.h",
                                           "common/collect/table.h", "common/output/a.h"))
        self.assertEqual([], self.includes("tests/unit/a.cpp", "tests/support/a.h",
                                           "plugins/cli/a.h", "common/probe/a.h"))

    def test_any_other_may_not(self):
        for path, target in (
                ("common/base/a.h", "common/model/a.h"),
                ("common/model/a.h", "common/config/a.h"),
                ("common/config/a.h", "common/output/a.h"),
                ("common/output/a.h", "common/collect/engine.h"),
                ("common/kernel/a.h", "common/probe/a.h"),
                ("common/probe/a.h", "common/kernel/a.h"),
                ("common/trace/a.h", "common/kernel/a.h"),
                ("common/collect/a.h", "common/output/a.h"),
                ("common/collect/a.h", "plugins/cli/a.h"),
                ("common/base/a.h", "tests/support/a.h"),
                ("plugins/collectd/a.cpp", "common/collect/table.h"),
                ("plugins/telegraf/a.cpp", "common/kernel/a.h"),
                ("plugins/telegraf/a.cpp", "plugins/collectd/a.h"),
                ("plugins/cli/a.cpp", "plugins/telegraf/a.h")):
            with self.subTest(path=path, target=target):
                said = self.includes(path, target)
                self.assertEqual(1, len(said), said)
                self.assertTrue(said[0].startswith(f"{path}:2: "), said[0])
                self.assertIn(target, said[0])

    def test_however_the_line_is_set(self):
        files = {"common/model/a.h": "",
                 "common/base/a.h": '#include <string>\n  #  include   "common/model/a.h" // why\n'}
        self.assertEqual(1, len(self.said(files)))

    def test_paths_start_at_the_root_and_exist(self):
        beside = {"common/base/a.h": "", "common/base/b.h": '#include "a.h"\n'}
        self.assertIn("from the root", self.said(beside)[0])
        gone = {"common/base/b.h": '#include "common/base/a.h"\n'}
        self.assertIn("does not exist", self.said(gone)[0])
        angled = {"common/base/a.h": "", "common/model/b.h": "#include <common/base/a.h>\n"}
        self.assertIn("quotes", self.said(angled)[0])

    def test_base_stands_alone(self):
        text = "#include <string>\n#include <sys/mman.h>\n#include <fmt/format.h>\n"
        said = self.said({"common/base/a.h": text})
        self.assertEqual(1, len(said))
        self.assertTrue(said[0].startswith("common/base/a.h:3: "))
        self.assertEqual([], self.said({"common/kernel/a.h": text}))

    def test_a_folder_has_a_row(self):
        self.assertIn("no row", self.said({"common/helpers/a.h": ""})[0])
        self.assertIn("no row", self.said({"plugins/nagios/a.cpp": ""})[0])

    def test_the_top_of_the_tree(self):
        self.assertEqual([], self.said({".hidden": "", "README.md": "", "LICENSE": ""}))
        said = self.said({"docs/a.md": "", "notes.txt": ""})
        self.assertEqual(["docs:1: does not belong at the top of the tree",
                          "notes.txt:1: does not belong at the top of the tree"], said)


if __name__ == "__main__":
    if "--self-test" in sys.argv[1:]:
        unittest.main(argv=[sys.argv[0]])
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.exit(check(sys.argv[1] if len(sys.argv) > 1 else here))
