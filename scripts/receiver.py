"""A receiver of webhooks for the demo. Invariant: it keeps what came with a genuine signature, and answers everything else 400."""

import hashlib
import hmac
import http.server
import json
import threading
import time


class Receiver:
    """An HTTP server on a loopback port of its own; `secret` is known only after the webhook was made."""

    def __init__(self):
        self.secret, self.received = None, []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                genuine = receiver.is_genuine(self.headers, body)
                if genuine:
                    receiver.received.append(json.loads(body))
                self.send_response(204 if genuine else 400)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/artifortress"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def is_genuine(self, headers, body):
        """As the README says."""
        signed = headers["X-Artifortress-Timestamp"].encode() + b"." + body
        expected = "sha256=" + hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()
        fresh = abs(time.time() - int(headers["X-Artifortress-Timestamp"])) < 300
        return fresh and hmac.compare_digest(expected, headers["X-Artifortress-Signature"])

    def wait_for(self, event):
        """The first request about this event, or None after some seconds."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = next((request for request in list(self.received) if request["event"] == event), None)
            if found:
                return found
            time.sleep(0.02)
        return None

    def end(self):
        self.server.shutdown()
        self.server.server_close()
