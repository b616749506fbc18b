"""HTTP by the book: RFC 9110 and 9112 as a table. A row is what a client sends, the statuses that must come back (each with
exactly one head), and whether the connection is then closed or serves on. No row may let a second request through that
stands inside the first one's body."""
import contextlib
import json
import re
import socket
import time

from support import Server, picture, run, unittest

HOST = b"Host: x\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST
POST = b"POST /images/check HTTP/1.1\r\n" + HOST
NEXT = b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n"  # answers 404 when it is served
PICTURE = picture(0)
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = b"%x\r\n" % len(PICTURE) + PICTURE + b"\r\n0\r\n\r\n"

# name, bytes, statuses, "open" or "closed"
ROWS = [
    # ---- the request line ----
    ("plain GET", GET + b"\r\n", [200], "open"),
    ("method in lower case is another method", b"get /healthz HTTP/1.1\r\n" + HOST + b"\r\n", [405], "open"),
    ("method with a control character", b"G\x01T /healthz HTTP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("method that is no token", b"G(T /healthz HTTP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("method without end", b"A" * 5000, [501], "closed"),
    ("TRACE", b"TRACE /healthz HTTP/1.1\r\n" + HOST + b"\r\n", [405], "open"),
    ("CONNECT", b"CONNECT x:443 HTTP/1.1\r\n" + HOST + b"\r\n", [501], "closed"),
    ("OPTIONS of a path", b"OPTIONS /caption HTTP/1.1\r\n" + HOST + b"\r\n", [405], "open"),
    ("OPTIONS *", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", [204], "open"),
    ("options * in lower case", b"options * HTTP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("a target longer than any head", b"GET /" + b"a" * 20000, [414], "closed"),
    ("a query longer than any head", b"GET /healthz?a=" + b"a" * 70000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", [414], "closed"),
    ("GET *", b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("absolute-form", b"GET http://x/healthz HTTP/1.1\r\n" + HOST + b"\r\n", [200], "open"),
    ("absolute-form with another host", b"GET https://y:8/healthz HTTP/1.1\r\n" + HOST + b"\r\n", [200], "open"),
    ("absolute-form without Host", b"GET http://x/healthz HTTP/1.1\r\n\r\n", [400], "closed"),
    ("absolute-form with a user", b"GET http://me@x/healthz HTTP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("another scheme", b"GET ftp://x/healthz HTTP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("target without a slash", b"GET healthz HTTP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("two spaces", b"GET  /healthz HTTP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("space in the target", b"GET /heal thz HTTP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("tabs", b"GET\t/healthz\tHTTP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("leading space", b" " + GET + b"\r\n", [400], "closed"),
    ("trailing space", b"GET /healthz HTTP/1.1 \r\n" + HOST + b"\r\n", [400], "closed"),
    ("a few empty lines before", b"\r\n\r\n" + GET + b"\r\n", [200], "open"),
    ("many empty lines before", b"\r\n" * 100 + GET + b"\r\n", [400], "closed"),
    ("encoded path", b"GET /%68ealthz HTTP/1.1\r\n" + HOST + b"\r\n", [200], "open"),
    ("encoded NUL in the path", b"GET /healthz%00x HTTP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("bad escape in the path", b"GET /%zz HTTP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("fragment", b"GET /healthz#x HTTP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("8-bit target", b"GET /h\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("NUL in the target", b"GET /h\0 HTTP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    # ---- versions ----
    ("HTTP/1.0", b"GET /healthz HTTP/1.0\r\n\r\n", [200], "closed"),
    ("HTTP/1.0 keep-alive", b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", [200], "open"),
    ("HTTP/1.0 refused, keep-alive", b"GET /nope HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", [404], "open"),
    ("HTTP/1.9 is served as 1.1", b"GET /healthz HTTP/1.9\r\n" + HOST + b"\r\n", [200], "open"),
    ("HTTP/0.9", b"GET /healthz\r\n", [505], "closed"),
    ("HTTP/2.0", b"GET /healthz HTTP/2.0\r\n" + HOST + b"\r\n", [505], "closed"),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505], "closed"),
    ("two digits", b"GET /healthz HTTP/1.10\r\n" + HOST + b"\r\n", [400], "closed"),
    ("version in lower case", b"GET /healthz http/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("another protocol", b"GET /healthz ICAP/1.1\r\n" + HOST + b"\r\n", [400], "closed"),
    ("TLS on the plain port", bytes.fromhex("16030100c8010000c40303") + b"x" * 189, [400], "closed"),
    ("noise", b"\0\1\2\3\r\n\r\n", [400], "closed"),
    # ---- lines and fields ----
    ("bare LF", b"GET /healthz HTTP/1.1\nHost: x\n\n", [400], "closed"),
    ("bare LF behind a field", b"GET /healthz HTTP/1.1\r\nHost: x\n\r\n", [400], "closed"),
    ("bare CR", b"GET /healthz HTTP/1.1\rHost: x\r\r", [400], "closed"),
    ("CR in a value", GET + b"X: a\rContent-Length: 5\r\n\r\n", [400], "closed"),
    ("LF in a value", POST + b"X: a\nContent-Length: 3\r\n\r\nabc" + NEXT, [400], "closed"),
    ("NUL in a value", GET + b"X: a\0b\r\n\r\n", [400], "closed"),
    ("control character in a value", GET + b"X: a\x0bb\r\n\r\n", [400], "closed"),
    ("folded line", GET + b"X: a\r\n b\r\n\r\n", [400], "closed"),
    ("folded first line", b"GET /healthz HTTP/1.1\r\n Host: x\r\n\r\n", [400], "closed"),
    ("field without a colon", GET + b"garbage\r\n\r\n", [400], "closed"),
    ("field without a name", GET + b": x\r\n\r\n", [400], "closed"),
    ("space before the colon", GET + b"X : a\r\n\r\n", [400], "closed"),
    ("space in a name", GET + b"A B: x\r\n\r\n", [400], "closed"),
    ("8-bit name", GET + b"A\x80B: x\r\n\r\n", [400], "closed"),
    ("8-bit value", GET + b"X: \xe4\xff\r\n\r\n", [200], "open"),
    ("values are trimmed", POST + b"Content-Length: \t %d \t\r\n\r\n" % len(PICTURE) + PICTURE, [200], "open"),
    ("Content-Type twice", GET + b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n", [400], "closed"),
    ("a thousand fields", GET + b"X: y\r\n" * 1000 + b"\r\n", [200], "open"),
    # ---- Host ----
    ("no Host", b"GET /healthz HTTP/1.1\r\n\r\n", [400], "closed"),
    ("two Hosts", GET + HOST + b"\r\n", [400], "closed"),
    ("two Hosts on 1.0", b"GET /healthz HTTP/1.0\r\n" + HOST + HOST + b"\r\n", [400], "closed"),
    ("Host with a path", b"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n", [400], "closed"),
    ("Host with a space", b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n", [400], "closed"),
    ("Host that is empty", b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", [200], "open"),
    ("Host with a user", b"GET /healthz HTTP/1.1\r\nHost: me@a\r\n\r\n", [400], "closed"),
    ("Host with a port that is none", b"GET /healthz HTTP/1.1\r\nHost: a:65536\r\n\r\n", [400], "closed"),
    ("Host in brackets that is no address", b"GET /healthz HTTP/1.1\r\nHost: [1:2]\r\n\r\n", [400], "closed"),
    ("Host with port", b"GET /healthz HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", [200], "open"),
    # ---- Content-Length ----
    ("two lengths that differ", POST + b"Content-Length: 3\r\nContent-Length: 40\r\n\r\nabc" + NEXT, [400], "closed"),
    ("two lengths that agree", POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + NEXT, [400], "closed"),
    ("list of lengths", POST + b"Content-Length: 3, 3\r\n\r\nabc" + NEXT, [400], "closed"),
    ("+3", POST + b"Content-Length: +3\r\n\r\nabc" + NEXT, [400], "closed"),
    ("-3", POST + b"Content-Length: -3\r\n\r\nabc" + NEXT, [400], "closed"),
    ("0x3", POST + b"Content-Length: 0x3\r\n\r\nabc" + NEXT, [400], "closed"),
    ("3abc", POST + b"Content-Length: 3abc\r\n\r\nabc" + NEXT, [400], "closed"),
    ("empty length", POST + b"Content-Length: \r\n\r\nabc" + NEXT, [400], "closed"),
    ("length before a space and colon", POST + b"Content-Length : 3\r\n\r\nabc" + NEXT, [400], "closed"),
    ("leading zeros", POST + b"Content-Length: 00%d\r\n\r\n" % len(PICTURE) + PICTURE + NEXT, [200, 404], "open"),
    ("2^64", POST + b"Content-Length: 18446744073709551616\r\n\r\n", [413], "closed"),
    ("2^64 + 3", POST + b"Content-Length: 18446744073709551619\r\n\r\nabc" + NEXT, [413], "closed"),
    ("body of a GET", GET + b"Content-Length: 3\r\n\r\nabc" + NEXT, [200, 404], "open"),
    # ---- Transfer-Encoding ----
    ("length and chunks", POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("chunks and length", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("identity", POST + b"Transfer-Encoding: identity\r\n\r\n" + NEXT, [400], "closed"),
    ("identity and length", POST + b"Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc" + NEXT, [400], "closed"),
    ("gzip, chunked", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + NEXT, [501], "closed"),
    ("chunked twice", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("chunked twice in a list", POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("chunked, gzip", POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("gzip", POST + b"Transfer-Encoding: gzip\r\n\r\n" + NEXT, [400], "closed"),
    ("no coding, and a length", POST + b"Transfer-Encoding:\r\nContent-Length: 3\r\n\r\nabc" + NEXT, [400], "closed"),
    ("xchunked", POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("quoted", POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + NEXT, [400], "closed"),
    ("space before its colon", POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("vertical tab", POST + b"Transfer-Encoding: \x0bchunked\r\nContent-Length: 3\r\n\r\nabc" + NEXT, [400], "closed"),
    ("chunks on 1.0", b"POST /images/check HTTP/1.0\r\n" + HOST +
     b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("CHUNKED and a space", POST + b"Transfer-Encoding: CHUNKED \r\n\r\n" + WHOLE + NEXT, [200, 404], "open"),
    ("chunks", CHUNKED + WHOLE + NEXT, [200, 404], "open"),
    ("small chunks", CHUNKED + b"".join(b"1\r\n" + PICTURE[i:i + 1] + b"\r\n" for i in range(len(PICTURE))) +
     b"0\r\n\r\n" + NEXT, [200, 404], "open"),
    ("extensions", CHUNKED + WHOLE.replace(b"\r\n", b';a="b";c\r\n', 1) + NEXT, [200, 404], "open"),
    ("trailers", CHUNKED + WHOLE[:-2] + b"Content-Length: 40\r\nX: y\r\n\r\n" + NEXT, [200, 404], "open"),
    ("a blank before an extension", CHUNKED + WHOLE.replace(b"\r\n", b" ; a = b\r\n", 1) + NEXT, [200, 404], "open"),
    ("trailer without a colon", CHUNKED + WHOLE[:-2] + b"garbage\r\n\r\n" + NEXT, [400], "closed"),
    ("trailer without a name", CHUNKED + WHOLE[:-2] + b": x\r\n\r\n" + NEXT, [400], "closed"),
    ("trailer with a space before its colon", CHUNKED + WHOLE[:-2] + b"X : y\r\n\r\n" + NEXT, [400], "closed"),
    ("folded trailer", CHUNKED + WHOLE[:-2] + b"X: y\r\n z\r\n\r\n" + NEXT, [400], "closed"),
    ("LF behind a trailer", CHUNKED + WHOLE[:-2] + b"X: y\n\r\n" + NEXT, [400], "closed"),
    ("NUL in a trailer", CHUNKED + WHOLE[:-2] + b"X: \0\r\n\r\n" + NEXT, [400], "closed"),
    ("last chunk that ends in LF", CHUNKED + b"3\r\nabc\r\n0\r\n\n" + NEXT, [400], "closed"),
    ("long extensions", CHUNKED + b"3;" + b"a" * 20000 + b"\r\nabc\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("long trailers", CHUNKED + b"3\r\nabc\r\n0\r\n" + b"X: y\r\n" * 4000 + b"\r\n" + NEXT, [400], "closed"),
    ("size zz", CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("size 0x3", CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("size -3", CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("size with a space", CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("size of 17 digits", CHUNKED + b"10000000000000003\r\nabc\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("size of 2^64 - 1", CHUNKED + b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("chunk too long", CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    ("chunk without its end", CHUNKED + b"3\r\nabc0\r\n\r\n" + NEXT, [400], "closed"),
    ("LF in chunks", CHUNKED + b"3\nabc\n0\n\n" + NEXT, [400], "closed"),
    ("LF in an extension", CHUNKED + b"3;a\nabc\r\n0\r\n\r\n" + NEXT, [400], "closed"),
    # ---- Expect, Connection, Upgrade ----
    ("Expect: 100-continue", POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE,
     [100, 200], "open"),
    ("Expect of a refused request", b"POST /nope HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
     [404], "closed"),
    ("Expect of something else", GET + b"Expect: a-gift\r\n\r\n", [417], "closed"),
    ("Expect in a list", GET + b"Expect: 100-continue, a-gift\r\n\r\n", [417], "closed"),
    ("Expect in two lines", GET + b"Expect: 100-continue\r\nExpect: a-gift\r\n\r\n", [417], "closed"),
    ("Expect of nothing", GET + b"Expect:\r\n\r\n", [200], "open"),
    ("Expect on 1.0", b"POST /images/check HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE,
     [200], "closed"),
    ("Connection: close", GET + b"Connection: close\r\n\r\n" + NEXT, [200], "closed"),
    ("close among others", GET + b"Connection: a, CLOSE, b\r\n\r\n" + NEXT, [200], "closed"),
    ("Upgrade is not taken up", GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", [200], "open"),
    # ---- more than one request ----
    ("pipeline", (GET + b"\r\n") * 20 + GET + b"Connection: close\r\n\r\n", [200] * 21, "closed"),
    ("pipeline with bodies", (POST + b"Content-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE) * 3 + NEXT, [200] * 3 + [404], "open"),
    ("nonsense behind a request", GET + b"\r\n" + b"x" * 3000, [200, 501], "closed"),
    ("nonsense behind a body", POST + b"Content-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE + b"nonsense\r\n\r\n", [200, 400],
     "closed"),
    ("refusals behind each other", (b"GET /nope HTTP/1.1\r\n" + HOST + b"\r\n") * 3 + b"\r\n \r\n" + NEXT, [404, 404, 404, 400],
     "closed"),
    ("half a request behind a request", GET + b"\r\n" + GET, [200], "open"),
    ("a refused small body is swallowed", b"POST /nope HTTP/1.1\r\n" + HOST + b"Content-Length: 5000\r\n\r\n" + b"x" * 5000 + NEXT,
     [404, 404], "open"),
    ("a refused large body closes", b"POST /nope HTTP/1.1\r\n" + HOST + b"Content-Length: 70000\r\n\r\n" + b"x" * 70000 + NEXT,
     [404], "closed"),
    ("a refused chunked body closes", b"POST /nope HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT,
     [404], "closed"),
]


def heads(out):
    """Statuses of the answers in out, each with its head and body, by their framing; what is left must be nothing."""
    found = []
    while out:
        head, mark, out = out.partition(b"\r\n\r\n")
        match = re.match(rb"HTTP/1\.1 (\d{3}) [A-Za-z' -]+\r\n", head + b"\r\n")
        assert match and mark, out[:200]
        length = re.search(rb"\r\ncontent-length: (\d+)", head, re.I)
        n = int(length[1]) if length else 0
        found.append((int(match[1]), head, out[:n]))
        assert len(out) >= n, (head, out)
        out = out[n:]
    return found


class Conduct(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--log.requests_per_second=1000000")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)

    def exchange(self, data, n_answers, wants_close, row=0):
        """What came, and whether the connection was closed within a moment. Each row is another client: the log gives one
        that makes only errors a share of its lines."""
        out = b""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=5, source_address=(f"127.0.1.{row}", 0)) as s:
            with contextlib.suppress(ConnectionError):
                s.sendall(data)
            s.settimeout(3 if wants_close else 0.15)
            end = time.monotonic() + 5
            while time.monotonic() < end:
                try:
                    more = s.recv(65536)
                except TimeoutError:
                    if out.count(b"\r\n\r\n") >= n_answers:
                        return out, False
                    continue
                except ConnectionResetError:
                    return out, True
                if not more:
                    return out, True
                out += more
        return out, False

    def test_rows(self):
        for n, (name, data, statuses, then) in enumerate(ROWS):
            with self.subTest(row=name):
                out, is_closed = self.exchange(data, len(statuses), then == "closed", n + 1)
                answers = heads(out)
                self.assertEqual([status for status, _, _ in answers], statuses, out[:500])
                self.assertEqual(is_closed, then == "closed", out[:500])
                status, head, body = answers[-1]
                if then == "closed":
                    self.assertIn(b"\r\nConnection: close", head)
                if status >= 400:
                    error = json.loads(body)["error"]
                    self.assertIn(b"\r\nX-Request-Id: " + error["request_id"].encode(), head)
                    line = self.find_line(error["request_id"])
                    self.assertEqual((line["status"], line["code"], line["sent"]), (status, error["code"], True))

    def find_line(self, request_id):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            for line in self.server.log("request"):
                if line["id"] == request_id:
                    return line
            time.sleep(0.01)
        self.fail("the refusal is not in the log")

    def test_refusals_are_counted(self):
        line = 'minivlm_requests_total{route="none",code="400"}'
        before = self.server.metric(line)
        self.exchange(b"nonsense\r\n\r\n", 1, True)
        self.assertEqual(self.server.metric(line), before + 1)

    def test_head_has_no_body(self):
        for path, status in (("/healthz", 200), ("/nope", 404), ("/openapi.json", 200)):
            out, _ = self.exchange(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 1, False)
            head, mark, rest = out.partition(b"\r\n\r\n")
            self.assertEqual((head.split()[1], mark, rest), (str(status).encode(), b"\r\n\r\n", b""))
            self.assertRegex(head, rb"Content-Length: [1-9]")

    def test_header_size_is_exact(self):
        limit = 16384
        for size in (7900, 9000, 15000, limit - 1, limit, limit + 1, 20000, 70000):
            start = POST + b"Content-Length: %d\r\nConnection: close\r\nCookie: " % len(PICTURE)
            data = start + b"c" * (size - len(start) - 4) + b"\r\n\r\n" + PICTURE
            (status, _, body), = heads(self.exchange(data, 1, True)[0])
            self.assertEqual(status, 200 if size <= limit else 431, size)
            self.assertEqual(b"header_too_large" in body, size > limit)

    def test_many_questions(self):
        for n in (126, 127, 128, 129):
            path = "/vqa?" + "&".join(["question=is+it+red"] * n)
            answer = self.server.post(path, PICTURE)
            self.assertEqual(answer.status, 200 if n <= 128 else 413, answer.body[:200])
        answer = self.server.get("/healthz?" + "&".join("a=%d" % i for i in range(513)))
        self.assertEqual((answer.status, answer.code), (400, "bad_request"))

    def test_half_closed_clients_are_served(self):
        for data in (GET + b"\r\n", POST + b"Content-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE, CHUNKED + WHOLE,
                     (GET + b"\r\n") * 5):
            for _ in range(20):
                answers = heads(self.server.raw(data, half_close=True))
                self.assertEqual({status for status, _, _ in answers}, {200})
        for data in (b"GET /hea", POST + b"Content-Length: 100\r\n\r\nabc", CHUNKED + b"3\r\nab"):
            (status, _, body), = heads(self.server.raw(data, half_close=True))
            self.assertEqual((status, json.loads(body)["error"]["code"]), (400, "bad_request"))
        self.assertEqual(self.server.raw(b"", half_close=True), b"")
        self.assertEqual(self.server.raw(b"\r\n", half_close=True), b"")

    def test_slowly_but_surely(self):
        """A byte at a time, heads, chunks and all."""
        data = b"\r\n" + CHUNKED + WHOLE[:400]
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=5) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i in range(len(data)):
                s.send(data[i:i + 1])
            s.sendall(WHOLE[400:] + NEXT)
            out = b""
            while b"/second" not in out and out.count(b"\r\n\r\n") < 2:
                out += s.recv(65536)
            self.assertEqual([status for status, _, _ in heads(out)], [200, 404])


run(__name__)
