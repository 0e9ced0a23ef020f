#!/usr/bin/env python3
"""Checks a journal of MSC, or the proof of one of its messages, without MSC.

    verify_journal.py JOURNAL.DB PUBLIC_KEYS.PEM [--witness FILE]
    verify_journal.py --proof PROOF.JSON [PUBLIC_KEYS.PEM]

It was written from docs/journal-format.md and uses nothing but Python's standard library (3.9 or newer). Where the
`cryptography` package is there, it checks signatures faster; with `--plain` it does without. Exit code 0: all is as
it was signed; 1: it is not; 2: it cannot be read. The journal is only read; it may be in use meanwhile.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import sqlite3
import sys
import zlib

FIRST_LINK = bytes(32)


def sha256(data):
    return hashlib.sha256(data).digest()


def raw(value):
    """Return what should be bytes; who writes in a database by hand may have left text."""
    return value if isinstance(value, bytes) else str(value).encode()


# --- Ed25519, RFC 8032 5.1, verification only -------------------------------------------------------------------

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def point_add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def point_times(scalar, point):
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = point_add(total, point)
        point, scalar = point_add(point, point), scalar >> 1
    return total


def point_read(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        raise ValueError("no point")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        raise ValueError("no point")
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point_read((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def plain_signed(public, signature, body):
    try:
        key, half = point_read(public), point_read(signature[:32])
    except ValueError:
        return False
    scalar = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or scalar >= Q:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + body).digest(), "little") % Q
    left, right = point_times(scalar, BASE), point_add(half, point_times(challenge, key))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 == (left[1] * right[2] - right[1] * left[2]) % P


def fast_signed(public, signature, body):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, body)
    except (InvalidSignature, ValueError):
        return False
    return True


try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    signed = fast_signed
except ImportError:
    signed = plain_signed


def read_keys(text):
    """Read PEM public keys: 12 bytes that say Ed25519 (RFC 8410), then the key. By id."""
    keys = {}
    for part in text.split("-----END PUBLIC KEY-----")[:-1]:
        raw = base64.b64decode(part.split("-----BEGIN PUBLIC KEY-----")[1])
        if len(raw) != 44 or raw[:12] != bytes.fromhex("302a300506032b6570032100"):
            raise ValueError("a public key is not Ed25519")
        keys[sha256(raw[12:])[:8].hex()] = raw[12:]
    if not keys:
        raise ValueError("there is no public key")
    return keys


# --- the tree, RFC 6962 2.1 -------------------------------------------------------------------------------------


class Tree:
    def __init__(self):
        self.count, self.nodes = 0, []

    def append(self, leaf):
        size = self.count
        while size & 1:
            leaf, size = sha256(b"\x01" + self.nodes.pop() + leaf), size >> 1
        self.nodes.append(leaf)
        self.count += 1

    def root(self):
        if not self.nodes:
            return sha256(b"")
        root = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            root = sha256(b"\x01" + node + root)
        return root


def root_from_path(leaf, index, count, path):
    """RFC 9162, 2.1.3.2."""
    at, last, node = index, count - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if at & 1 or at == last:
            node = sha256(b"\x01" + sibling + node)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            node = sha256(b"\x01" + node + sibling)
        at, last = at >> 1, last >> 1
    return node if last == 0 else None


# --- a journal --------------------------------------------------------------------------------------------------


class Verifier:
    """Reads a journal from its first record to its last, and says where it is not what was signed."""

    def __init__(self, main, keys):
        self.main, self.keys, self.faults = pathlib.Path(main), keys, []
        self.records = self.checked = 0
        self.sealed_at = -1

    def fault(self, text):
        self.faults.append(text)

    def read(self, file, question, *values):
        driver = sqlite3.connect(f"{pathlib.Path(file).absolute().as_uri()}?mode=ro", uri=True)
        try:
            return driver.execute(question, values).fetchall()
        finally:
            driver.close()

    def checkpoints(self, upto):
        """Return the checkpoints that can be relied on, in order."""
        good, number, digest, seq = [], 0, bytes(32), 0
        for row in self.read(
            self.main, "SELECT number, seq, statement, body, signature FROM checkpoint ORDER BY number"
        ):
            if row[0] > upto:
                break
            body = raw(row[3])
            if row[0] != number + 1:
                self.fault(f"checkpoints {number + 1} to {row[0] - 1} are missing")
                digest = None
            number, before, digest = row[0], digest, sha256(body)
            try:
                said = json.loads(body)
                same = (said["number"], said["seq"], said["statement"]) == row[:3]
                genuine = same and signed(self.keys[said["key"]], raw(row[4]), body)
            except (ValueError, KeyError, TypeError):
                genuine = False
            if not genuine:
                self.fault(f"checkpoint {number} is forged")
                digest = None
                continue
            if before is not None and said["previous"] != before.hex():
                self.fault(f"checkpoint {number} does not continue the one before it")
            if said["seq"] < seq:
                self.fault(f"checkpoint {number} goes back to record {said['seq']}")
                continue
            seq = said["seq"]
            good.append(said)
        if number < upto:
            self.fault(f"checkpoints {number + 1} to {upto} are missing")
        return good

    def blocks(self, month):
        """Yield a month's blocks, as far as they can be read."""
        file = self.main.with_suffix("") / f"{month // 100:04}-{month % 100:02}.db"
        try:
            firsts = [row[0] for row in self.read(file, "SELECT first FROM block ORDER BY first")]
        except (sqlite3.Error, OSError) as exc:
            self.fault(f"month {month} cannot be read ({type(exc).__name__})")
            return
        for at in range(0, len(firsts), 64):
            part = firsts[at : at + 64]
            question = "SELECT first, last, link, marks, body FROM block WHERE first BETWEEN ? AND ? ORDER BY first"
            try:
                yield from self.read(file, question, part[0], part[-1])
            except sqlite3.Error as exc:
                self.fault(f"month {month}: blocks from record {part[0]} on cannot be read ({type(exc).__name__})")

    def run(self, witness=None):
        # In this order, so that what moves meanwhile is missed nowhere: checkpoint, tail, months, blocks.
        newest = "SELECT ifnull(max(number), 0), ifnull(max(seq), 0), (SELECT body FROM state) FROM checkpoint"
        last, seq, state = self.read(self.main, newest)[0]
        try:
            if json.loads(raw(state))["seq"] != seq:
                self.fault(
                    "what the writer stored is not of its last checkpoint: later ones were removed, or it changed"
                )
        except (ValueError, LookupError, TypeError):
            if last or state is not None:
                self.fault("what the writer stored with its last checkpoint cannot be read")
        self.tail = self.read(self.main, "SELECT seq, body, link FROM tail ORDER BY seq")
        months = self.read(self.main, "SELECT month, last, deleted FROM month ORDER BY month")
        self.due = self.checkpoints(last)
        self.place, self.seq, self.link, self.tree, self.first = 0, 0, FIRST_LINK, Tree(), 0
        self.agreed = 0
        self.meet()
        for month, held, deleted in months:
            if deleted and self.pass_deleted(month, deleted):
                continue
            if held:
                self.tree, self.first = Tree(), self.seq + 1
                for block in self.blocks(month):
                    self.block(month, *block)
        for seq, body, link in self.tail:
            if seq <= self.seq:
                continue
            self.gap_to(seq - 1)
            self.take(raw(body), seq)
            if self.link is None:
                self.link = raw(link)
            elif self.link != raw(link):
                self.fault(f"record {seq} does not fit its link")
        if self.place < len(self.due):
            self.fault(f"records {self.seq + 1} to {self.due[-1]['seq']} had been signed for, and are missing")
        if witness is not None:
            self.hear(witness)
        return not self.faults

    def gap_to(self, seq):
        """Pass records that are not there."""
        if seq <= self.seq:
            return
        self.fault(f"records {self.seq + 1} to {seq} are missing")
        self.pass_over(seq)

    def pass_over(self, seq, link=None):
        """Go on after records that cannot be followed, from a checkpoint if there is one just there."""
        while self.place < len(self.due) and self.due[self.place]["seq"] <= seq:
            said = self.due[self.place]
            if said["seq"] == seq:
                link = bytes.fromhex(said["link"])
            self.place += 1
        self.seq, self.link, self.tree = seq, link, None

    def take(self, body, seq):
        """Pass one record."""
        try:
            members = json.loads(body)
            if members[1] != seq:
                self.fault(f"where record {seq} should stand, one that calls itself {members[1]} does")
        except (ValueError, LookupError, TypeError):
            self.fault(f"record {seq} cannot be read")
        if self.first == 0 or self.sealed_at == self.seq:
            self.tree, self.first = Tree(), seq
        leaf = sha256(b"\x00" + body)
        if self.link is not None:
            self.link = sha256(self.link + leaf)
        if self.tree is not None:
            self.tree.append(leaf)
        self.seq = seq
        self.records += 1
        self.meet()
        return leaf

    def block(self, month, first, last, link, marks, body):
        """Pass a block."""
        if first > self.seq + 1:
            self.gap_to(first - 1)
        if first <= self.seq:
            self.fault(f"a block at record {first} stands where these were read already")
            return
        try:
            unpacking = zlib.decompressobj()
            bodies = unpacking.decompress(raw(body), 1 << 28).split(b"\n")
            whole = unpacking.eof and not unpacking.unused_data and not bodies.pop()
        except zlib.error:
            whole = False
        if not whole or len(bodies) != last - first + 1:
            self.fault(f"the block of records {first} to {last} cannot be unpacked, or holds others")
            self.pass_over(last, raw(link))
            return
        for place, record in enumerate(bodies):
            leaf = self.take(record, first + place)
            if leaf[:8] != raw(marks)[place * 8 : place * 8 + 8]:
                self.fault(f"record {first + place} does not fit its mark")
        if self.link is None:
            self.link = raw(link)
        elif self.link != raw(link):
            self.fault(f"the block of records {first} to {last} does not fit its link")

    def meet(self):
        """Hold what was computed against every checkpoint that speaks of this record; go on from what was signed."""
        while self.place < len(self.due) and self.due[self.place]["seq"] <= self.seq:
            said = self.due[self.place]
            self.place += 1
            if said["seq"] < self.seq:
                continue
            if said["statement"] == "sealed":
                self.sealed_at = self.seq
            link = bytes.fromhex(said["link"])
            if self.link != link:
                self.fault(f"records {self.agreed + 1} to {self.seq} are not what checkpoint {said['number']} signed")
                self.tree = None
            else:
                self.checked += 1
            root = self.tree.root().hex() if self.tree is not None and self.seq else None
            if root is not None and (said["first"], said["root"]) != (self.first, root):
                self.fault(f"checkpoint {said['number']} has another root over month {said['month']}")
                self.tree = None
            self.link, self.agreed = link, self.seq

    def pass_deleted(self, month, number):
        """Pass a deleted month by what was signed of it."""
        rows = self.read(self.main, "SELECT body, signature FROM checkpoint WHERE number = ?", number)
        try:
            said = json.loads(rows[0][0])
            detail = said["detail"]
            genuine = signed(self.keys[said["key"]], raw(rows[0][1]), raw(rows[0][0]))
            stated = genuine and said["statement"] == "deleted" and detail["month"] == month
            if not stated or detail["first"] != self.seq + 1:
                raise ValueError
        except (LookupError, TypeError, ValueError):
            self.fault(f"month {month} is marked as deleted, but no signed statement says so")
            return False
        if self.link is not None and self.link.hex() != detail["before"]:
            self.fault(f"the deletion of month {month} does not follow on what stands before")
        while self.place < len(self.due) and self.due[self.place]["seq"] <= detail["last"]:
            other = self.due[self.place]
            self.place += 1
            if other["seq"] == detail["last"] and other["link"] != detail["link"]:
                self.fault(f"the deletion of month {month} is not what checkpoint {other['number']} says of it")
        self.seq, self.link, self.agreed = detail["last"], bytes.fromhex(detail["link"]), detail["last"]
        self.tree, self.sealed_at = None, self.seq
        return True

    def hear(self, witness):
        """Hold the checkpoints against what a witness wrote down."""
        held = {row[0]: raw(row[1]) for row in self.read(self.main, "SELECT number, body FROM checkpoint")}
        for line in pathlib.Path(witness).read_bytes().splitlines():
            try:
                heard = json.loads(line[line.index(b'{"number":') :])
                body, said = heard["body"].encode(), json.loads(heard["body"])
                genuine = signed(self.keys[said["key"]], bytes.fromhex(heard["signature"]), body)
            except (ValueError, LookupError, TypeError, AttributeError):
                continue
            if genuine and held.get(said["number"]) != body:
                self.fault(
                    f"a witness heard another checkpoint {said['number']}: the journal was put back or replaced"
                )
                return


