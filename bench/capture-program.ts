// A program that captures one function after the other: prints what the first costs in its process, what the next cost, and what
// it costs to revive them in a process that never captured. As JSON: lists of milliseconds.

import { fork } from "node:child_process";
// Beside it, what a driver has loaded: the engine lists every script at the first capture.
import "troupe";
import { type CapturedCode, createShipper } from "../runtime/closure/index.ts";

export interface CaptureCosts {
  readonly first: number;
  readonly warm: readonly number[];
  readonly revivals: readonly number[];
}

const FUNCTIONS = 200;

interface Settings {
  readonly name: string;
  readonly limits: readonly number[];
}

/** As a user's function is: it uses a setting and another function. */
function made(number: number): (values: readonly number[]) => string {
  const settings: Settings = { name: `job ${number}`, limits: [number, 2 * number] };
  const within = (value: number): boolean => value >= settings.limits[0] && value <= settings.limits[1];
  return (values) => `${settings.name}: ${values.filter(within).length}`;
}

function timed<T>(action: () => T): readonly [T, number] {
  const started = performance.now();
  const result = action();
  return [result, performance.now() - started];
}

async function captureAll(): Promise<void> {
  const shipper = createShipper();
  const captured = Array.from({ length: FUNCTIONS }, (_, number) => timed(() => shipper.capture(made(number))));
  const [[, first], ...rest] = captured;
  const reviver = fork(process.argv[1], ["revive"], { serialization: "advanced" });
  const revivals = await new Promise<number[]>((resolve, reject) => {
    reviver.once("message", (message) => resolve(message as number[])).once("error", reject);
    reviver.once("exit", (code) => reject(new Error(`the reviving process ended with ${code}`)));
    reviver.send(captured.map(([code]) => code));
  });
  reviver.disconnect();
  console.log(JSON.stringify({ first, warm: rest.map(([, took]) => took), revivals } satisfies CaptureCosts));
}

async function reviveAll(codes: readonly CapturedCode[]): Promise<void> {
  const shipper = createShipper();
  const revivals: number[] = [];
  for (const { id, bytes } of codes) {
    const started = performance.now();
    await shipper.revive(id, bytes);
    revivals.push(performance.now() - started);
  }
  process.send?.(revivals);
}

if (process.argv[2] === "revive") process.once("message", (codes) => void reviveAll(codes as CapturedCode[]));
else await captureAll();
