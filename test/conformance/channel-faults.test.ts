// Broken, silent, hostile and forgetful peers, over the kinds of channel that real processes use.

import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AuthenticationError, ConnectionError, DeadlineError, errorOf, InvalidArgumentError,
  VersionMismatchError } from "../../runtime/errors.ts";
import { type Address, type Channel, type Listener, type Peer, systemTransport } from "../../runtime/transport/index.ts";
import { FrameWriter } from "../../runtime/transport/frame.ts";
import { identityOf, Recorder, TcpProxy, TOKEN } from "./fixtures/channel-worlds.ts";

const CHILD = new URL("./fixtures/channel-child.ts", import.meta.url).pathname;
const DIAL = { timeoutMs: 5_000 };

let directory: string;
const children: ChildProcess[] = [];
const closers: { close(): unknown }[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "troupe-faults-"));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const closer of closers.splice(0).reverse()) await closer.close();
  rmSync(directory, { recursive: true, force: true });
});

function closing<T extends { close(): unknown }>(closer: T): T {
  closers.push(closer);
  return closer;
}

function childOf(role: string, address: Address, mode: string): ChildProcess {
  const child = fork(CHILD, [role, address, mode], { execArgv: ["--import", "tsx"],
    stdio: ["ignore", "inherit", "inherit", "ipc"] });
  children.push(child);
  return child;
}
const said = (child: ChildProcess): Promise<Address> =>
  new Promise((resolve) => child.once("message", (address) => resolve(address as Address)));

const KINDS = [
  ["socket", "auto", () => `unix:${directory}/s`],
  ["grpc over unix", "grpc", () => `unix:${directory}/s`],
  ["link over grpc", "auto", () => "tcp:127.0.0.1:0"],
] as const;

describe.each(KINDS)("%s", (_name, mode, address) => {
  const transport = systemTransport({ mode, loseAfterMs: 500 });

  it("a peer that is killed closes the channel once, with a typed failure", async () => {
    const child = childOf("listen", address(), mode);
    let pid = 0;
    const near = new Recorder({ taskDone: (body) => (pid = body.pid) });
    const channel = await transport.dial(await said(child), identityOf("driver"), near, DIAL);
    channel.send("pushTask", { task: 1 });
    await near.when(() => pid !== 0);
    expect(channel.peer.pid).toBe(child.pid);
    child.kill("SIGKILL");
    await near.when(() => near.closes.length === 1);
    expect(errorOf(near.closes[0]!)).toBeInstanceOf(ConnectionError);
    channel.send("pushTask", { task: 2 });
    channel.close();
    expect(near.closes.length).toBe(1);
  });

  it("a peer that takes connections and says nothing is a DeadlineError", async () => {
    const silent = net.createServer((socket) => void socket.on("error", () => {}).resume());
    const sockets: net.Socket[] = [];
    silent.on("connection", (socket) => sockets.push(socket));
    const place = address().startsWith("unix") ? { path: `${directory}/s` } : { host: "127.0.0.1", port: 0 };
    await new Promise<void>((resolve) => silent.listen(place, resolve));
    closing({ close: () => (sockets.forEach((socket) => socket.destroy()), new Promise((resolve) => silent.close(resolve))) });
    const bound = silent.address();
    const target = typeof bound === "string" ? `unix:${bound}` : `tcp:127.0.0.1:${bound!.port}`;
    const near = new Recorder({});
    await expect(transport.dial(target, identityOf("driver"), near, { timeoutMs: 200 })).rejects.toBeInstanceOf(DeadlineError);
  });

  it("an open channel does not keep a process alive", async () => {
    const far = new Recorder({});
    const listener = closing(await transport.listen(address(), identityOf("worker"), () => ({ handler: far })));
    const child = childOf("dial", listener.address, mode);
    const code = await new Promise((resolve) => child.once("exit", resolve));
    expect(code).toBe(0);
    await far.when(() => far.closes.length === 1);
  });

  it("strangers that send garbage or nothing disturb nobody", async () => {
    const far = new Recorder({ pushTask: () => {} });
    let got = 0;
    const listener = closing(await transport.listen(address(), identityOf("worker"), () => ({
      handler: { messages: { pushTask: () => void got++ }, onClose: far.onClose.bind(far) },
    })));
    const place = listener.address.startsWith("unix:")
      ? { path: listener.address.slice(5) } : { host: "127.0.0.1", port: Number(listener.address.split(":").at(-1)) };
    const strangers = await Promise.all(Array.from({ length: 40 }, (_, i) => stranger(place, i)));
    const near = new Recorder({});
    const channel = await transport.dial(listener.address, identityOf("driver"), near, DIAL);
    channel.send("pushTask", { task: 1 });
    channel.close();
    await far.when(() => far.closes.length === 1);
    expect(got).toBe(1);
    expect(far.closes).toEqual([undefined]);
    for (const socket of strangers) socket.destroy();
  });
});

