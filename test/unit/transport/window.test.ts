// Sequence windows: given frames sent, confirmed and arrived, what is kept and what is delivered.

import { describe, expect, it } from "vitest";
import { ReceiveWindow, SendWindow } from "../../../runtime/transport/window.ts";
import { randomOf } from "../../seeded.ts";

const frame = (seq: number): Buffer => Buffer.from(String(seq));

describe("send window", () => {
  it("numbers from 1 and keeps what is not confirmed", () => {
    const window = new SendWindow();
    expect(window.next).toBe(1);
    for (let seq = 1; seq <= 3; seq++) window.keep(frame(seq));
    expect(window.next).toBe(4);
    expect(window.bytes).toBe(3);
    expect(window.confirm(2)).toBe(true);
    expect(window.unconfirmed().map(String)).toEqual(["3"]);
    expect(window.bytes).toBe(1);
  });

  it("takes an old confirmation again without effect", () => {
    const window = new SendWindow();
    window.keep(frame(1));
    window.keep(frame(2));
    expect([window.confirm(2), window.confirm(1), window.confirm(0), window.confirm(2)]).toEqual([true, true, true, true]);
    expect(window.unconfirmed()).toEqual([]);
    expect(window.next).toBe(3);
  });

  it("refuses the confirmation of what was never sent", () => {
    const window = new SendWindow();
    expect(window.confirm(1)).toBe(false);
    window.keep(frame(1));
    expect(window.confirm(2)).toBe(false);
    expect(window.unconfirmed().length).toBe(1);
  });
});

describe("receive window", () => {
  it("delivers each number once and reports a gap", () => {
    const window = new ReceiveWindow();
    expect([1, 1, 2, 4, 2, 3].map((seq) => window.arrive(seq, 10))).toEqual(["next", "repeat", "next", "gap", "repeat", "next"]);
    expect(window.received).toBe(3);
    expect([window.untold, window.untoldBytes]).toEqual([3, 30]);
    expect(window.tell()).toBe(3);
    expect([window.untold, window.untoldBytes]).toEqual([0, 0]);
  });
});

describe("both windows", () => {
  it("deliver everything once and in order over a connection that breaks anywhere", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = randomOf(seed);
      const sender = new SendWindow();
      const receiver = new ReceiveWindow();
      const delivered: string[] = [];
      let wire: { seq: number; bytes: Buffer }[] = [];
      const count = 300;
      for (let sent = 0; sent < count || sender.bytes > 0; ) {
        const step = random.below(10);
        if (step < 4 && sent < count) {
          const bytes = frame(sender.next);
          wire.push({ seq: sender.next, bytes });
          sender.keep(bytes);
          sent++;
        } else if (step < 8 && wire.length > 0) {
          const { seq, bytes } = wire.shift()!;
          const arrival = receiver.arrive(seq, bytes.length);
          expect(arrival).not.toBe("gap");
          if (arrival === "next") delivered.push(String(bytes));
        } else if (step === 8) expect(sender.confirm(receiver.tell())).toBe(true);
        else {
          // The connection breaks: what was on the wire is lost, the resumed one begins after what was received.
          expect(sender.confirm(random.below(2) === 0 ? receiver.received : 0)).toBe(true);
          const pending = sender.unconfirmed();
          wire = pending.map((bytes, i) => ({ seq: sender.next - pending.length + i, bytes }));
        }
      }
      expect(delivered).toEqual(Array.from({ length: count }, (_, i) => String(i + 1)));
    }
  });
});
