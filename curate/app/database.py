"""The database behind the App: one of the collection's own, unless FIFTYONE_DATABASE_URI names another.

FiftyOne would start a MongoDB by itself, but joins any that it finds the same user running, whatever its folder. So we
start one for each collection, in COLLECTION/cache/fiftyone/db (or FIFTYONE_DATABASE_DIR). It listens on a socket that
only its user can open, and on no port. A database that came with somebody else's collection is not opened.
"""

import atexit
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

from curate.app import fiftyone_library, private
from curate.collection.directory import Collection
from curate.foundation.cache import explaining_cache_errors
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.inside import check_no_links
from curate.foundation.locks import Lock
from curate.foundation.text import command_line

_PING_SECONDS = 2
_START_SECONDS = 60  # after a crash it reads its journal first
_STOP_SECONDS = 30
_CACHE_GB = 0.5  # of memory, at most; MongoDB's default is half of the machine's


@dataclass(frozen=True)
class Database:
    """uri: as pymongo takes it.  where, advice: for people.  ours: whether this process started it, and ends it."""

    uri: str
    where: str
    ours: bool
    advice: str = ""  # where it is damaged


def connect(collection: Collection, *, share: bool = False) -> Database:
    """Find or start the collection's database, and prepare FiftyOne for it. Call it before FiftyOne is imported.

    What this process starts ends with it. share: where another process has the database open, use it there.
    Raises UsageError where FiftyOne or MongoDB is missing, or FiftyOne's settings are wrong; FewposeError where the
    database does not answer or start, is somebody else's, or another process has it open.
    """
    fiftyone_library.require()
    database = _find(collection, share)
    fiftyone_library.prepare(database.uri)
    if not share:
        fiftyone_library.install_plugins()
    fiftyone_library.fo()  # now, since its settings may be wrong
    return database


def ping(uri: str) -> None:
    """Raises FewposeError where no MongoDB answers at `uri` within 2 s; FiftyOne would wait for 30."""
    if not _answers(uri):
        raise FewposeError(
            f"no MongoDB answers at {_without_password(uri)} within {_PING_SECONDS} s; start it, "
            "or unset FIFTYONE_DATABASE_URI to use the collection's own"
        )


def _answers(uri: str) -> bool:
    import pymongo
    import pymongo.errors

    try:
        client: pymongo.MongoClient[Any]
        with pymongo.MongoClient(uri, serverSelectionTimeoutMS=_PING_SECONDS * 1000) as client:
            client.admin.command("ping")
    except pymongo.errors.PyMongoError:
        return False
    return True


@contextmanager
def damage_named(database: Database) -> Iterator[None]:
    """Raises FewposeError for what MongoDB can't do: its files are damaged, or it has ended."""
    import pymongo.errors

    try:
        yield
    except BrokenPipeError:  # of the terminal
        raise
    except (pymongo.errors.PyMongoError, ConnectionError) as error:  # FiftyOne raises the second where it connects
        what = str(error).partition(", Timeout:")[0]
        raise FewposeError(f"the database {database.where} failed ({what}). {database.advice}") from error


def _find(collection: Collection, share: bool) -> Database:
    given = os.environ.get("FIFTYONE_DATABASE_URI")
    if given:
        ping(given)
        return Database(given, f"at {_without_password(given)}", ours=False)
    folder = _folder(collection)
    lock = Lock(folder.with_name(f"{folder.name}.lock"))
    with explaining_cache_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        taken = lock.taken()
    if taken:
        if not os.environ.get("FIFTYONE_DATABASE_DIR"):  # which the user chose
            private.require_own(folder)
        server = _Server(folder)
        uri = server.start()
        lock.publish(uri=uri)
        # Registered before FiftyOne connects, so it runs after FiftyOne's own, which still talks to the database.
        atexit.register(lock.release)
        atexit.register(server.stop)
        return Database(uri, f"in {folder}", ours=True, advice=_advice(folder))
    if not share:
        raise FewposeError(
            f"{collection.root} is open in another curate app ({lock.who()}); use that one, or end it with Ctrl-C first"
        )
    uri = str(lock.holder().get("uri", ""))  # while it is being started, there is none
    if not uri or not _answers(uri):
        raise FewposeError(
            f"{collection.root} is open in another curate app ({lock.who()}), whose database does not answer: wait "
            "until the App is there, or end it with Ctrl-C first; another account's can't be shared"
        )
    return Database(uri, f"in {folder}, which {lock.who()} runs", ours=False)


def _folder(collection: Collection) -> Path:
    if mine := os.environ.get("FIFTYONE_DATABASE_DIR"):
        return Path(mine).expanduser().absolute()
    folder = collection.cache("fiftyone", "db").absolute()
    check_no_links(folder.parent)  # MongoDB would write where they lead; its log, lock and mark lie beside
    return folder


