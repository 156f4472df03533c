// The GPUs of this node that the code of this process has: libraries look for them in CUDA_VISIBLE_DEVICES.

const VARIABLE = "CUDA_VISIBLE_DEVICES";
/** What the whole node was given: its GPUs are numbered in that list. */
const given = process.env[VARIABLE];

export function showGpus(gpus: readonly number[], before: readonly number[]): void {
  if (gpus.length > 0) {
    const names = given?.split(",");
    process.env[VARIABLE] = gpus.map((id) => names?.[id] ?? id).join(",");
  } else if (before.length === 0) return;
  else if (given === undefined) delete process.env[VARIABLE];
  else process.env[VARIABLE] = given;
}
