"""A mail server that misbehaves on request: smtp_peer.py MODE, with MODE one of plain, starttls, tls, reject,
defer, hang. Prints its port, then each mail it took as one line of JSON."""
import asyncio
import datetime
import json
import ssl
import sys
import tempfile

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

MODE = sys.argv[1]


def context():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
        file.flush()
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(file.name)
        return made


class Handler:
    async def handle_DATA(self, server, session, envelope):
        if MODE == "reject":
            return "550 5.7.1 we do not want this"
        if MODE == "defer":
            return "451 4.3.0 come back later"
        if MODE == "hang":
            await asyncio.sleep(3600)
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "content": envelope.content.decode(),
            "tls": session.ssl is not None or MODE == "tls",
            "user": session.auth_data,
            "connection": str(session.peer),
        }
        print(json.dumps(mail), flush=True)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    known = isinstance(data, LoginPassword) and data.login == b"sre" and data.password == b"secret"
    return AuthResult(success=known, auth_data=data.login.decode() if known else None)


async def main():
    tls = context() if MODE in ("starttls", "tls") else None

    def peer():
        return SMTP(
            Handler(),
            hostname="localhost",
            tls_context=tls if MODE == "starttls" else None,
            require_starttls=MODE == "starttls",
            auth_required=MODE == "starttls",
            authenticator=authenticate,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(peer, "127.0.0.1", 0, ssl=tls if MODE == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
