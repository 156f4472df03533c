// Notes to people by mail, and secrets in none of what anybody is told.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  type CallbackInfo, connection, ctx, dag, type DagEvent, type DagRun, DagRunFailedError, defineStore, fileSensor, notify, sh,
  task, variable,
} from "../../dag/index.ts";
import { SmtpServer } from "./smtp-server.ts";

const password = 'p@ss "word"';
const server = new SmtpServer("robot@example.org", password);
let uri = "";
beforeAll(async () => {
  uri = `smtp://robot%40example.org:${encodeURIComponent(password)}@127.0.0.1:${await server.listen()}`;
});
afterAll(() => server.close());
afterEach(() => {
  for (const name of ["SMTP", "MAIL", "DB"]) delete process.env[`TROUPE_CONN_${name}`];
});

const boom = task("boom", () => { throw new Error("it broke"); });
const told = async (run: DagRun<unknown>): Promise<DagEvent[]> => {
  const events: DagEvent[] = [];
  for await (const event of run.events()) events.push(event);
  return events;
};

describe("mail", () => {
  test("goes to everybody named, with what is told, beside other callbacks", async () => {
    server.mails.length = 0;
    server.refusals = 1;
    process.env.TROUPE_CONN_SMTP = uri;
    const seen: CallbackInfo[] = [];
    const mail = notify.email({ to: ["a@example.org", "b@example.org"], subject: ({ run }) => `${run.dagId} needs you` });
    const run = await dag("mailed", { defaultTask: { onFailure: mail } }, () => (
      boom.with({ onFailure: [(info) => { seen.push(info); throw new Error("no matter"); }] })()
    )).test();
    expect(run.state).toBe("failed");
    await expect.poll(() => server.mails.length).toBe(1);
    const [{ from, to, data }] = server.mails;
    expect([from, to]).toEqual(["robot@example.org", ["a@example.org", "b@example.org"]]);
    expect(data).toMatch(/^Subject: mailed needs you$/m);
    expect(data.replaceAll("=\n", "")).toContain(`mailed: task boom of run ${run.id} failed: it broke`);
    expect(seen).toHaveLength(1);
  });

  test("is a task of its own where it is given options", async () => {
    server.mails.length = 0;
    process.env.TROUPE_CONN_SMTP = uri;
    const subject = task("subject", () => "42 rows");
    const run = await dag("tells", () => (
      notify.email({ to: "a@example.org", subject: subject(), text: "done" }, { id: "tell", retries: 1 })
    )).test();
    expect([run.state, (await run.tasks()).map(({ id }) => id)]).toEqual(["success", ["subject", "tell"]]);
    expect(server.mails[0].data).toMatch(/^Subject: 42 rows$/m);
  });

  test("that can't be sent is told in the run's log, without the password, and changes nothing", async () => {
    process.env.TROUPE_CONN_MAIL = uri.replace(encodeURIComponent(password), "wrong-word");
    const run = await dag("unsent", () => (
      boom.with({ onFailure: notify.email({ to: "a@example.org", connection: "mail" }) })()
    )).test();
    const find = async (): Promise<unknown> => (await told(run)).findLast(({ type }) => type === "log")?.value;
    await expect.poll(find).toMatch(/a callback failed: .*535/);
    expect(JSON.stringify(await told(run))).not.toContain("wrong-word");
    process.env.TROUPE_CONN_MAIL = "http://a";
    const wrong = await dag("wrong", () => (
      boom.with({ onFailure: notify.email({ to: "a@example.org", connection: "mail" }) })()
    )).test();
    const said = async (): Promise<unknown> => (await told(wrong)).findLast(({ type }) => type === "log")?.value;
    await expect.poll(said).toMatch(/connection mail is http:.*must be smtp/);
  });
});

describe("secrets", () => {
  test("that one task reads and another shows are hidden, whatever they are written as", async () => {
    process.env.TROUPE_CONN_DB = `postgres://me:${encodeURIComponent(password)}@db/x?api_key=key-of-me&mode=fast`;
    const read = task("read", async () => (await connection("db")).uri);
    const show = task("show", (text: string) => {
      ctx().logger.info(`plain ${password}`);
      ctx().logger.warn(JSON.stringify({ password, text }));
      ctx().skip(`with ${encodeURIComponent(password)} key-of-me fast`);
    });
    const fail = task("fail", () => { throw new Error(`no ${password}`, { cause: new Error("key-of-me") }); });
    const run = await dag("shows", () => [show(read()), fail()]).test();
    const rows = await run.tasks();
    expect(rows.find(({ id }) => id === "show")).toMatchObject({ state: "skipped", reason: "with *** *** fast" });
    const error = (await run.result().catch((reason: unknown) => reason)) as DagRunFailedError;
    const everything = [
      JSON.stringify([rows, await told(run), run.why("show"), run.why("fail")]), String(error), String(error.cause), error.stack,
      ...error.failures.map(({ error: one }) => `${String(one)} ${(one as Error).stack} ${String((one as Error).cause)}`),
    ].join("\n");
    for (const secret of [password, encodeURIComponent(password), JSON.stringify(password).slice(1, -1), "key-of-me"]) {
      expect(everything).not.toContain(secret);
    }
    expect(everything).toContain("plain ***");
  });

  test("of the environment are hidden from code that reads it itself, and variables named like secrets", async () => {
    process.env.TROUPE_CONN_DB = "postgres://me:other-word@db/x";
    const set = task("set", () => variable("api_token").set("tok-123"));
    const leak = task("leak", async () => {
      throw new Error(`${process.env.TROUPE_CONN_DB} and ${await variable("api_token").get()}`);
    });
    const run = await dag("reads", () => leak().after(set())).test();
    expect((await run.tasks()).find(({ id }) => id === "leak")?.reason).toBe("postgres://me:***@db/x and ***");
  });
});

test("sh takes options; what it prints as JSON is metrics", async () => {
  const run = await dag("shell", () => sh.with({ id: "named", retries: 1 })`echo '  {"loss": 1.5}'; printf %s ${"a b"}`).test();
  expect([await run.result(), (await run.tasks())[0].id]).toEqual(["a b", "named"]);
  const metrics = (await told(run)).filter(({ type }) => type === "metric");
  expect(metrics.map(({ name, value }) => [name, value])).toEqual([["loss", 1.5]]);
});

test("a sensor sees files that come to a store", async () => {
  const folder = mkdtempSync(join(tmpdir(), "seen-"));
  const files = defineStore("seen", { dir: folder });
  const later = task("later", () => {
    ctx().sleepUntil(new Date("2026-01-01T00:10:00Z"));
    writeFileSync(join(folder, "a.png"), "x");
    writeFileSync(join(folder, "b.txt"), "x");
  });
  const run = await dag("sees", () => {
    later();
    return fileSensor("seen", { store: files, pattern: "*.png" }, { everyMs: 1000 }).map(({ key }) => key);
  }).test({}, { now: "2026-01-01T00:00:00Z" });
  rmSync(folder, { recursive: true });
  expect(await run.result()).toEqual(["a.png"]);
});
