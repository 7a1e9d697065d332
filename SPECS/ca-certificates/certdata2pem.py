"""Prints, as PEM, the certificates of Mozilla's certdata.txt that are trusted for servers.

An object starts with CKA_CLASS; a certificate and its trust object share CKA_LABEL and serial number.
"""
import base64, sys, textwrap


def objects(lines):
    obj = None
    for line in lines:
        line = line.rstrip("\n")
        if not line or line.startswith("#") or line == "BEGINDATA":
            continue
        name, _, rest = line.partition(" ")
        kind, _, value = rest.partition(" ")
        if kind == "MULTILINE_OCTAL":
            data = bytearray()
            for octal in lines:
                if octal.strip() == "END":
                    break
                data += bytes(int(o, 8) for o in octal.strip().split("\\")[1:])
            value = bytes(data)
        if name == "CKA_CLASS":
            if obj:
                yield obj
            obj = {}
        if obj is not None:
            obj[name] = value
    if obj:
        yield obj


certs, trusted = {}, set()
with open(sys.argv[1], encoding="utf-8") as f:
    for o in objects(f):
        key = (o.get("CKA_ISSUER"), o.get("CKA_SERIAL_NUMBER"))
        if o["CKA_CLASS"] == "CKO_CERTIFICATE":
            certs[key] = (o["CKA_LABEL"].strip('"'), o["CKA_VALUE"])
        elif o["CKA_CLASS"] == "CKO_NSS_TRUST" and o.get("CKA_TRUST_SERVER_AUTH") == "CKT_NSS_TRUSTED_DELEGATOR":
            trusted.add(key)
for label, der in sorted(certs[k] for k in trusted if k in certs):
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    print(f"# {label}\n-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----")
