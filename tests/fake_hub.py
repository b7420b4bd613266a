"""A hub on loopback that keeps what is pushed to it: the requests of huggingface_hub for one commit, nothing more."""

import base64
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

TOKEN = "the-secret-of-the-tests"


@dataclass
class FakeHub:
    """What the hub knows; tests set what it answers and read what it was sent."""

    role: str = "write"
    fails_at: str = ""
    created: list[dict] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    url: str = ""

    def answer(self, handler: "Handler", path: str, body: bytes) -> tuple[int, dict]:
        """Status and document for a request."""
        if self.fails_at and self.fails_at in path:
            return 500, {"error": "the hub is ill"}
        if not path.startswith("/objects/") and handler.headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid credentials"}
        name = next(name for name in self.ROUTES if name in path)
        return getattr(self, self.ROUTES[name])(path, body)

    ROUTES = {
        "/api/whoami-v2": "whoami",
        "/api/repos/create": "create",
        "/api/validate-yaml": "validate",
        "/preupload/": "preupload",
        "/info/lfs/objects/batch": "batch",
        "/objects/": "upload",
        "/commit/": "commit",
    }

    def whoami(self, path, body):
        return 200, {"name": "me", "orgs": [{"name": "lab"}], "auth": {"accessToken": {"role": self.role}}}

    def create(self, path, body):
        document = json.loads(body)
        self.created.append(document)
        return 200, {"url": f"{self.url}/{document.get('organization') or 'me'}/{document['name']}"}

    def validate(self, path, body):
        content = json.loads(body)["content"]
        metadata = yaml.safe_load(content.split("---\n")[1])
        problems = [name for name in ("library_name", "tags", "model-index") if name not in metadata]
        return 200, {"errors": [{"message": f"{name} is missing"} for name in problems], "warnings": []}

    def preupload(self, path, body):
        paths = [file["path"] for file in json.loads(body)["files"]]
        known = {"shouldIgnore": False, "oid": None}
        return 200, {"files": [{"path": path, "uploadMode": _mode(path), **known} for path in paths]}

    def batch(self, path, body):
        objects = json.loads(body)["objects"]
        actions = [{**o, "actions": {"upload": {"href": f"{self.url}/objects/{o['oid']}"}}} for o in objects]
        return 200, {"transfer": "basic", "objects": actions}

    def upload(self, path, body):
        self.objects[path.rpartition("/")[2]] = body
        return 200, {}

    def commit(self, path, body):
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[value["path"]] = self.objects[value["oid"]]
        return 200, {"success": True, "commitOid": "0" * 40, "commitUrl": f"{self.url}/me/x/commit/{'0' * 40}"}


def _mode(path: str) -> str:
    return "lfs" if path.endswith(".safetensors") else "regular"


class Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        status, document = self.hub.answer(self, self.path, body)
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _serve

    def log_message(self, *_) -> None:
        pass


@contextmanager
def serve_hub():
    """A hub that answers until the block ends."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
