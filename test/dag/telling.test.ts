// Notes of what an attempt tells: whichever of them are lost, doubled or late, everything is heard once and in order.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { Told } from "../../dag/run/context.ts";
import { bytesOfNote, HeardNotes, type Note, noteOfBytes, Telling } from "../../dag/run/telling.ts";

const line = (value: string): Told => ({ type: "log", name: "stdout", value });

test("notes are told bit by bit, at once when there is no time to wait, and keep what JSON does not", () => {
  const notes: Note[] = [];
  const telling = new Telling(2, (note) => notes.push(noteOfBytes(bytesOfNote(note))));
  const later = performance.now() + 300;
  while (performance.now() < later);
  telling.add({ type: "metric", name: "m", value: NaN });
  expect(notes).toEqual([{ attempt: 2, from: 0, told: [{ type: "metric", name: "m", value: NaN }] }]);
  telling.add(line("more"));
  telling.end();
  expect([notes.length, telling.told.length]).toEqual([1, 2]);
});

test("one note is bounded; the rest comes with the next ones", async () => {
  const notes: Note[] = [];
  const telling = new Telling(0, (note) => notes.push(note));
  for (let i = 0; i < 10; i += 1) telling.add(line("x".repeat(10_000)));
  await expect.poll(() => notes.reduce((sum, { told }) => sum + told.length, 0)).toBe(10);
  telling.end();
  expect(notes.every(({ told }) => told.length <= 4)).toBe(true);
  expect(notes.flatMap(({ told }) => told)).toEqual(telling.told);
});

test("what is too much is left out, and said so once", () => {
  const telling = new Telling(0, undefined);
  for (let i = 0; i < 100_010; i += 1) telling.add(line("x"));
  expect([telling.told.length, telling.told.at(-1)]).toMatchObject([100_001, { name: "warn" }]);
});

test("whatever happens to notes, everything that the last attempt told is heard once, in order", () => {
  const lengths = fc.array(fc.nat(4), { maxLength: 6 });
  const fates = fc.array(fc.constantFrom("comes", "comes", "is lost", "comes twice"), { minLength: 12, maxLength: 12 });
  fc.assert(fc.property(fc.array(lengths, { minLength: 1, maxLength: 3 }), fates, fc.nat(3), (attempts, fate, unsaid) => {
    const heard = new HeardNotes();
    const told: string[][] = attempts.map(() => []);
    let step = 0;
    attempts.forEach((notes, attempt) => {
      const all = notes.flatMap((length, note) => Array.from({ length }, (_, i) => line(`${attempt}.${note}.${i}`)));
      const take = (fresh: readonly Told[]): void => { told[attempt].push(...fresh.map(({ value }) => String(value))); };
      let from = 0;
      for (const length of notes) {
        const note = { attempt, from, told: all.slice(from, from += length) };
        const what = fate[(step += 1) % fate.length];
        for (let times = { comes: 1, "is lost": 0, "comes twice": 2 }[what]!; times > 0; times -= 1) take(heard.fresh(note));
      }
      // Of an earlier one a note may come late.
      if (told[attempt].length > 0) expect(heard.fresh({ attempt: attempt - 1, from: 0, told: [line("late")] })).toEqual([]);
      const whole = [...all, ...Array.from({ length: unsaid }, (_, i) => line(`rest ${i}`))];
      const values = whole.map(({ value }) => value);
      if (attempt === attempts.length - 1) {
        take(heard.rest(attempt, whole));
        expect(told[attempt]).toEqual(values);
      } else expect(told[attempt]).toEqual(values.slice(0, told[attempt].length));
    });
  }));
});
