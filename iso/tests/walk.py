"""walk.py LIBRARY IMAGE: lists an image as pycdlib sees it, `NAMES KIND PATH` and,
for files, length and MD5."""

import hashlib
import sys

sys.path.insert(0, sys.argv[1])
import pycdlib


class Digest:
    """What get_file_from_iso_fp writes to."""

    def __init__(self):
        self.md5, self.len = hashlib.md5(), 0

    def write(self, data):
        self.md5.update(data)
        self.len += len(data)
        return len(data)


iso = pycdlib.PyCdlib()
iso.open(sys.argv[2])
for names in ["rr_path", "joliet_path"]:
    if names == "joliet_path" and not iso.has_joliet():
        continue
    for parent, dirs, files in iso.walk(**{names: "/"}):
        at = parent.rstrip("/") + "/"
        for name in dirs:
            print(names, "dir", at + name)
        for name in files:
            path = at + name
            record = iso.get_record(**{names: path})
            if names == "rr_path" and record.is_symlink():
                target = record.rock_ridge.symlink_path().decode()
                print(names, "symlink", path, "->", target)
                continue
            digest = Digest()
            iso.get_file_from_iso_fp(digest, **{names: path})
            # Joliet's names have a version.
            shown = path.removesuffix(";1") if names == "joliet_path" else path
            print(names, "file", shown, digest.len, digest.md5.hexdigest())
iso.close()
