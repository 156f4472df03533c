// The service that a command asks about graphs and runs.

import type { DagEvent, DagService, RunBook } from "../dag/index.ts";
import { NotFoundError } from "../runtime/errors.ts";
import { asDriver } from "./driver.ts";
import type { ConnectOptions } from "./option-values.ts";

export interface ServiceOptions extends ConnectOptions {
  readonly service: string;
  readonly json?: boolean;
}

const WAIT_MS = 20_000;

/** As a driver of the cluster. @throws NotFoundError when it has no service of that name. */
export function withService<T>(options: ServiceOptions, use: (service: DagService) => Promise<T>): Promise<T> {
  return asDriver(options, async () => {
    const { dagService } = await import("../dag/index.ts");
    return use(await dagService(options.service));
  });
}

/** Runs: of the service; where there is none those that the cluster has kept, which this process goes on with. */
export function withRuns<T>(options: ServiceOptions, use: (book: RunBook, isHere: boolean) => Promise<T>): Promise<T> {
  return asDriver(options, async () => {
    const { dagService } = await import("../dag/index.ts");
    const { runBook } = await import("../dag/contract.ts");
    const service = await dagService(options.service).catch((error: unknown) => {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    });
    return use(service ?? runBook, service === undefined);
  });
}

/** Everything a run has told and will tell. */
export async function* eventsOf(book: RunBook, id: string): AsyncGenerator<DagEvent> {
  for (let from = 0, over = false; !over;) {
    const page = await book.events(id, { from, waitMs: WAIT_MS });
    yield* page.events;
    ({ next: from, over } = page);
  }
}