def _advice(folder: Path) -> str:
    """For a database that can't be opened. It takes nothing away."""
    return (
        "Where the disk is full, make room and give the same command again: no tag that it has confirmed is lost. "
        f"Where its files are damaged, go on with a new one: {command_line('mv', folder, f'{folder}.damaged')} (all of "
        "it is made again from the collection, but for tags that were made in the App and not synced)"
    )


def _without_password(uri: str) -> str:
    start, at, rest = uri.rpartition("@")
    return f"{start.partition('://')[0]}://...@{rest}" if at else uri


class _Server:
    """A mongod of ours over one folder, which nobody else uses: the lock is held."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder.with_name(f"{folder.name}.log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """The uri. Raises UsageError where there is no mongod, FewposeError where it ends at once."""
        program = mongod()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._end_leftover()
        self.log.unlink(missing_ok=True)
        socket = private.folder() / "db.sock"
        # It makes a second one at any rate, unless said in /tmp, in place of the one that is there, whoever uses that.
        listen = ("--bind_ip", socket, "--unixSocketPrefix", socket.parent)
        # A smaller journal than the default's 300 MB: there is one for each collection.
        journal = ("--wiredTigerEngineConfigString", "log=(file_max=16MB)", "--wiredTigerCacheSizeGB", str(_CACHE_GB))
        # FiftyOne has no use for JavaScript in the database; a request could bring some.
        quiet = ("--quiet", "--setParameter", "diagnosticDataCollectionEnabled=false", "--noscripting")
        self._process = process = subprocess.Popen(
            [program, "--dbpath", self.folder, *listen, "--logpath", self.log, *journal, *quiet],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us: FiftyOne needs its database until its end
        )
        # journal: a write is confirmed when it is on disk, so that no crash takes back what the App has said.
        uri = f"mongodb://{quote(str(socket), safe='')}/?journal=true"
        self._wait_for(socket, uri, process)
        return uri

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _wait_for(self, socket: Path, uri: str, process: "subprocess.Popen[bytes]") -> None:
        """Until it answers: the socket is there before its files are read, and they may be damaged."""
        limit = time.monotonic() + _START_SECONDS
        while not (socket.exists() and _answers(uri)):
            if process.poll() is not None or time.monotonic() > limit:
                self.stop()
                raise FewposeError(f"MongoDB did not start{self._reason()}; see {self.log}. {_advice(self.folder)}")
            time.sleep(0.02)

    def _reason(self) -> str:
        """What its log says last of an error, in parentheses."""
        said = ""
        with suppress(OSError):
            for line in self.log.read_bytes().splitlines():
                with suppress(ValueError, KeyError, TypeError, AttributeError):
                    entry = json.loads(line)
                    if entry["s"] in ("E", "F"):  # error, fatal
                        said = str(entry.get("attr", {}).get("error", entry["msg"]))
        return f" ({' '.join(said.split())})" if said else ""  # some have several lines

    def _end_leftover(self) -> None:
        """A mongod whose curate app was killed runs on: MongoDB's own lock file holds its process id."""
        try:
            pid = int((self.folder / "mongod.lock").read_text())
        except (OSError, ValueError):  # there is none, or it ended well
            return
        command = _command(pid)
        if str(self.folder) not in command:  # another process by now has that number
            return
        socket = _socket(command)
        if socket is None:
            raise FewposeError(
                f"another program (process {pid}: {Path(command[0]).name}) works with {self.folder}; end it first, or "
                "name another folder in FIFTYONE_DATABASE_DIR"
            )
        with suppress(OSError):  # it has ended by itself
            os.kill(pid, signal.SIGTERM)
        limit = time.monotonic() + _STOP_SECONDS
        while _command(pid) and time.monotonic() < limit:
            time.sleep(0.02)
        private.remove_leftover(socket.parent)


def _socket(command: list[str]) -> Path | None:
    """Where a mongod of ours listens; None of what another program has started, such as FiftyOne by itself."""
    listen = dict(pairwise(command)).get("--bind_ip", "")
    return Path(listen) if private.is_ours(Path(listen).parent) else None


def _command(pid: int) -> list[str]:
    """What a process was started with; empty where it has ended."""
    try:
        return [os.fsdecode(word) for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if word]
    except OSError:
        return []


def mongod() -> str:
    """The MongoDB server that FiftyOne's package brings, or the machine's. Raises UsageError where there is none."""
    spec = find_spec("fiftyone")
    for place in (spec.submodule_search_locations or []) if spec else []:
        program = Path(place, "db", "bin", "mongod")
        if program.exists():
            return str(program)
    found = shutil.which("mongod")
    if not found:
        raise UsageError(
            "this installation has no MongoDB: pip install 'fewpose[app]' brings one on Linux (x86_64); elsewhere "
            "install one and set FIFTYONE_DATABASE_URI"
        )
    return found
