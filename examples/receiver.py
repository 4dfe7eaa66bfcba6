"""Shows what the example automations send: each request to http://127.0.0.1:9099 as one line."""

import http.server


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        print(self.path, body.decode("utf-8", "replace"), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    print("listening on http://127.0.0.1:9099; interrupt with Ctrl-C", flush=True)
    try:
        http.server.ThreadingHTTPServer(("127.0.0.1", 9099), Receiver).serve_forever()
    except KeyboardInterrupt:
        pass
