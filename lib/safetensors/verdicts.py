#!/usr/bin/env python3
"""Writes testdata/verdicts.jsonl: small files in and out of the safetensors format, and whether its own library reads
them.

    python3 -m venv venv && venv/bin/pip install safetensors==0.8.0
    venv/bin/python verdicts.py [number of mutated files] [where to write]

A line is {"what": ..., "file": its bytes as characters, "reads": true or false}. "stricter" is there where package
safetensors must refuse what the library reads, and says why.
"""

import json
import random
import struct
import sys
from pathlib import Path

import safetensors

VERSION = "0.8.0"

F = struct.pack("<4f", 1, 2, 3, 4)


def with_length(text, values=b""):
    return struct.pack("<Q", len(text)) + text + values


def file(header, values=F):
    return with_length(header if isinstance(header, bytes) else json.dumps(header).encode(), values)


def entry(dtype="F32", shape=(4,), offsets=(0, 16)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def reads(content):
    try:
        safetensors.deserialize(content)
        return True
    except safetensors.SafetensorError:
        return False


def by_hand():
    """Files named by what is special about them."""
    yield "no bytes", b""
    yield "seven bytes", b"\x02" + bytes(6)
    yield "only a length", bytes(8)
    yield "nothing in it", file({}, b"")
    yield "values of nothing", file({})
    yield "a tensor", file({"a": entry()})
    yield "two tensors", file({"a": entry("F32", [2], [0, 8]), "b": entry("F32", [2], [8, 16])})
    yield "two tensors in another order", file({"a": entry("F32", [2], [8, 16]), "b": entry("F32", [2], [0, 8])})
    yield "overlapping whole", file({"a": entry(), "b": entry()})
    yield "overlapping in part", file({"a": entry("F32", [3], [0, 12]), "b": entry("F32", [2], [8, 16])})
    yield "a hole", file({"a": entry("F32", [1], [0, 4]), "b": entry("F32", [1], [12, 16])})
    yield "a hole at the beginning", file({"a": entry("F32", [3], [4, 16])})
    yield "a hole at the end", file({"a": entry("F32", [3], [0, 12])})
    yield "values missing", file({"a": entry()}, F[:15])
    yield "a value too many", file({"a": entry()}, F + b"\0")
    yield "backwards", file({"a": entry("F32", [4], [16, 0])})
    yield "negative offset", file({"a": entry("F32", [4], [-16, 0])})
    yield "one offset", file(b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0]}}', b"")
    yield "three offsets", file(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16,16]}}')
    yield "no offsets", file(b'{"a":{"dtype":"F32","shape":[4]}}')
    yield "offsets null", file(b'{"a":{"dtype":"F32","shape":[0],"data_offsets":null}}', b"")
    yield "an offset null", file(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[null,16]}}')
    yield "an offset as text", file(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,"16"]}}')
    yield "an offset with a point", file(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16.0]}}')
    yield "an offset with an exponent", file(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16e0]}}')
    yield "an offset of minus zero", file(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[-0,16]}}')
    yield "an offset beyond 64 bits", file(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,18446744073709551632]}}')
    yield "an offset beyond 63 bits", file(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,18446744073709551615]}}')
    yield "shape of the wrong size", file({"a": entry("F32", [5])})
    yield "a scalar", file({"a": entry("F32", [], [0, 4])}, F[:4])
    yield "no values", file({"a": entry("F32", [0], [0, 0])}, b"")
    yield "no values before others", file({"z": entry("F32", [0, 7], [0, 0]), "a": entry()})
    yield "no values behind others", file({"z": entry("F32", [0], [16, 16]), "a": entry()})
    yield "no values in the middle of others", file({"z": entry("F32", [0], [8, 8]), "a": entry()})
    yield "no values beyond others", file({"z": entry("F32", [0], [20, 20]), "a": entry()})
    yield "negative size", file({"a": entry("F32", [-4])})
    yield "two negative sizes", file({"a": entry("F32", [-2, -2])})
    yield "a size as text", file({"a": entry("F32", ["4"])})
    yield "a size null", file({"a": entry("F32", [None])})
    yield "a size true", file({"a": entry("F32", [True], [0, 4])}, F[:4])
    yield "a size with a point", file(b'{"a":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}}')
    yield "sizes in a list", file({"a": entry("F32", [[4]])})
    yield "shape null", file(b'{"a":{"dtype":"F32","shape":null,"data_offsets":[0,4]}}', F[:4])
    yield "shape a number", file(b'{"a":{"dtype":"F32","shape":4,"data_offsets":[0,16]}}')
    yield "no shape", file(b'{"a":{"dtype":"F32","data_offsets":[0,4]}}', F[:4])
    yield "sizes that overflow to the right one", file({"a": entry("U8", [2**32, 2**32], [0, 0])}, b"")
    yield "sizes that overflow with the type", file({"a": entry("F32", [2**62], [0, 0])}, b"")
    yield "sizes that overflow before a zero", file({"a": entry("F32", [2**62, 4, 0], [0, 0])}, b"")
    yield "large sizes behind a zero", file({"a": entry("F32", [0, 2**62, 4], [0, 0])}, b"")
    for size in 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30:
        yield f"a size of {size}", file({"a": entry("F32", [size])})
        yield f"a size of {size} beside zero", file({"a": entry("F32", [0, size], [0, 0])}, b"")
    for dtype, bits in {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
                        "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
                        "I32": 32, "U32": 32,
                        "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64}.items():
        yield f"type {dtype}", file({"a": entry(dtype, [4], [0, bits // 2])}, (F * 2)[:bits // 2])
        yield f"one of type {dtype}", file({"a": entry(dtype, [1], [0, bits // 8])}, F[:bits // 8])
    for dtype in "f32", "F32 ", "", "F128", "C128", "F8_E4M3B11", "I4", "U4", "F31", "float32", 32, None, ["F32"], True:
        yield f"type {dtype!r}", file({"a": entry(dtype)})
    yield "no type", file(b'{"a":{"shape":[4],"data_offsets":[0,16]}}')
    yield "a type as an object", file({"a": entry({"F32": None})})
    yield "names in capitals", file(b'{"a":{"DTYPE":"F32","Shape":[4],"Data_Offsets":[0,16]}}')
    yield "more than a tensor needs", file({"a": {**entry(), "stride": [1], "note": {"x": [None, 1.5e3]}}})
    yield "a huge number that is not needed", file(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"x":1e999}}')
    yield "a tiny number that is not needed", file(
        b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"x":1e-999}}')
    for depth in 125, 126, 127, 200:
        yield f"lists in {depth} lists", file(
            b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"x":' + b"[" * depth + b"]" * depth + b"}}")
    yield "a tensor as a list", file(b'{"a":["F32",[4],[0,16]]}')
    yield "a tensor null", file(b'{"a":null}', b"")
    yield "a tensor as text", file(b'{"a":"F32"}', b"")
    yield "a tensor of nothing", file(b'{"a":{}}', b"")
    yield "a name twice, one good", file(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}')
    yield "a name twice, both good", file(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}')
    yield "a name twice, once escaped", file(
        b'{"a":{"dtype":"I32","shape":[4],"data_offsets":[0,16]},'
        b'"\\u0061":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}')
    yield "a type twice", file(b'{"a":{"dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16]}}')
    yield "a shape twice", file(b'{"a":{"dtype":"F32","shape":[4],"shape":[4],"data_offsets":[0,16]}}')
    yield "offsets twice", file(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"data_offsets":[0,16]}}')
    yield "what is not needed twice", file(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"x":1,"x":1}}')
    yield "metadata", file({"__metadata__": {"a": "b", "": "", "\u00e9\U0001f600": "\u0000\n"}, "a": entry()})
    yield "metadata alone", file({"__metadata__": {"a": "b"}}, b"")
    yield "metadata null", file(b'{"__metadata__":null}', b"")
    yield "metadata twice", file(b'{"__metadata__":{},"__metadata__":{}}', b"")
    yield "metadata escaped", file(b'{"\\u005f_metadata__":{"a":"b"}}', b"")
    yield "metadata with a key twice", file(b'{"__metadata__":{"a":"b","a":"c"}}', b"")
    for value in 3, 1.5, None, True, ["x"], {"x": "y"}:
        yield f"metadata with {json.dumps(value)}", file({"__metadata__": {"a": value}}, b"")
    for value in [], [["a", "b"]], "a", 3, True, entry():
        yield f"metadata of {json.dumps(value)}", file({"__metadata__": value}, b"")
    for text in b"[]", b"null", b"3", b'"a"', b"true", b"{", b"}", b"{]", b"{}{}", b"{} x", b"{},", b"{a:1}", \
            b"{'a':1}", b"nonsense", b'{"a":1,}', b"{,}", b"{}\0", b"\0{}", b"\xef\xbb\xbf{}", b"// x\n{}", b"{}\x0b", \
            b"\xa0{}", b"[[{}]]", b"NaN", b'{"a":NaN}':
        yield f"a header of {text!r}", file(text, b"")
    for text in b" {}", b"\n\t\r {}", b"{}    ", b"{}\n", b"{ }", b"{\n}":
        yield f"a header of {text!r}", file(text, b"")
    good = b'{"%s":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    for name in b"", b" ", b"a/b.c", b"\xc3\xa9", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", \
            b"\n", b"\t", b"\x7f", b"\\u0000", b"\\n", b"\\x", b"\\ud800", b"\\udc00", b"\\ud800\\u0041", \
            b"\\ud83d\\ude00", b"\\uD83D\\uDE00", b"\\ud800x", b"\\u00g0", b"\\u00", b"\\/", b'\\"':
        yield f"a name of {name!r}", file(good % name)
    for number in b"016", b"+16", b"0x10", b"16.", b"1_6", b" 16 ", b"-16", b"1.6e1", b"16E0", b"Infinity", \
            b"\xd9\xa1\xd9\xa6":
        yield f"an offset of {number!r}", file(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,%s]}}' % number)
    for length in 3, 61, 63, 100, 10**8, 10**8 + 1, 2**31, 2**32 + 62, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1:
        yield f"a length of {length} instead of 62", struct.pack("<Q", length) + file({"a": entry()})[8:]
    yield "Git LFS's pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 12345\n"
    yield "a zip", b"PK\x03\x04" + bytes(60)
    yield "a page", b"<!DOCTYPE html><html><body>Not found</body></html>"


SCRAPS = ["null", "true", "0", "1", "4", "-1", "16", "8", "1e1", "4.0", "[]", "{}", "[0]", "[0,16]", "[4]", "[2,2]",
          '"F32"', '"U8"', '"F4"', '"BF16"', '""', '"a"', '"b"', '"dtype"', '"shape"', '"data_offsets"',
          '"__metadata__"', ",", ":", "{", "}", "[", "]", " ", "\\", '"', "\u00e9",
          '"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},', '"__metadata__":{"k":"v"},']


def mutated(number):
    """Files by hand after one to three changes: of bytes anywhere, or of the header's text, with the right length."""
    chance = random.Random(19)
    seeds = [content for _, content in by_hand() if 8 < len(content) < 250]
    read = [content for content in seeds if reads(content)]
    for i in range(number):
        content = chance.choice(chance.choice([seeds, read, read]))
        for _ in range(chance.choice([1, 1, 2, 3])):
            if len(content) < 10:
                break
            size = struct.unpack("<Q", content[:8])[0]
            if size > len(content) - 8 or chance.random() < 0.15:
                at = chance.randrange(len(content))
                content = chance.choice([content[:at], content + bytes([chance.randrange(256)]),
                                         content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)])
                                         + content[at + 1:]])
                continue
            text, values = content[8:8 + size], content[8 + size:]
            at = chance.randrange(len(text) + 1)
            to = min(len(text), at + chance.choice([0, 0, 1, 1, 2, 5]))
            new = chance.choice([chance.choice(SCRAPS).encode(), b"",
                                 text[chance.randrange(len(text) + 1):][:chance.randrange(20)],
                                 str(chance.choice([0, 1, 2, 3, 4, 8, 12, 16, 20, 2**31, 2**63, 2**64])).encode(),
                                 bytes([chance.randrange(256)])])
            content = with_length(text[:at] + new + text[to:], values)
        yield f"mutated {i}", content


def stricter(content):
    """Why a file that the library reads must be refused, or None: what is not in the format, but Rust's reader of JSON
    lets pass."""
    names = []

    def pairs(members):
        keys = [key for key, _ in members]
        names.extend(key for key in keys if keys.count(key) > 1)
        return dict(members)

    header = json.loads(content[8:8 + struct.unpack("<Q", content[:8])[0]], object_pairs_hook=pairs)
    if names:
        return "a name that comes twice"
    for name, value in header.items():
        if name == "__metadata__":
            if isinstance(value, list):
                return "metadata as a list"
        elif not isinstance(value, dict):
            return "a tensor as a list"
        elif not isinstance(value["dtype"], str):
            return "a type as an object"
        elif max(value["shape"], default=0) >= 2**63:
            return "a size that Go's int cannot hold"
    return None


def main():
    assert safetensors.__version__ == VERSION, safetensors.__version__
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    path = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "testdata" / "verdicts.jsonl"
    path.parent.mkdir(exist_ok=True)
    read = 0
    with path.open("w", encoding="ascii") as out:
        for what, content in (*by_hand(), *mutated(number)):
            case = {"what": what, "file": content.decode("latin-1"), "reads": reads(content)}
            read += case["reads"]
            if case["reads"] and (why := stricter(content)):
                case["stricter"] = why
            print(json.dumps(case), file=out)
    print(f"{path}: safetensors {VERSION} reads {read}")


if __name__ == "__main__":
    main()
