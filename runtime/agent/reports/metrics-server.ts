// Serves the metrics of a node to Prometheus: HTTP on loopback, `GET /metrics` and nothing else.

import { createServer, type Socket } from "node:net";
import { ConnectionError } from "../../errors.ts";
import type { Clock } from "../../seams.ts";

const HOST = "127.0.0.1";
const CONNECTIONS_MAX = 32;
const REQUEST_BYTES_MAX = 8 * 1024;
/** A request is there as a whole within this, and its answer read within as much. */
const TIMEOUT_MS = 5000;

export interface MetricsServer {
  readonly port: number;
  close(): void;
}

/** `port` 0 is any free one. */
export function serveMetrics(port: number, clock: Clock, text: () => string): Promise<MetricsServer> {
  return new Promise((resolve, reject) => {
    const open = new Set<Socket>();
    const server = createServer((socket) => {
      open.add(socket.once("close", () => open.delete(socket)));
      answerOne(socket, clock, text);
    });
    server.maxConnections = CONNECTIONS_MAX;
    server.once("error", (error) => {
      reject(new ConnectionError(`metrics can't be served at ${HOST}:${port}: ${error.message}`, {}, error));
    });
    server.listen(port, HOST, () => {
      const address = server.address();
      resolve({
        port: typeof address === "object" && address !== null ? address.port : 0,
        close: () => {
          server.close();
          for (const socket of open) socket.destroy();
        },
      });
    });
  });
}

/** One request a connection. */
function answerOne(socket: Socket, clock: Clock, text: () => string): void {
  const timer = clock.after(TIMEOUT_MS, () => socket.destroy());
  let received = "";
  socket.once("close", () => timer.cancel());
  // Who asks may hang up at any time.
  socket.on("error", () => socket.destroy());
  socket.on("data", (bytes: Buffer) => {
    received += bytes.toString("latin1");
    if (received.length > REQUEST_BYTES_MAX) return void socket.destroy();
    if (!received.includes("\r\n\r\n")) return;
    socket.removeAllListeners("data");
    socket.end(responseTo(received.slice(0, received.indexOf("\r\n")), text));
  });
}

function responseTo(request: string, text: () => string): string {
  const [method, target] = request.split(" ");
  const path = target?.split("?")[0];
  if (method !== "GET" && method !== "HEAD") return response("405 Method Not Allowed", "only GET is answered here\n", false);
  if (path !== "/metrics") return response("404 Not Found", "metrics are at /metrics\n", false);
  return response("200 OK", text(), method === "HEAD");
}

function response(status: string, body: string, headOnly: boolean): string {
  const bytes = Buffer.byteLength(body);
  const head = `HTTP/1.1 ${status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: ${bytes}\r\n` +
    "Connection: close\r\n\r\n";
  return headOnly ? head : head + body;
}