/** Garbage, oversize lengths, a truncated frame, or silence. */
function stranger(place: net.NetConnectOpts, seed: number): Promise<net.Socket> {
  return new Promise((resolve) => {
    const socket = net.connect(place, () => {
      const garbage = Buffer.from(Array.from({ length: 64 + seed }, (_, i) => (i * 37 + seed * 101) & 255));
      if (seed % 4 === 0) garbage.writeUInt32LE(0xffffffff, 0);
      if (seed % 4 === 1) garbage.writeUInt32LE(60, 0);
      if (seed % 4 !== 3) socket.write(garbage);
      resolve(socket);
    });
    socket.on("error", () => {});
  });
}

describe("unix sockets", () => {
  const transport = systemTransport({ mode: "auto" });
  const listenAt = async (far: Recorder): Promise<Listener> =>
    closing(await transport.listen(`unix:${directory}/s`, identityOf("worker"), () => ({ handler: far })));

  it("belong to their user alone", async () => {
    await listenAt(new Recorder({}));
    expect(statSync(`${directory}/s`).mode & 0o777).toBe(0o600);
  });

  it("refuse processes of other users before the hello", async () => {
    let asked = 0;
    const checking = systemTransport({ mode: "auto", peerCredentials: (fd) => (asked++, { uid: fd > 2 ? 12_345 : 0 }) });
    closing(await checking.listen(`unix:${directory}/s`, identityOf("worker"), () => ({ handler: new Recorder({}) })));
    await expect(transport.dial(`unix:${directory}/s`, identityOf("driver"), new Recorder({}), DIAL))
      .rejects.toBeInstanceOf(ConnectionError);
    expect(asked).toBe(1);
  });

  it("say why a path cannot be used", async () => {
    await expect(transport.listen(`unix:/${"x".repeat(200)}`, identityOf("worker"), () => ({ handler: new Recorder({}) })))
      .rejects.toThrow(/200 bytes|201 bytes/);
    writeFileSync(`${directory}/s`, "");
    await expect(listenAt(new Recorder({}))).rejects.toBeInstanceOf(InvalidArgumentError);
  });

  it("a half that is closed without a goodbye closes the channel with a failure", async () => {
    const far = new Recorder({});
    let peer: Peer | undefined;
    const listener = closing(await transport.listen(`unix:${directory}/s`, identityOf("worker"), (from) =>
      ((peer = from), { handler: far })));
    const socket = net.connect(listener.address.slice(5));
    socket.on("error", () => {});
    socket.write(helloBytes({ token: TOKEN }));
    await new Promise((resolve) => socket.once("data", resolve));
    expect(peer?.processId).toBe("raw-1");
    socket.end();
    await far.when(() => far.closes.length === 1);
    expect(errorOf(far.closes[0]!).message).toContain("without a goodbye");
  });

  it("a length beyond the bound closes the channel at once", async () => {
    const far = new Recorder({});
    const listener = await listenAt(far);
    const socket = net.connect(listener.address.slice(5));
    socket.on("error", () => {});
    socket.write(helloBytes({ token: TOKEN }));
    await new Promise((resolve) => socket.once("data", resolve));
    socket.write(Buffer.from([0, 0, 0, 5]));
    await far.when(() => far.closes.length === 1);
    expect(errorOf(far.closes[0]!).message).toMatch(/frame of 83886080 bytes/);
    socket.destroy();
  });

  it("another protocol version is refused, naming both, on both sides", async () => {
    const errors: Error[] = [];
    const logging = systemTransport({ mode: "auto", refused: (error) => errors.push(error) });
    closing(await logging.listen(`unix:${directory}/s`, identityOf("worker"), () => ({ handler: new Recorder({}) })));
    const socket = net.connect(`${directory}/s`);
    socket.write(helloBytes({ token: TOKEN, protocolVersion: 99, release: "9.9.9" }));
    const answer = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
    socket.destroy();
    expect(answer.toString("latin1")).toContain("VERSION_MISMATCH");
    expect(answer.toString("latin1")).toMatch(/protocol 1 .*protocol 99 \(release 9\.9\.9\)/);
    expect(errors[0]).toBeInstanceOf(VersionMismatchError);
  });

  it("a listener of another version is a VersionMismatchError for who dials", async () => {
    const other = net.createServer((socket) => {
      const writer = new FrameWriter();
      writer.start();
      writer.add("refused", { code: "VERSION_MISMATCH", text: "old", protocolVersion: 98, release: "0.0.1" }, 0);
      writer.finish();
      socket.on("error", () => {}).resume();
      socket.end(Buffer.from(writer.bytes.subarray(0, writer.length)));
    });
    await new Promise<void>((resolve) => other.listen(`${directory}/s`, resolve));
    closing({ close: () => new Promise((resolve) => other.close(resolve)) });
    const dialling = transport.dial(`unix:${directory}/s`, identityOf("driver"), new Recorder({}), DIAL);
    await expect(dialling).rejects.toMatchObject({ code: "VERSION_MISMATCH", peerProtocolVersion: 98, peerRelease: "0.0.1" });
  });
});