# --- a proof ----------------------------------------------------------------------------------------------------


def check_proof(proof, keys):
    """Return what is wrong with a proof, or None."""
    if proof["format"] != "msc-journal-proof/1":
        return "it is not a proof of this form"
    body = proof["checkpoint"].encode()
    said, own = json.loads(body), read_keys(proof["public_key"])
    if said["key"] not in own or not signed(own[said["key"]], bytes.fromhex(proof["signature"]), body):
        return "its checkpoint is not signed with its key"
    if keys is not None and keys.get(said["key"]) != own[said["key"]]:
        return "it is signed with a key that is not the journal's"
    count, messages = said["seq"] - said["first"] + 1, 0
    for record in proof["records"]:
        raw, index = record["body"].encode(), record["index"]
        members = json.loads(raw)
        path = [bytes.fromhex(node) for node in record["path"]]
        if not 0 <= index < count or members[1] != said["first"] + index or record["count"] != count:
            return f"record {members[1]} does not stand where it says"
        if root_from_path(sha256(b"\x00" + raw), index, count, path) != bytes.fromhex(said["root"]):
            return f"record {members[1]} is not in the tree that was signed"
        if members[0] == "a" or members[4] != proof["msn"]:
            return f"record {members[1]} is not about message {proof['msn']}"
        messages += members[0] == "m"
    return None if messages else "the message itself is not in it"


