// What a program printed, read from any byte on, while it comes and when only the last of it is kept.

import fc from "fast-check";
import { expect, test } from "vitest";
import { fromByte, PrintedLog, textOf } from "../../../sdk/printed-log.ts";

const LIMIT = 16;

test("it keeps the last bytes, whatever they come in", () => {
  fc.assert(fc.property(
    fc.array(fc.uint8Array({ maxLength: 40 })), fc.nat(200), fc.nat(LIMIT),
    (pieces, byte, count) => {
      const log = new PrintedLog(LIMIT);
      for (const piece of pieces) log.add(piece);
      const all = Buffer.concat(pieces);
      const begin = Math.min(all.length, Math.max(byte, all.length - LIMIT));
      expect(log.from(byte)).toEqual({ begin, bytes: all.subarray(begin) });
      const last = Math.max(0, all.length - count);
      expect(log.last(count)).toEqual({ begin: last, bytes: all.subarray(last) });
      expect(fromByte(log.from(0), byte)).toEqual(log.from(byte));
    },
  ));
});

test("who follows it reads every character once, wherever pieces of it end", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), fc.array(fc.nat(4)), (text, lengths) => {
    const log = new PrintedLog(10_000);
    const bytes = Buffer.from(text);
    let read = "";
    let from = 0;
    const look = () => {
      const seen = textOf(log.from(from));
      read += seen.text;
      from = seen.end;
    };
    let at = 0;
    for (const length of lengths) {
      log.add(bytes.subarray(at, at + length));
      at += length;
      look();
    }
    log.add(bytes.subarray(at));
    look();
    expect(read).toBe(bytes.toString());
    expect(from).toBe(bytes.length);
  }));
});

test("what is no text is read as what it is, and stops nobody", () => {
  const log = new PrintedLog(LIMIT);
  log.add(Buffer.from([0xff, 0xfe, 0x80, 0x41]));
  expect(textOf(log.from(0))).toEqual({ text: "\uFFFD\uFFFD\uFFFDA", end: 4 });
});