function helloBytes(changes: { token?: string; protocolVersion?: number; release?: string }): Buffer {
  const writer = new FrameWriter();
  writer.start();
  writer.add("hello", { protocolVersion: 1, release: "0.1.0", kind: 3, processId: "raw-1", pid: 1, ...changes }, 0);
  writer.finish();
  return Buffer.from(writer.bytes.subarray(0, writer.length));
}

describe("links", () => {
  const transport = systemTransport({ loseAfterMs: 3_000 });
  let proxy: TcpProxy;
  let listener: Listener;
  const tasks: number[] = [];
  const done: number[] = [];
  let near: Recorder;
  let far: Recorder;
  let channel: Channel;
  let accepted: Channel;
  let admitted = 0;

  beforeEach(async () => {
    tasks.length = done.length = admitted = 0;
    near = new Recorder({ taskDone: (body) => done.push(body.task) });
    far = new Recorder({ pushTask: (body) => tasks.push(body.task) });
    listener = closing(await transport.listen("tcp:127.0.0.1:0", identityOf("worker"), () => {
      admitted++;
      return { handler: far, accepted: (made) => (accepted = made) };
    }));
    proxy = closing(await TcpProxy.start(listener.address));
    channel = await transport.dial(proxy.address, identityOf("driver"), near, DIAL);
  });

  it("outlive their connections: everything arrives once and in order, both ways", async () => {
    const count = 3_000;
    for (let task = 1; task <= count; task++) {
      channel.send("pushTask", { task, args: Buffer.alloc(200) });
      accepted.send("taskDone", { task });
      if (task % 1_000 === 0) proxy.cut();
      if (task % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await far.when(() => tasks.length >= count);
    await near.when(() => done.length >= count);
    const expected = Array.from({ length: count }, (_, i) => i + 1);
    expect(tasks).toEqual(expected);
    expect(done).toEqual(expected);
    expect(admitted).toBe(1);
    expect([near.closes, far.closes]).toEqual([[], []]);
  });

  it("a goodbye said while the connection is down still arrives", async () => {
    proxy.cut();
    channel.send("pushTask", { task: 1 });
    channel.close();
    await far.when(() => far.closes.length === 1);
    expect(tasks).toEqual([1]);
    expect(far.closes).toEqual([undefined]);
  });

  it("end when the other side does not know the session any more", async () => {
    proxy.refusing = true;
    proxy.cut();
    const port = listener.address;
    await listener.close();
    const restarted = closing(await transport.listen(port, identityOf("worker"), () => ({ handler: new Recorder({}) })));
    expect(restarted.address).toBe(port);
    proxy.refusing = false;
    await near.when(() => near.closes.length === 1);
    expect(errorOf(near.closes[0]!).message).toContain("not known here any more");
  });

  it("end on both sides when no connection can be made within the bound", async () => {
    const impatient = systemTransport({ loseAfterMs: 300 });
    const quick = new Recorder({});
    const other = new Recorder({});
    const second = closing(await impatient.listen("tcp:127.0.0.1:0", identityOf("worker"), () => ({ handler: other })));
    const through = closing(await TcpProxy.start(second.address));
    await impatient.dial(through.address, identityOf("driver"), quick, DIAL);
    through.refusing = true;
    through.cut();
    await quick.when(() => quick.closes.length === 1);
    await other.when(() => other.closes.length === 1);
    for (const recorder of [quick, other]) expect(errorOf(recorder.closes[0]!).message).toContain("for 300 ms");
  });
});

describe("exposure", () => {
  const transport = systemTransport();
  const handler = new Recorder({});

  it.each(["tcp:0.0.0.0:0", "tcp:[::]:0", "tcp:example.test:0", "tcp:192.168.1.1:0"])(
    "refuses to listen at %s without TLS, and says why", async (address) => {
    const listening = transport.listen(address, identityOf("head"), () => ({ handler }));
    await expect(listening).rejects.toThrow(/unencrypted.*trustedNetwork/);
    await expect(transport.dial(address, identityOf("driver"), handler, DIAL)).rejects.toBeInstanceOf(InvalidArgumentError);
  });

  it("does when the network is declared trusted", async () => {
    const listener = closing(await systemTransport({ trustedNetwork: true })
      .listen("tcp:0.0.0.0:0", identityOf("head"), () => ({ handler })));
    expect(listener.address).toMatch(/^tcp:0\.0\.0\.0:\d+$/);
  });
});

describe("gRPC authentication", () => {
  it("holds for every method of the service, with no token and with a wrong one, before the body", async () => {
    const grpc = await import("@grpc/grpc-js");
    const { LINK_SERVICE, listenGrpc } = await import("../../runtime/transport/grpc-channel.ts");
    const { systemClock } = await import("../../runtime/system.ts");
    let handled = 0;
    const server = closing(await listenGrpc({ kind: "tcp", host: "127.0.0.1", port: 0 }, TOKEN, { clock: systemClock }, () =>
      void handled++));
    const port = (server.place as { port: number }).port;
    const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
    closing(client);
    const methods = Object.values(LINK_SERVICE);
    expect(methods.map((method) => method.path)).toEqual(["/troupe.v1.Link/Open"]);
    for (const method of methods) {
      for (const token of [undefined, "", "f".repeat(32), `${TOKEN}x`]) {
        const metadata = new grpc.Metadata();
        if (token !== undefined) metadata.set("troupe-token", token);
        const stream = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.requestDeserialize, metadata);
        for (let i = 0; i < 4; i++) stream.write(Buffer.alloc(1024 * 1024));
        const status = await new Promise<number>((resolve) =>
          stream.on("error", (error: { code: number }) => resolve(error.code)));
        expect(status).toBe(grpc.status.UNAUTHENTICATED);
      }
    }
    expect(handled).toBe(0);
  });

  it("refuses an empty token of its own", async () => {
    const transport = systemTransport();
    const open = identityOf("worker", { token: "" });
    const listener = closing(await transport.listen("tcp:127.0.0.1:0", open, () => ({ handler: new Recorder({}) })));
    const dialling = transport.dial(listener.address, identityOf("driver", { token: "" }), new Recorder({}), DIAL);
    await expect(dialling).rejects.toBeInstanceOf(AuthenticationError);
  });
});