def main():
    global signed
    parser = argparse.ArgumentParser(description="Checks a journal of MSC, or the proof of one message, without MSC.")
    parser.add_argument("files", nargs="*", metavar="FILE", help="JOURNAL.DB PUBLIC_KEYS.PEM; with --proof the keys")
    parser.add_argument("--proof", help="a proof of one message")
    parser.add_argument("--witness", help="what a witness wrote down")
    parser.add_argument("--plain", action="store_true", help="use the standard library alone")
    asked = parser.parse_args()
    if asked.plain:
        signed = plain_signed
    if len(asked.files) != (2 if asked.proof is None else min(1, len(asked.files))):
        parser.error("give a journal and its public keys, or --proof and its file")
    try:
        keys = read_keys(pathlib.Path(asked.files[-1]).read_text()) if asked.files else None
        if asked.proof is not None:
            proof = json.loads(pathlib.Path(asked.proof).read_text("utf-8"))
            try:
                wrong = check_proof(proof, keys)
            except (LookupError, TypeError, ValueError, AttributeError) as exc:
                wrong = f"it is not a proof ({type(exc).__name__})"
            if wrong is None:
                said = json.loads(proof["checkpoint"])
                print(f"proven: message {proof['msn']} by checkpoint {said['number']}, key {said['key']}")
                if keys is None:
                    print("compare that key with the published one: nothing here says whose it is")
            else:
                print(f"proves nothing: {wrong}")
            return int(wrong is not None)
        verifier = Verifier(asked.files[0], keys)
        verifier.run(asked.witness)
    except (OSError, sqlite3.Error, ValueError) as exc:
        print(f"cannot be read: {exc}", file=sys.stderr)
        return 2
    for fault in verifier.faults:
        print(f"fault: {fault}")
    print(f"{verifier.records} records, {verifier.checked} checkpoints agree, {len(verifier.faults)} faults")
    return int(bool(verifier.faults))


if __name__ == "__main__":
    sys.exit(main())
